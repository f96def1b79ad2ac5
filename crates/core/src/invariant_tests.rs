//! R50: each invariant is broken by hand here, because no command should be able to. Also the sample record that the
//! tests of this crate begin from.

use super::*;
use crate::cometbft::{CometbftClaim, CometbftIntent, CometbftRecord, Position, Step, Timestamp};
use crate::ids::{Digest, Epoch, Holder, Incarnation};
use crate::intent::{Claim, Intent, Watermark};
use crate::key::{ChainIdentity, Policy, PublicKey};
use crate::text::{ChainId, KeyName, NodeName, Reason, SignerId};
use std::vec;
use std::vec::Vec;

pub(crate) fn holder(number: u8) -> Holder {
    Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([number; 16]) }
}

pub(crate) fn reason() -> Reason {
    Reason::parse("test").unwrap()
}

/// A precommit at round 0 of a height for the block with this number.
pub(crate) fn precommit(height: u64, block: u8) -> Intent {
    Intent::Cometbft(CometbftIntent {
        position: Position { height, round: 0, step: Step::Precommit },
        block: Some(Digest([block; 32])),
        payload: Digest([block; 32]),
        timestamp: Timestamp { seconds: 10, nanos: 0 },
        node: NodeName::parse("n1").unwrap(),
    })
}

/// An active key with floor 100 and a precommit approved at height 105, under epoch 3 of process 1.
pub(crate) fn record() -> KeyRecord {
    let mut watermark = Watermark::Cometbft(CometbftRecord::new(100));
    watermark.advance(&precommit(105, 1), Epoch(3)).unwrap();
    KeyRecord {
        name: KeyName::parse("val").unwrap(),
        chain: ChainIdentity::Cometbft(ChainId::parse("demo-1").unwrap()).into(),
        public_key: PublicKey::new(&[1]).unwrap(),
        state: KeyState::Active,
        policy: Policy { window_heights: 4, ..Policy::default() },
        signers: [SignerId::parse("alpha").unwrap()].into(),
        epoch: Epoch(3),
        holder: Some(holder(1)),
        version: 7,
        watermark,
        window_height: None,
    }
}

/// The same with a window up to height 109.
pub(crate) fn record_with_window() -> KeyRecord {
    KeyRecord { window_height: Some(109), ..record() }
}

struct Case {
    name: &'static str,
    before: KeyRecord,
    change: fn(&mut KeyRecord),
    expected: Result<(), Invariant>,
}

fn cometbft(record: &mut KeyRecord) -> &mut CometbftRecord {
    match &mut record.watermark {
        Watermark::Cometbft(record) => record,
        other => panic!("{other:?} is not the sample's watermark"),
    }
}

fn case(name: &'static str, change: fn(&mut KeyRecord), broken: Invariant) -> Case {
    Case { name, before: record(), change, expected: Err(broken) }
}

fn window_case(name: &'static str, change: fn(&mut KeyRecord), expected: Result<(), Invariant>) -> Case {
    Case { name, before: record_with_window(), change, expected }
}

fn run(cases: Vec<Case>) {
    for Case { name, before, change, expected } in cases {
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(check(&before, &after), expected, "{name}");
    }
}

#[test]
fn a_new_holder_without_a_new_epoch_and_a_falling_epoch_are_caught() {
    run(vec![
        case("the epoch falls", |r| r.epoch = Epoch(2), Invariant::EpochRises),
        case("another holder, same epoch", |r| r.holder = Some(holder(2)), Invariant::EpochRises),
        Case {
            name: "a holder from nobody, same epoch",
            before: KeyRecord { holder: None, ..record() },
            change: |r| r.holder = Some(holder(1)),
            expected: Err(Invariant::EpochRises),
        },
    ]);
}

#[test]
fn a_watermark_that_falls_in_any_part_is_caught() {
    run(vec![
        case("the floor falls", |r| cometbft(r).floor_height = 99, Invariant::WatermarkRises),
        case("the newest approval is gone", |r| cometbft(r).last = None, Invariant::WatermarkRises),
        case(
            "the newest approval falls",
            |r| cometbft(r).last.as_mut().unwrap().position.height = 104,
            Invariant::WatermarkRises,
        ),
        case(
            "another payload at its position",
            |r| cometbft(r).last.as_mut().unwrap().content.as_mut().unwrap().payload = Digest([9; 32]),
            Invariant::WatermarkRises,
        ),
        case("the lock is gone", |r| cometbft(r).lock = None, Invariant::WatermarkRises),
        case("the newest vote is gone", |r| cometbft(r).vote = None, Invariant::WatermarkRises),
        case(
            "another protocol",
            |r| r.watermark = Watermark::Generic(crate::generic::GenericRecord::default()),
            Invariant::WatermarkRises,
        ),
    ]);
}

#[test]
fn a_window_that_leaves_its_heights_open_is_caught() {
    let broken = Err(Invariant::WindowSettled);
    run(vec![
        window_case("it shrinks", |r| r.window_height = Some(108), broken),
        window_case(
            "it ends by a handover with its heights open",
            |r| (r.epoch, r.holder, r.window_height) = (Epoch(4), Some(holder(2)), None),
            broken,
        ),
        window_case(
            "it ends by an operator's change with its heights open",
            |r| (r.version, r.holder, r.window_height) = (8, None, None),
            broken,
        ),
        window_case("it ends under its holder", |r| r.window_height = None, broken),
        window_case(
            "it passes to the next holder",
            |r| (r.epoch, r.holder) = (Epoch(4), Some(holder(2))),
            broken,
        ),
        window_case("its holder is gone", |r| r.holder = None, broken),
        Case {
            name: "it opens for nobody",
            before: KeyRecord { holder: None, ..record() },
            change: |r| r.window_height = Some(109),
            expected: broken,
        },
    ]);
}

#[test]
fn an_identity_that_changes_is_caught() {
    run(vec![
        case("the key", |r| r.public_key = PublicKey::new(&[2]).unwrap(), Invariant::ProtocolFixed),
        case(
            "the chain",
            |r| r.chain = ChainIdentity::Cometbft(ChainId::parse("demo-2").unwrap()).into(),
            Invariant::ProtocolFixed,
        ),
        case("the name", |r| r.name = KeyName::parse("other").unwrap(), Invariant::ProtocolFixed),
    ]);
}

#[test]
fn a_falling_version_and_a_retired_key_that_comes_back_are_caught() {
    let retired = KeyRecord { state: KeyState::Retired { reason: reason() }, ..record() };
    run(vec![
        case("the version falls", |r| r.version = 6, Invariant::VersionRises),
        Case {
            name: "a retired key is active",
            before: retired.clone(),
            change: |r| r.state = KeyState::Active,
            expected: Err(Invariant::VersionRises),
        },
        Case {
            name: "a retired key is frozen",
            before: retired,
            change: |r| r.state = KeyState::Frozen { reason: reason() },
            expected: Err(Invariant::VersionRises),
        },
    ]);
}

/// The changes that commands do make break nothing: a check that refuses them would stop keys.
#[test]
fn what_commands_do_is_let_through() {
    let fine = |name, before, change| Case { name, before, change, expected: Ok(()) };
    run(vec![
        fine("nothing", record(), |_| {}),
        fine("a handover", record(), |r| (r.epoch, r.holder) = (Epoch(4), Some(holder(2)))),
        fine("a release", record(), |r| r.holder = None),
        fine("an import", record(), |r| {
            r.watermark.raise(&Claim::Cometbft(CometbftClaim::floor(200))).unwrap();
            r.version += 1;
        }),
        fine("an import of the same position", record(), |r| {
            cometbft(r).last.as_mut().unwrap().content = None;
            r.version += 1;
        }),
        fine("a window opens", record(), |r| r.window_height = Some(109)),
        fine("a window grows", record_with_window(), |r| r.window_height = Some(112)),
        fine("a window is given back", record_with_window(), |r| {
            r.watermark.advance(&precommit(107, 2), Epoch(3)).unwrap();
            (r.holder, r.window_height) = (None, None);
        }),
        fine("a window ends with its heights excluded", record_with_window(), |r| {
            r.end_window_and_lease();
            (r.epoch, r.holder) = (Epoch(4), Some(holder(2)));
        }),
        fine("an operator ends it", record_with_window(), |r| {
            r.end_window_and_lease();
            r.version += 1;
        }),
        fine("retired", record_with_window(), |r| {
            r.end_window_and_lease();
            (r.version, r.state) = (8, KeyState::Retired { reason: reason() });
        }),
    ]);
}

/// Each invariant has words of its own for the operator who has to report it.
#[test]
fn every_invariant_is_told_apart_by_its_text() {
    use std::collections::BTreeSet;
    use std::string::ToString;
    let all = [
        Invariant::EpochRises,
        Invariant::WatermarkRises,
        Invariant::WindowSettled,
        Invariant::ProtocolFixed,
        Invariant::VersionRises,
    ];
    let texts: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), all.len());
}
