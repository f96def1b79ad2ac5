//! Ethereum as truth tables: every pair of a recorded and an asked message in a small world, against the conditions of
//! EIP-3076 written down from the proposal.

use crate::build::{ETHEREUM, Machine, nothing_signed};
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim, EthereumIntent};
use interlock_core::{Claim, Digest, Intent, Policy, Rule};

const ROOT: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);

/// How the record came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recorded {
    /// Approved here: its root is known.
    Approved,
    /// Imported: its root is dropped, as the minimal strategy does.
    Imported,
    /// Approved here, then imported: the import does not say with which root, so ours does not repeat either.
    Both,
}

const RECORDED: [Recorded; 3] = [Recorded::Approved, Recorded::Imported, Recorded::Both];

fn block(slot: u64, signing_root: Digest) -> Intent {
    Intent::Ethereum(EthereumIntent::Block { slot, signing_root })
}

fn attestation((source_epoch, target_epoch): (u64, u64), signing_root: Digest) -> Intent {
    Intent::Ethereum(EthereumIntent::Attestation { source_epoch, target_epoch, signing_root })
}

fn machine(recorded: Recorded, first: Intent, claim: EthereumClaim) -> Machine {
    let mut machine = Machine::with(ETHEREUM, nothing_signed(ETHEREUM), Policy::default());
    if recorded != Recorded::Imported {
        assert_eq!(machine.ask_key(ETHEREUM, first).rule(), Rule::Advance);
    }
    if recorded != Recorded::Approved {
        assert!(!machine.import(ETHEREUM, Claim::Ethereum(claim)).is_denied());
    }
    machine
}

#[test]
fn every_pair_of_blocks_follows_conditions_1_and_2() {
    for recorded in RECORDED {
        for slot in 8..13 {
            for root in [ROOT, OTHER] {
                let claim = EthereumClaim { slot: Some(10), epochs: None };
                let mut machine = machine(recorded, block(10, ROOT), claim);
                let expected = match slot {
                    ..10 => Rule::NoRegression,
                    11.. => Rule::Advance,
                    // A missing root makes any block of the slot a conflict.
                    10 if recorded != Recorded::Approved => Rule::AboveFloor,
                    10 if root == ROOT => Rule::Repeat,
                    10 => Rule::NoConflict,
                };
                let ours = machine.ask_key(ETHEREUM, block(slot, root)).rule();
                assert_eq!(ours, expected, "slot {slot} root {root} after slot 10 {recorded:?}");
            }
        }
    }
}

#[test]
fn every_pair_of_attestations_follows_conditions_3_to_5() {
    let (source, target) = (3, 5);
    let mut safe = 0;
    for recorded in RECORDED {
        for asked_source in 1..7 {
            for asked_target in 2..9 {
                for root in [ROOT, OTHER] {
                    let epochs = Some(ClaimedEpochs { source_epoch: source, target_epoch: target });
                    let claim = EthereumClaim { slot: None, epochs };
                    let mut machine = machine(recorded, attestation((source, target), ROOT), claim);
                    let asked = (asked_source, asked_target);
                    let same = asked == (source, target) && root == ROOT && recorded == Recorded::Approved;
                    let expected = match () {
                        () if asked_source > asked_target => Rule::IntentSound,
                        () if same => Rule::Repeat,
                        () if asked_source < source || asked_target < target => Rule::NoRegression,
                        () if asked_target > target => Rule::Advance,
                        () if recorded != Recorded::Approved => Rule::AboveFloor,
                        () => Rule::NoConflict,
                    };
                    let ours = machine.ask_key(ETHEREUM, attestation(asked, root)).rule();
                    assert_eq!(ours, expected, "{asked:?} root {root} after (3, 5) {recorded:?}");
                    let surrounds = asked_source < source && target < asked_target;
                    let surrounded = source < asked_source && asked_target < target;
                    let double = asked_target == target && !same;
                    if surrounds || surrounded || double {
                        assert!(!matches!(ours, Rule::Advance | Rule::Repeat), "slashable: {asked:?}");
                    }
                    safe += u32::from(matches!(ours, Rule::Advance | Rule::Repeat));
                }
            }
        }
    }
    // Sources 3 to 6 for each of the targets 6 to 8, under two roots, and the one repeat.
    assert_eq!(safe, 3 * 2 * (3 * 4) + 1);
}

/// The maxima of an import need not come from one attestation; the repeat of ours ends when its source is behind.
#[test]
fn an_import_raises_source_and_target_each_by_itself() {
    let import = |source_epoch, target_epoch| {
        let epochs = Some(ClaimedEpochs { source_epoch, target_epoch });
        Claim::Ethereum(EthereumClaim { slot: None, epochs })
    };
    let mut machine = Machine::with(ETHEREUM, nothing_signed(ETHEREUM), Policy::default());
    let ask = |machine: &mut Machine, at| machine.ask_key(ETHEREUM, attestation(at, ROOT)).rule();
    assert_eq!(ask(&mut machine, (3, 9)), Rule::Advance);
    assert_eq!(machine.import(ETHEREUM, import(4, 5)).rule(), Rule::KeyChanged);
    assert_eq!(ask(&mut machine, (3, 9)), Rule::NoRegression, "its source is behind now");
    assert_eq!(ask(&mut machine, (3, 10)), Rule::NoRegression);
    assert_eq!(ask(&mut machine, (4, 10)), Rule::Advance);
    assert_eq!(machine.import(ETHEREUM, import(2, 12)).rule(), Rule::KeyChanged);
    assert_eq!(ask(&mut machine, (4, 12)), Rule::AboveFloor, "whose root nobody knows");
    assert_eq!(ask(&mut machine, (3, 13)), Rule::NoRegression, "the source stayed");
    assert_eq!(ask(&mut machine, (4, 13)), Rule::Advance);
}

/// Blocks and attestations have nothing to do with each other.
#[test]
fn blocks_and_attestations_are_recorded_apart() {
    let mut machine = Machine::with(ETHEREUM, nothing_signed(ETHEREUM), Policy::default());
    for (message, rule) in [
        (block(320, ROOT), Rule::Advance),
        (attestation((3, 4), ROOT), Rule::Advance),
        (block(320, ROOT), Rule::Repeat),
        (attestation((3, 4), ROOT), Rule::Repeat),
        (block(319, ROOT), Rule::NoRegression),
        (attestation((0, 0), OTHER), Rule::NoRegression),
    ] {
        assert_eq!(machine.ask_key(ETHEREUM, message).rule(), rule);
    }
}

/// Slot and epoch 0 are positions like any other: absent is not zero.
#[test]
fn the_genesis_slot_and_epoch_are_guarded() {
    let mut machine = Machine::with(ETHEREUM, nothing_signed(ETHEREUM), Policy::default());
    for (message, rule) in [
        (block(0, ROOT), Rule::Advance),
        (block(0, OTHER), Rule::NoConflict),
        (attestation((0, 0), ROOT), Rule::Advance),
        (attestation((0, 0), OTHER), Rule::NoConflict),
        (attestation((0, 0), ROOT), Rule::Repeat),
    ] {
        assert_eq!(machine.ask_key(ETHEREUM, message).rule(), rule);
    }
}
