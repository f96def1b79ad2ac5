//! The lock rule as a table: who asks, for what, after the key locked block 1 at height 5 and then prevoted block 2.

use crate::build::{Machine, holder, intent};
use interlock_core::cometbft::{Position, Step};
use interlock_core::{Action, Epoch, Intent, Policy, Reason, Rule};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    SameNodeSameEpoch,
    OtherNode,
    OtherEpoch,
    OtherNodeAndEpoch,
}

const ASKERS: [Asker; 4] =
    [Asker::SameNodeSameEpoch, Asker::OtherNode, Asker::OtherEpoch, Asker::OtherNodeAndEpoch];
const NIL: u8 = 0;
const LOCKED: u8 = 1;
const VOTED: u8 = 2;
const NEW: u8 = 3;

fn decide(policy: Policy, asker: Asker, at: Position, block: u8) -> Rule {
    let mut machine = Machine::holding(0, policy);
    let position = |round, step| Position { height: 5, round, step };
    machine.ask(intent(position(0, Step::Precommit), LOCKED, 10, "n1"));
    machine.ask(intent(position(1, Step::Prevote), VOTED, 10, "n1"));
    let new_epoch = matches!(asker, Asker::OtherEpoch | Asker::OtherNodeAndEpoch);
    let (who, epoch) = if new_epoch { (holder(1, 1), Epoch(2)) } else { (holder(0, 1), Epoch(1)) };
    if new_epoch {
        let reason = Reason::parse("swap").unwrap();
        machine.act(0, Action::Handover { expected_epoch: Epoch(1), to: who.clone(), reason });
    }
    let node = if matches!(asker, Asker::OtherNode | Asker::OtherNodeAndEpoch) { "n2" } else { "n1" };
    let intent = Intent::Cometbft(intent(at, block, 10, node));
    machine.act(0, Action::Approve { holder: who, epoch, intent }).rule()
}

#[test]
fn only_a_prevote_at_the_locked_height_by_another_asker_is_bound() {
    let mut refused = 0;
    for asker in ASKERS {
        for step in [Step::Proposal, Step::Prevote, Step::Precommit] {
            for height in [5, 6] {
                for block in [NIL, LOCKED, VOTED, NEW] {
                    if step == Step::Proposal && block == NIL {
                        continue;
                    }
                    let at = Position { height, round: 2, step };
                    let is_bound = asker != Asker::SameNodeSameEpoch && step == Step::Prevote && height == 5;
                    let expected = if is_bound && block == NEW { Rule::LockRespected } else { Rule::Advance };
                    assert_eq!(
                        decide(Policy::default(), asker, at, block),
                        expected,
                        "{asker:?} {at} block {block}"
                    );
                    let off = Policy { lock_rule: false, ..Policy::default() };
                    assert_eq!(
                        decide(off, asker, at, block),
                        Rule::Advance,
                        "the rule is off: {asker:?} {at}"
                    );
                    refused += u32::from(expected == Rule::LockRespected);
                }
            }
        }
    }
    assert_eq!(refused, 3, "one refusal for each asker but the one that locked");
}

/// The old lock of a lower height binds nobody, whatever was precommitted since.
#[test]
fn a_lock_ends_with_its_height() {
    let at = |height, step| Position { height, round: 0, step };
    let mut machine = Machine::holding(0, Policy::default());
    machine.ask(intent(at(5, Step::Precommit), LOCKED, 10, "n1"));
    machine.ask(intent(at(6, Step::Precommit), NIL, 10, "n1"));
    let again = Position { height: 6, round: 1, step: Step::Prevote };
    assert_eq!(machine.ask(intent(again, NEW, 10, "n2")).rule(), Rule::Advance);
}
