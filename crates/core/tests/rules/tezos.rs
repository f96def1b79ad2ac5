//! Tezos and generic keys as truth tables: one high watermark for each kind of message.

use crate::build::{GENERIC, Machine, TEZOS, nothing_signed};
use interlock_core::generic::{GenericClaim, GenericIntent};
use interlock_core::tezos::{Kind, LevelRound, Position, TezosClaim, TezosIntent};
use interlock_core::{Claim, Digest, Intent, Policy, Rule};

const ROOT: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);
const KINDS: [Kind; 3] = [Kind::Block, Kind::Preattestation, Kind::Attestation];

fn tezos(kind: Kind, level: u32, round: u32, payload: Digest) -> Intent {
    Intent::Tezos(TezosIntent { position: Position { kind, level, round }, payload })
}

/// `octez-signer --check-high-watermark`: lower is refused, equal repeats only with the same digest, higher is signed.
fn upstream(last: (u64, u64), asked: (u64, u64), digest_known: bool, same: bool) -> Rule {
    match asked.cmp(&last) {
        std::cmp::Ordering::Less => Rule::NoRegression,
        std::cmp::Ordering::Greater => Rule::Advance,
        std::cmp::Ordering::Equal if !digest_known => Rule::AboveFloor,
        std::cmp::Ordering::Equal if same => Rule::Repeat,
        std::cmp::Ordering::Equal => Rule::NoConflict,
    }
}

#[test]
fn every_pair_of_messages_of_one_kind_follows_the_high_watermark() {
    for kind in KINDS {
        for imported in [false, true] {
            for (level, round) in (4..7_u32).flat_map(|level| (0..3_u32).map(move |round| (level, round))) {
                for payload in [ROOT, OTHER] {
                    let mut machine = Machine::with(TEZOS, nothing_signed(TEZOS), Policy::default());
                    if imported {
                        let at = |of| (of == kind).then_some(LevelRound { level: 5, round: 1 });
                        let [block, preattestation, attestation] = KINDS.map(at);
                        let claim = TezosClaim { floor_level: None, block, preattestation, attestation };
                        assert!(!machine.import(TEZOS, Claim::Tezos(claim)).is_denied());
                    } else {
                        let first = machine.ask_key(TEZOS, tezos(kind, 5, 1, ROOT));
                        assert_eq!(first.rule(), Rule::Advance);
                    }
                    let asked = (level.into(), round.into());
                    let expected = upstream((5, 1), asked, !imported, payload == ROOT);
                    let ours = machine.ask_key(TEZOS, tezos(kind, level, round, payload)).rule();
                    assert_eq!(ours, expected, "{kind:?} {asked:?} {payload}, imported: {imported}");
                }
            }
        }
    }
}

/// A block, a preattestation and an attestation of one round never conflict with each other.
#[test]
fn each_kind_has_a_watermark_of_its_own() {
    for first in KINDS {
        for second in KINDS {
            let mut machine = Machine::with(TEZOS, nothing_signed(TEZOS), Policy::default());
            assert_eq!(machine.ask_key(TEZOS, tezos(first, 5, 1, ROOT)).rule(), Rule::Advance);
            for (level, round) in [(4, 0), (5, 0), (5, 1), (5, 2)] {
                let ours = machine.ask_key(TEZOS, tezos(second, level, round, OTHER)).rule();
                let expected = if first != second {
                    Rule::Advance
                } else {
                    upstream((5, 1), (level.into(), round.into()), true, false)
                };
                assert_eq!(ours, expected, "{first:?} 5/1, then {second:?} {level}/{round}");
            }
        }
    }
}

/// The floor excludes a level in every kind, and level 0 can be excluded: absent is not zero.
#[test]
fn a_floor_excludes_whole_levels() {
    for floor in [0, 5] {
        for kind in KINDS {
            let claim = TezosClaim { floor_level: Some(floor), ..TezosClaim::default() };
            let mut machine = Machine::with(TEZOS, Claim::Tezos(claim), Policy::default());
            let rules = [(floor, 9), (floor + 1, 0)]
                .map(|(level, round)| machine.ask_key(TEZOS, tezos(kind, level, round, ROOT)).rule());
            assert_eq!(rules, [Rule::AboveFloor, Rule::Advance]);
        }
    }
    let mut machine = Machine::with(TEZOS, nothing_signed(TEZOS), Policy::default());
    assert_eq!(machine.ask_key(TEZOS, tezos(Kind::Block, 0, 0, ROOT)).rule(), Rule::Advance);
}

#[test]
fn a_generic_position_is_compared_number_by_number() {
    let last = [5, 1, 1];
    let numbers =
        [4, 5, 6].into_iter().flat_map(|a| (0..3).flat_map(move |b| (0..3).map(move |c| [a, b, c])));
    for asked in numbers {
        for imported in [false, true] {
            for payload in [ROOT, OTHER] {
                let mut machine = Machine::with(GENERIC, nothing_signed(GENERIC), Policy::default());
                let generic = |position, payload| Intent::Generic(GenericIntent { position, payload });
                if imported {
                    let claim = GenericClaim { floor_height: None, newest: Some(last) };
                    assert!(!machine.import(GENERIC, Claim::Generic(claim)).is_denied());
                } else {
                    assert_eq!(machine.ask_key(GENERIC, generic(last, ROOT)).rule(), Rule::Advance);
                }
                let in_order = |[a, b, c]: [u64; 3]| (a, b * 10 + c);
                let expected = upstream(in_order(last), in_order(asked), !imported, payload == ROOT);
                let ours = machine.ask_key(GENERIC, generic(asked, payload)).rule();
                assert_eq!(ours, expected, "{asked:?} {payload}, imported: {imported}");
            }
        }
    }
}
