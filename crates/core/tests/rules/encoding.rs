//! Encodings: what decodes was valid, and equal states have equal bytes.

use crate::build::{Machine, add_key, intent};
use interlock_core::cometbft::{Position, Step};
use interlock_core::key::PUBLIC_KEY_MAX_BYTES;
use interlock_core::{Policy, PublicKey, Rule, State};

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
    machine.apply(&add_key(1, 0, Policy::default()));
    machine.ask(intent(Position { height: 4, round: 0, step: Step::Precommit }, 1, 10, "n1"));
    let bytes = minicbor::to_vec(&machine.state).unwrap();
    assert_eq!(minicbor::decode::<State>(&bytes).unwrap(), machine.state);
    for len in 0..bytes.len() {
        assert!(minicbor::decode::<State>(&bytes[..len]).is_err(), "cut at {len} of {} bytes", bytes.len());
    }
}
