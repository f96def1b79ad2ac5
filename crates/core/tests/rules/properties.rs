//! Random command sequences: every verdict is the oracle's, and S1, S3 and S4 hold after every command.
//!
//! The sequences are the same in every run; `INTERLOCK_PROPERTY_SEED` (a number) gives others, `PROPTEST_CASES` more.

use crate::build::{CLUSTER, COMETBFT, ETHEREUM, Machine, add_key, holder, key_id, reason};
use crate::steps::{Step, step};
use crate::world::World;
use interlock_core::{Action, Command, Epoch, KeyId, Policy, Rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeSet;

const SEQUENCES: u32 = 800;
const COMMANDS_MAX: usize = 120;

/// Most sequences begin where something can be signed: windows in force, two keys, each with a holder.
fn prepare(world: &mut World, keys: [u8; 2], window_heights: u64) {
    let raise = Action::RaiseRules { expected_rules: 1, rules: 2 };
    world.apply(&Command { cluster: CLUSTER, key: KeyId::of_cluster(CLUSTER), action: raise });
    for (process, key) in (1..).zip(keys) {
        let (max_jump_heights, window_heights) =
            if key == ETHEREUM { (200, 0) } else { (20, window_heights) };
        let policy = Policy { max_jump_heights, lock_rule: true, window_heights };
        world.apply(&add_key(key, policy).into_command(CLUSTER));
        let acquire = Action::Acquire { holder: holder(0, process), expected_epoch: Epoch(0) };
        world.apply(&Command { cluster: CLUSTER, key: key_id(key), action: acquire });
    }
}

/// Runs one sequence; returns the rules that decided.
fn run(keys: [u8; 2], prepared: Option<u64>, steps: &[Step]) -> BTreeSet<Rule> {
    let mut world = World::new();
    if let Some(window_heights) = prepared {
        prepare(&mut world, keys, window_heights);
    }
    for step in steps {
        world.take(keys[usize::from(step.second_key)], step);
    }
    world.finish();
    world.reached
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
    let keys = (prop_oneof![3 => Just(COMETBFT), 3 => 0_u8..4], 1_u8..4)
        .prop_map(|(one, further)| [one, (one + further) % 4]);
    let prepared = prop::option::weighted(0.93, prop_oneof![1 => Just(0_u64), 2 => 3_u64..9]);
    let steps = prop::collection::vec(step(), 1..COMMANDS_MAX);
    let run = |(keys, prepared, steps): ([u8; 2], _, Vec<Step>)| {
        reached.borrow_mut().extend(run(keys, prepared, &steps));
        Ok(())
    };
    runner.run(&(keys, prepared, steps), run).unwrap();
    let all: BTreeSet<_> = Rule::ALL.iter().copied().filter(|rule| *rule != Rule::InvariantKept).collect();
    assert_eq!(reached.into_inner(), all, "a rule that no sequence reaches is not tested");
}

/// The audit chain tells two histories apart that end in the same records.
#[test]
fn the_audit_chain_covers_denials_and_order() {
    let frozen = |machine: &mut Machine, expected_version| {
        machine.act(0, Action::Freeze { expected_version, reason: reason("x") })
    };
    let mut one = Machine::holding(0, Policy::default());
    let mut two = Machine::holding(0, Policy::default());
    assert_eq!(one.state.audit_chain(), two.state.audit_chain());
    assert!(frozen(&mut one, 8).is_denied() && frozen(&mut two, 9).is_denied());
    assert_eq!(one.state.book(), two.state.book());
    assert_ne!(one.state.audit_chain(), two.state.audit_chain());
}
