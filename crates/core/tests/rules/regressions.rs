//! Bugs that were found, each by name, so that it stays dead.

use crate::build::{Machine, holder};
use interlock_core::{Action, Epoch, Policy, Reason, Rule};

/// `expected + 1` overflowed: one malformed lease command in the log stopped every replica, and again at each replay.
#[test]
fn the_largest_expected_epoch_is_refused_and_does_not_overflow() {
    let mut machine = Machine::holding(0, Policy::default());
    let largest = Epoch(u64::MAX);
    let reason = Reason::parse("").unwrap();
    let by_holder = Action::Acquire { holder: holder(0, 1), expected_epoch: largest };
    assert_eq!(machine.act(0, by_holder).rule(), Rule::EpochExpected);
    for to in [holder(0, 1), holder(1, 1)] {
        let handover = Action::Handover { expected_epoch: largest, to, reason: reason.clone() };
        assert_eq!(machine.act(0, handover).rule(), Rule::EpochExpected);
    }
    let release = Action::Release { holder: holder(0, 1), epoch: largest, give_back: None };
    assert_eq!(machine.act(0, release).rule(), Rule::ReleasedByHolder);
}
