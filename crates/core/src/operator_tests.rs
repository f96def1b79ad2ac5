//! Operators' changes: that every one of them ends an open window, and that what changes nothing does not.

use super::*;
use crate::cometbft::CometbftClaim;
use crate::intent::{Claim, Watermark};
use crate::invariant;
use crate::invariant::tests::{reason, record_with_window};
use crate::text::ChainId;
use std::vec;
use std::vec::Vec;

type Change = fn(&mut KeyRecord, u64) -> Result<Verdict, Denial>;

fn signer(name: &str) -> SignerId {
    SignerId::parse(name).unwrap()
}

fn floor(height: u64) -> Claim {
    Claim::Cometbft(CometbftClaim::floor(height))
}

/// Each command that can change an active record, by itself.
const CHANGES: [(&str, Change); 5] = [
    ("freeze", |record, version| freeze(record, version, &reason())),
    ("retire", |record, version| retire(record, version, &reason())),
    ("policy", |record, version| set_policy(record, version, Policy::default(), 2)),
    ("signers", |record, version| set_signers(record, version, &[signer("alpha"), signer("beta")])),
    ("import", |record, version| import(record, version, &floor(107), false)),
];

#[test]
fn every_change_ends_an_open_window_with_its_heights_excluded() {
    for (name, change) in CHANGES {
        let before = record_with_window();
        let mut after = before.clone();
        assert_eq!(change(&mut after, before.version), Ok(Verdict::Changed { version: 8 }), "{name}");
        assert_eq!((&after.holder, after.window_height), (&None, None), "{name}");
        assert_eq!(after.watermark.floor_height(), Some(109), "{name}");
        assert_eq!(invariant::check(&before, &after), Ok(()), "{name}");
    }
}

#[test]
fn an_order_about_another_record_changes_nothing() {
    for (name, change) in CHANGES {
        for expected in [0, 6, 8, u64::MAX] {
            let mut record = record_with_window();
            let refused = Err(Denial::VersionMoved { current: 7, expected });
            assert_eq!(change(&mut record, expected), refused, "{name}");
            assert_eq!(record, record_with_window(), "{name}");
        }
    }
}

#[test]
fn a_second_copy_is_done_already_and_does_not_end_the_next_window() {
    for (name, change) in CHANGES {
        let mut record = record_with_window();
        change(&mut record, 7).unwrap();
        let changed = record.clone();
        let verdict = change(&mut record, 7);
        assert!(matches!(verdict, Ok(Verdict::AlreadyDone { version: 8, .. })), "{name}: {verdict:?}");
        assert_eq!(record, changed, "{name}");
    }
}

#[test]
fn a_retired_key_is_changed_by_nothing() {
    for (name, change) in CHANGES {
        let mut record = record_with_window();
        retire(&mut record, 7, &reason()).unwrap();
        let retired = record.clone();
        let verdict = change(&mut record, 8);
        let refused = matches!(verdict, Err(Denial::StateUnfit { .. }));
        assert!(refused || (name == "retire" && verdict.is_ok()), "{name}: {verdict:?}");
        assert_eq!(record, retired, "{name}");
    }
}

/// The last version there is stays: it does not wrap to a version that was seen before.
#[test]
fn the_version_never_wraps() {
    let mut record = KeyRecord { version: u64::MAX, ..record_with_window() };
    assert_eq!(freeze(&mut record, u64::MAX, &reason()), Ok(Verdict::Changed { version: u64::MAX }));
}

/// The jump of an import is counted from what may have been signed: here from the end of the window.
#[test]
fn an_import_is_bounded_from_the_reach_of_the_key() {
    let policy = Policy { max_jump_heights: 10, ..Policy::default() };
    let record = KeyRecord { policy, ..record_with_window() };
    assert_eq!(import(&mut record.clone(), 7, &floor(119), false), Ok(Verdict::Changed { version: 8 }));
    let jump = Denial::Jump { settled_height: 109, asked_height: 120, max_jump_heights: 10 };
    assert_eq!(import(&mut record.clone(), 7, &floor(120), false), Err(jump));
    assert_eq!(import(&mut record.clone(), 7, &floor(120), true), Ok(Verdict::Changed { version: 8 }));
}

#[test]
fn signers_are_one_to_sixteen_and_none_twice() {
    let names: Vec<_> = (0..17).map(|number| signer(&std::format!("s{number}"))).collect();
    assert_eq!(check_signers(&names[..1]), Ok(()));
    assert_eq!(check_signers(&names[..16]), Ok(()));
    for (count, list) in [(0, vec![]), (17, names.clone()), (2, vec![signer("a"), signer("a")])] {
        assert_eq!(check_signers(&list), Err(Denial::UnsoundSigners { count }));
    }
}

#[test]
fn a_policy_can_be_kept_by_the_protocol() {
    let cometbft = ChainIdentity::Cometbft(ChainId::parse("demo-1").unwrap());
    let ethereum = ChainIdentity::Ethereum { genesis_validators_root: crate::Digest([0; 32]) };
    let policy =
        |window_heights, max_jump_heights| Policy { window_heights, max_jump_heights, ..Policy::default() };
    let table = [
        (&cometbft, policy(0, 1), true),
        (&cometbft, policy(8, 8), true),
        (&cometbft, policy(8, 7), false),
        (&cometbft, policy(9, 9), false),
        (&cometbft, policy(0, 0), false),
        (&ethereum, policy(0, 64), true),
        (&ethereum, policy(0, 63), false),
        (&ethereum, policy(1, 64), false),
    ];
    for (chain, policy, sound) in table {
        assert_eq!(check_policy(chain, policy).is_ok(), sound, "{chain} {policy:?}");
    }
}

#[test]
fn windows_wait_for_their_rule_version() {
    let windows = Policy { window_heights: 1, ..Policy::default() };
    assert_eq!(check_policy_rules(Policy::default(), 1), Ok(()));
    assert_eq!(check_policy_rules(windows, 1), Err(Denial::RulesTooOld { current: 1, needed: 2 }));
    assert_eq!(check_policy_rules(windows, 2), Ok(()));
}

/// What is claimed lower than the record is no change, so it does not end a window either.
#[test]
fn a_claim_that_is_covered_leaves_the_window() {
    let mut record = record_with_window();
    assert!(matches!(import(&mut record, 0, &floor(100), false), Ok(Verdict::AlreadyDone { .. })));
    assert_eq!(record, record_with_window());
    assert!(matches!(record.watermark, Watermark::Cometbft(_)));
}

#[test]
fn no_claim_reaches_a_height_that_no_chain_has() {
    let last = i64::MAX.unsigned_abs();
    let mut record = record_with_window();
    assert_eq!(import(&mut record.clone(), 7, &floor(last), true), Ok(Verdict::Changed { version: 8 }));
    let too_high = Denial::ClaimTooHigh { height: last + 1, height_max: last };
    assert_eq!(import(&mut record, 7, &floor(last + 1), true), Err(too_high));
    assert_eq!(record, record_with_window());
}
