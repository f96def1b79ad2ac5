//! Encodings: what decodes was valid, and equal states have equal bytes.

use crate::build::{CLUSTER, Machine, add_key, holder, intent, key_id, reason, signer};
use interlock_core::cometbft::{Position, Step};
use interlock_core::key::PUBLIC_KEY_MAX_BYTES;
use interlock_core::state::StateError;
use interlock_core::{Action, AuditChain, Epoch, LogPosition, Policy, PublicKey, Rule, State, Verdict};
use std::sync::Arc;

#[test]
fn rules_travel_by_number() {
    for rule in Rule::ALL {
        let bytes = minicbor::to_vec(rule).unwrap();
        assert_eq!(minicbor::decode::<u32>(&bytes).unwrap(), rule.number());
        assert_eq!(minicbor::decode::<Rule>(&bytes).unwrap(), *rule);
    }
    let numbers: Vec<_> = Rule::ALL.iter().map(|rule| rule.number()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "the list is in order of precedence, each number once");
}

/// A key of a length that [`PublicKey::new`] refuses used to decode.
#[test]
fn decoding_a_public_key_checks_its_length() {
    for len in [0, PUBLIC_KEY_MAX_BYTES + 1] {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        encoder.array(1).unwrap().bytes(&vec![1; len]).unwrap();
        assert!(minicbor::decode::<PublicKey>(encoder.writer()).is_err(), "{len} bytes");
    }
    for len in [1, 32, PUBLIC_KEY_MAX_BYTES] {
        let key = PublicKey::new(&vec![1; len]).unwrap();
        assert_eq!(minicbor::decode::<PublicKey>(&minicbor::to_vec(&key).unwrap()).unwrap(), key);
    }
}

#[test]
fn a_cut_state_does_not_decode() {
    let mut machine = Machine::holding(3, Policy::default());
    machine.apply(&add_key(1, Policy::default()).into_command(CLUSTER));
    machine.ask(intent(Position { height: 4, round: 0, step: Step::Precommit }, 1, 10, "n1"));
    let bytes = machine.state.to_bytes();
    assert_eq!(State::from_bytes(&bytes), Ok(machine.state));
    for len in 0..bytes.len() {
        let cut = State::from_bytes(&bytes[..len]);
        assert_eq!(cut, Err(StateError::Undecodable), "cut at {len} of {} bytes", bytes.len());
    }
}

/// Every part of an item counts: the chain before it, its place, the command, the verdict.
#[test]
fn the_audit_chain_covers_every_part_of_an_item() {
    let mut machine = Machine::new();
    let add = |key| add_key(key, Policy::default()).into_command(CLUSTER);
    let (one, two) = (add(0), add(1));
    let at = |log_index, item| LogPosition { log_index, item };
    let (changed, other) = (machine.apply(&one), Verdict::Changed { version: 2 });
    let start = AuditChain::start();
    let links = [
        start.extend(at(1, 0), &one, &changed),
        start.extend(at(2, 0), &one, &changed),
        start.extend(at(1, 1), &one, &changed),
        start.extend(at(1, 0), &two, &changed),
        start.extend(at(1, 0), &one, &other),
        start.extend(at(1, 0), &one, &changed).extend(at(1, 0), &one, &changed),
        start,
    ];
    for (index, link) in links.iter().enumerate() {
        assert!(!links[..index].contains(link), "link {index} equals an earlier one");
    }
    assert_eq!(machine.state.audit_chain(), links[0]);
}

/// A key costs what it alone has: what many have in common is in memory once, also after a change and after reading.
#[test]
fn keys_share_what_they_have_in_common() {
    let mut machine = Machine::holding(3, Policy::default());
    machine.apply(&add_key(4, Policy::default()).into_command(CLUSTER));
    machine.act(4, Action::Acquire { holder: holder(1, 1), expected_epoch: Epoch(0) });
    let reversed = vec![signer(1), signer(0)];
    for (expected_version, signers) in [(1, reversed), (2, vec![signer(0), signer(1)])] {
        machine.act(4, Action::SetSigners { expected_version, signers, reason: reason("") });
    }
    let read = State::from_bytes(&machine.state.to_bytes()).unwrap();
    for state in [&machine.state, &read] {
        let [one, two] = [0, 4].map(|key| state.key(key_id(key)).unwrap());
        assert_eq!(two.version, 3);
        assert!(Arc::ptr_eq(&one.chain, &two.chain) && Arc::ptr_eq(&one.signers, &two.signers));
        let holder = two.holder.as_ref().unwrap().signer.as_str();
        assert!(std::ptr::eq(holder, two.signers[1].as_str()), "and the holder's name is that of the list");
    }
}
