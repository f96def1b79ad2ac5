//! Random command sequences: every verdict is the oracle's, and S1, S3 and S4 hold after every command.
//!
//! The sequences are the same in every run; `INTERLOCK_PROPERTY_SEED` (a number) gives others, `PROPTEST_CASES` more.

use crate::build::{CLUSTER, Machine, STEPS, add_key, holder, intent, key_id};
use crate::oracle::Oracle;
use interlock_core::cometbft::Position;
use interlock_core::{
    Action, ClusterId, Command, Epoch, Intent, KeyName, KeyRecord, Policy, Reason, Rule, State, Verdict,
    Watermark,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const SEQUENCES: u32 = 1_500;
const COMMANDS_MAX: usize = 90;

/// What to do, with epochs and versions as guesses: mostly what is current, made absolute when it is applied.
#[derive(Clone, Debug)]
struct Step {
    key: u8,
    wrong_cluster: bool,
    verb: Verb,
    /// Subtracted from the current epoch or version; -1 is the future.
    behind: i8,
}

#[derive(Clone, Debug)]
enum Verb {
    Add {
        floor: u64,
        lock_rule: bool,
        steal_name: bool,
        no_signers: bool,
    },
    Acquire(u8, u8),
    Release(u8, u8),
    Handover(u8, u8),
    /// By a holder, or (most often) by whoever holds the lease now.
    Approve {
        by: Option<(u8, u8)>,
        at: Place,
        block: u8,
        seconds: i64,
        node: u8,
    },
    Freeze(bool),
    Unfreeze,
}

/// Where: anywhere, or (most often) some steps from the newest approval, as a chain goes.
#[derive(Clone, Debug)]
enum Place {
    At(Position),
    Steps(i64),
}

const ROUNDS: u64 = 5;

fn place() -> impl Strategy<Value = Place> {
    let anywhere = (1_u64..40, 0_u64..ROUNDS, 0_u64..3)
        .prop_map(|(height, round, step)| Place::At(position((height * ROUNDS + round) * 3 + step)));
    prop_oneof![1 => anywhere, 4 => (-2_i64..4).prop_map(Place::Steps), 1 => (0_i64..20).prop_map(Place::Steps)]
}

/// Positions in a row.
fn position(ordinal: u64) -> Position {
    let (round, step) = (ordinal / 3, ordinal % 3);
    let round_of_height = u32::try_from(round % ROUNDS).unwrap();
    Position { height: round / ROUNDS, round: round_of_height, step: STEPS[usize::try_from(step).unwrap()] }
}

fn resolve(place: &Place, record: Option<&KeyRecord>) -> Position {
    let steps = match place {
        Place::At(position) => return *position,
        Place::Steps(steps) => *steps,
    };
    let newest = record.and_then(|record| {
        let Watermark::Cometbft(watermark) = &record.watermark;
        watermark.last.as_ref().map(|last| last.position)
    });
    let ordinal =
        newest.map_or(ROUNDS * 3, |at| (at.height * ROUNDS + u64::from(at.round)) * 3 + at.step as u64 - 1);
    position(ordinal.saturating_add_signed(steps))
}

fn verb() -> impl Strategy<Value = Verb> {
    let who = || (0_u8..3, 1_u8..3);
    let by = prop_oneof![5 => Just(None), 1 => who().prop_map(Some)];
    prop_oneof![
        2 => (0_u64..3, prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(floor, lock_rule, steal_name, no_signers)| {
                Verb::Add { floor, lock_rule, steal_name, no_signers }
            }),
        4 => who().prop_map(|(signer, process)| Verb::Acquire(signer, process)),
        2 => who().prop_map(|(signer, process)| Verb::Release(signer, process)),
        3 => who().prop_map(|(signer, process)| Verb::Handover(signer, process)),
        24 => (by, place(), 0_u8..5, 0_i64..2, 0_u8..2)
            .prop_map(|(by, at, block, seconds, node)| Verb::Approve { by, at, block, seconds, node }),
        1 => any::<bool>().prop_map(Verb::Freeze),
        2 => Just(Verb::Unfreeze),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let behind = prop_oneof![8 => Just(0_i8), 2 => -1_i8..3];
    (0_u8..2, prop::bool::weighted(0.02), verb(), behind)
        .prop_map(|(key, wrong_cluster, verb, behind)| Step { key, wrong_cluster, verb, behind })
}

fn guess(current: u64, behind: i8) -> u64 {
    current.saturating_add_signed(-i64::from(behind))
}

/// Makes a step absolute, seen from this state.
fn command(state: &State, step: &Step) -> Command {
    let record = state.key(key_id(step.key));
    let epoch = Epoch(guess(record.map_or(0, |record| record.epoch.0), step.behind));
    let version = guess(record.map_or(0, |record| record.version), step.behind);
    let reason = |text| Reason::parse(text).unwrap();
    let action = match &step.verb {
        Verb::Add { floor, lock_rule, steal_name, no_signers } => {
            let mut made = add_key(step.key, *floor, Policy { max_jump_heights: 20, lock_rule: *lock_rule });
            if let Action::AddKey(add) = &mut made.action {
                if *steal_name {
                    add.name = KeyName::parse(&format!("key-{}", 1 - step.key)).unwrap();
                }
                if *no_signers {
                    add.signers.clear();
                }
            }
            made.action
        }
        Verb::Acquire(signer, process) => {
            Action::Acquire { holder: holder(*signer, *process), expected_epoch: epoch }
        }
        Verb::Release(signer, process) => Action::Release { holder: holder(*signer, *process), epoch },
        Verb::Handover(signer, process) => {
            Action::Handover { expected_epoch: epoch, to: holder(*signer, *process), reason: reason("test") }
        }
        Verb::Approve { by, at, block, seconds, node } => {
            let current = record.and_then(|record| record.holder.clone());
            let by = by
                .map(|(signer, process)| holder(signer, process))
                .or(current)
                .unwrap_or_else(|| holder(0, 1));
            let intent = Intent::Cometbft(intent(
                resolve(at, record),
                *block,
                *seconds,
                ["n1", "n2"][usize::from(*node)],
            ));
            Action::Approve { holder: by, epoch, intent }
        }
        Verb::Freeze(other) => {
            Action::Freeze { expected_version: version, reason: reason(if *other { "one" } else { "two" }) }
        }
        Verb::Unfreeze => Action::Unfreeze { expected_version: version, reason: reason("") },
    };
    let cluster = if step.wrong_cluster { ClusterId([8; 16]) } else { CLUSTER };
    Command { cluster, key: key_id(step.key), action }
}

/// S4, from outside: no part of any watermark, no epoch and no version is lower than before.
fn assert_monotone(before: &State, after: &State) {
    for (key, old) in before.keys() {
        let new = after.key(key).expect("a key never disappears");
        let (Watermark::Cometbft(low), Watermark::Cometbft(high)) = (&old.watermark, &new.watermark);
        assert!(high.floor_height >= low.floor_height);
        assert!(high.last.as_ref().map(|last| last.position) >= low.last.as_ref().map(|last| last.position));
        assert!(high.height() >= low.height());
        assert!(high.lock.as_ref().map(|lock| lock.height) >= low.lock.as_ref().map(|lock| lock.height));
        assert!(new.epoch >= old.epoch && new.version >= old.version);
        assert!(
            new.epoch > old.epoch || new.holder == old.holder || new.holder.is_none(),
            "S3: a new holder has a new epoch"
        );
    }
}

/// Runs one sequence; returns the rules that decided.
fn run(steps: &[Step]) -> BTreeSet<Rule> {
    let (mut machine, mut replica) = (Machine::new(), State::genesis(CLUSTER));
    let mut oracle = Oracle::new(CLUSTER);
    let mut signed = BTreeMap::new();
    let mut rules = BTreeSet::new();
    for step in steps {
        let command = command(&machine.state, step);
        let (at, before) = (machine.at(), machine.state.clone());
        let expected = oracle.decide(&command);
        let verdict = machine.apply(&command);
        assert_eq!(verdict.rule(), expected, "{command:?}");
        if let Verdict::Approved(approved) = &verdict {
            let now = (approved.payload, approved.timestamp);
            let first = signed.entry((approved.key, approved.position)).or_insert(now);
            assert_eq!(*first, now, "S1: one payload, with one timestamp, per position");
        }
        let record = machine.state.key(command.key);
        assert_eq!(
            record.map(|record| (record.epoch, record.holder.as_ref())),
            oracle.lease(command.key),
            "S3"
        );
        assert_monotone(&before, &machine.state);
        if let (Verdict::Approved(approved), Action::Approve { holder, epoch, .. }) =
            (&verdict, &command.action)
        {
            let record = record.expect("approved for a known key");
            assert_eq!(
                (record.holder.as_ref(), record.epoch, approved.epoch),
                (Some(holder), *epoch, *epoch),
                "S3"
            );
            assert_eq!((approved.cluster, approved.key, approved.at), (CLUSTER, command.key, at));
        }
        assert_eq!(replica.apply(at, &command), verdict, "determinism");
        rules.insert(verdict.rule());
    }
    assert_eq!(replica, machine.state);
    assert_eq!(replica.audit_chain(), machine.state.audit_chain());
    let bytes = minicbor::to_vec(&replica).unwrap();
    assert_eq!(minicbor::to_vec(&machine.state).unwrap(), bytes, "equal states have equal bytes");
    assert_eq!(minicbor::decode::<State>(&bytes).unwrap(), replica);
    rules
}

fn seed() -> [u8; 32] {
    let number: u64 = std::env::var("INTERLOCK_PROPERTY_SEED").map_or(0, |text| text.parse().unwrap());
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    seed
}

#[test]
fn random_commands_get_the_verdicts_of_the_oracle() {
    let cases = std::env::var("PROPTEST_CASES").map_or(SEQUENCES, |text| text.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed()));
    let reached = RefCell::new(BTreeSet::new());
    let sequences = prop::collection::vec(step(), 1..COMMANDS_MAX);
    runner
        .run(&sequences, |steps| {
            reached.borrow_mut().extend(run(&steps));
            Ok(())
        })
        .unwrap();
    let all: BTreeSet<_> = Rule::ALL.iter().copied().collect();
    assert_eq!(reached.into_inner(), all, "a rule that no sequence reaches is not tested");
}

/// The audit chain tells two histories apart that end in the same records.
#[test]
fn the_audit_chain_covers_denials_and_order() {
    let record =
        |machine: &Machine| machine.state.keys().map(|(_, record)| record.clone()).collect::<Vec<_>>();
    let frozen = |machine: &mut Machine, version| {
        machine.act(0, Action::Freeze { expected_version: version, reason: Reason::parse("x").unwrap() })
    };
    let mut one = Machine::holding(0, Policy::default());
    let mut two = Machine::holding(0, Policy::default());
    assert_eq!(one.state.audit_chain(), two.state.audit_chain());
    assert!(frozen(&mut one, 8).is_denied() && frozen(&mut two, 9).is_denied());
    assert_eq!(record(&one), record(&two));
    assert_ne!(one.state.audit_chain(), two.state.audit_chain());
}
