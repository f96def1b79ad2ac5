//! CometBFT v0.38's `FilePV`, written down again as a table of outcomes, against ours: every pair of an approved and an
//! asked message in a small world.

use crate::build::{COMETBFT, Machine, STEPS, intent};
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim, Content, Position, Step};
use interlock_core::{Approval, Approved, Claim, Policy, Position as AnyPosition, Rule, Verdict};

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
                        approved.timestamp.map(|timestamp| timestamp.seconds),
                        Some(recorded),
                        "a repeat is signed with the recorded timestamp"
                    );
                    assert_eq!(
                        (approved.position, approved.payload),
                        (AnyPosition::Cometbft(asked), intent(asked, block, seconds, "n1").payload)
                    );
                }
                cases += 1;
            }
        }
    }
    assert_eq!((cases, deviations), (27 * 27 * 3, 9));
}

/// A state file holds the newest position with its sign bytes, or without them ("no SignBytes found"): taken over as a
/// claim, it is judged as `FilePV` judges its own file.
#[test]
fn an_imported_state_file_is_judged_as_upstream_judges_its_own() {
    for last in positions() {
        for asked in positions() {
            for (has_sign_bytes, difference) in [
                (false, Difference::None),
                (false, Difference::Block),
                (true, Difference::None),
                (true, Difference::TimestampOnly),
                (true, Difference::Block),
            ] {
                let signed = intent(last, 1, 10, "n1");
                let content = Content { payload: signed.payload, timestamp: signed.timestamp };
                let content = has_sign_bytes.then_some(content);
                let message = ClaimedMessage { position: last, content, block: signed.block };
                let claim = Claim::Cometbft(CometbftClaim { floor_height: 0, signed: Some(message) });
                let mut machine =
                    Machine::with(COMETBFT, claim, Policy { lock_rule: false, ..Policy::default() });
                let block = if difference == Difference::Block { 2 } else { 1 };
                let seconds = if difference == Difference::TimestampOnly { 11 } else { 10 };
                let verdict = machine.ask(intent(asked, block, seconds, "n1"));
                let expected = match upstream(last, asked, difference) {
                    FilePv::OldSignature | FilePv::ConflictingData if !has_sign_bytes => Rule::AboveFloor,
                    FilePv::OldSignature
                        if asked.step == Step::Proposal && difference == Difference::TimestampOnly =>
                    {
                        Rule::NoConflict
                    }
                    FilePv::OldSignature => Rule::Repeat,
                    FilePv::ConflictingData => Rule::NoConflict,
                    FilePv::NewSignature => Rule::Advance,
                    _ => Rule::NoRegression,
                };
                let sign_bytes = if has_sign_bytes { "with" } else { "without" };
                assert_eq!(
                    verdict.rule(),
                    expected,
                    "{last} {sign_bytes} sign bytes, {asked}, {difference:?}"
                );
                if let Verdict::Approved(Approved { approval: Approval::Repeat, timestamp, .. }) = verdict {
                    assert_eq!(timestamp, Some(signed.timestamp), "the timestamp of the file");
                }
            }
        }
    }
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
