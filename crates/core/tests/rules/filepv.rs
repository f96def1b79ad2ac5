//! CometBFT v0.38's `FilePV`, written down again as a table of outcomes, against ours: every pair of an approved and an
//! asked message in a small world.

use crate::build::{Machine, STEPS, intent};
use interlock_core::cometbft::{Position, Step};
use interlock_core::{Approval, Policy, Rule, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilePv {
    HeightRegression,
    RoundRegression,
    StepRegression,
    ConflictingData,
    OldSignature,
    NewSignature,
}

/// How the asked message differs from the approved one, apart from its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    None,
    TimestampOnly,
    Block,
}

/// `CheckHRS`, then the branch for the same height, round and step.
fn upstream(last: Position, asked: Position, difference: Difference) -> FilePv {
    if asked.height != last.height {
        return if asked.height < last.height { FilePv::HeightRegression } else { FilePv::NewSignature };
    }
    if asked.round != last.round {
        return if asked.round < last.round { FilePv::RoundRegression } else { FilePv::NewSignature };
    }
    let order = |step| match step {
        Step::Proposal => 1,
        Step::Prevote => 2,
        Step::Precommit => 3,
    };
    match order(asked.step) - order(last.step) {
        ..0 => FilePv::StepRegression,
        0 if difference == Difference::Block => FilePv::ConflictingData,
        0 => FilePv::OldSignature,
        1.. => FilePv::NewSignature,
    }
}

fn positions() -> impl Iterator<Item = Position> {
    (4..7).flat_map(|height| (0..3).flat_map(move |round| STEPS.map(|step| Position { height, round, step })))
}

#[test]
fn every_pair_of_messages_is_decided_as_upstream_does() {
    let mut deviations = 0;
    let mut cases = 0;
    for last in positions() {
        for asked in positions() {
            for difference in [Difference::None, Difference::TimestampOnly, Difference::Block] {
                let mut machine = Machine::holding(0, Policy { lock_rule: false, ..Policy::default() });
                machine.ask(intent(last, 1, 10, "n1"));
                let block = if difference == Difference::Block { 2 } else { 1 };
                let seconds = if difference == Difference::TimestampOnly { 11 } else { 10 };
                let verdict = machine.ask(intent(asked, block, seconds, "n1"));
                let ours = verdict.rule();
                let expected = match upstream(last, asked, difference) {
                    FilePv::HeightRegression | FilePv::RoundRegression | FilePv::StepRegression => {
                        Rule::NoRegression
                    }
                    FilePv::ConflictingData => Rule::NoConflict,
                    FilePv::NewSignature => Rule::Advance,
                    // Our one deviation: upstream gives an old signature that the node then rejects.
                    FilePv::OldSignature
                        if asked.step == Step::Proposal && difference == Difference::TimestampOnly =>
                    {
                        deviations += 1;
                        Rule::NoConflict
                    }
                    FilePv::OldSignature => Rule::Repeat,
                };
                assert_eq!(ours, expected, "{last} approved, {asked} asked, difference {difference:?}");
                if let Verdict::Approved(approved) = verdict {
                    let recorded = if approved.approval == Approval::Repeat { 10 } else { seconds };
                    assert_eq!(
                        approved.timestamp.seconds, recorded,
                        "a repeat is signed with the recorded timestamp"
                    );
                    assert_eq!(
                        (approved.position, approved.payload),
                        (asked, intent(asked, block, seconds, "n1").payload)
                    );
                }
                cases += 1;
            }
        }
    }
    assert_eq!((cases, deviations), (27 * 27 * 3, 9));
}

/// Each step of a round may name another block: only two payloads at one position conflict.
#[test]
fn different_blocks_across_steps_of_a_round_are_legal() {
    let at = |step| Position { height: 5, round: 0, step };
    let mut machine = Machine::holding(0, Policy::default());
    for (step, block) in [(Step::Proposal, 1), (Step::Prevote, 2), (Step::Precommit, 0)] {
        assert_eq!(machine.ask(intent(at(step), block, 10, "n1")).rule(), Rule::Advance);
    }
}
