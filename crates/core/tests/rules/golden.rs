//! Golden states: what earlier releases wrote still decodes, and is written again byte for byte.
//!
//! `tests/golden/` holds one state for each rule version: its bytes, and a text with its digest and what is in it.
//! `INTERLOCK_REWRITE_GOLDEN=1` writes them anew. Do that only for a format that no release has written: to change one
//! that is out there is to lose the states that people have.

use crate::build::{CLUSTER, COMETBFT, ETHEREUM, GENERIC, Machine, TEZOS};
use crate::build::{add_key, holder, intent, key_id, nothing_signed, reason, signer};
use interlock_core::book::RULES_NEWEST;
use interlock_core::cometbft::{CometbftClaim, Position, Step};
use interlock_core::ethereum::EthereumIntent;
use interlock_core::generic::GenericIntent;
use interlock_core::state::{STATE_FORMAT, StateError};
use interlock_core::tezos::{Kind, TezosIntent};
use interlock_core::{
    Action, Claim, ClusterId, Command, Digest, Epoch, Intent, KeyId, Policy, State, Verdict, tezos,
};
use std::io::Write as _;
use std::path::PathBuf;

/// Every kind of key, position and key state that rule version 1 knows.
fn rules_1() -> Machine {
    let mut machine = Machine::new();
    for key in 0..8 {
        let claim = if key == 4 { Claim::Cometbft(CometbftClaim::floor(99)) } else { nothing_signed(key) };
        let add = interlock_core::command::AddKey { claim, ..add_key(key, Policy::default()) };
        accepted(machine.apply(&add.into_command(CLUSTER)));
        accepted(machine.act(key, Action::Acquire { holder: holder(0, 1), expected_epoch: Epoch(0) }));
    }
    for (key, message) in messages(5) {
        accepted(machine.ask_key(key, message));
    }
    accepted(machine.act(4, Action::Freeze { expected_version: 1, reason: reason("alarm") }));
    accepted(machine.act(5, Action::Retire { expected_version: 1, reason: reason("sold") }));
    accepted(machine.act(6, Action::Release { holder: holder(0, 1), epoch: Epoch(1), give_back: None }));
    let to = holder(1, 1);
    let handover = Action::Handover { expected_epoch: Epoch(1), to, reason: reason("drill") };
    accepted(machine.act(7, handover));
    let signers = vec![signer(2), signer(0)];
    accepted(machine.act(7, Action::SetSigners { expected_version: 1, signers, reason: reason("") }));
    machine
}

/// A message of every kind.
fn messages(height: u64) -> Vec<(u8, Intent)> {
    let digest = |byte| Digest([byte; 32]);
    let at = |step| Position { height, round: 1, step };
    let tezos = |kind| {
        let position = tezos::Position { kind, level: u32::try_from(height).unwrap(), round: 2 };
        (TEZOS, Intent::Tezos(TezosIntent { position, payload: digest(3) }))
    };
    let (block, attestation) = (
        EthereumIntent::Block { slot: height, signing_root: digest(1) },
        EthereumIntent::Attestation { source_epoch: 0, target_epoch: 1, signing_root: digest(2) },
    );
    vec![
        (COMETBFT, Intent::Cometbft(intent(at(Step::Precommit), 1, 10, "n1"))),
        (ETHEREUM, Intent::Ethereum(block)),
        (ETHEREUM, Intent::Ethereum(attestation)),
        tezos(Kind::Block),
        tezos(Kind::Preattestation),
        tezos(Kind::Attestation),
        (GENERIC, Intent::Generic(GenericIntent { position: [height, 0, 1], payload: digest(4) })),
    ]
}

/// What rule version 2 adds, and a quarantine.
fn rules_2() -> State {
    let mut machine = rules_1();
    let raise = Action::RaiseRules { expected_rules: 1, rules: 2 };
    let cluster = KeyId::of_cluster(CLUSTER);
    accepted(machine.apply(&Command { cluster: CLUSTER, key: cluster, action: raise }));
    let policy = Policy { window_heights: 8, ..Policy::default() };
    accepted(machine.act(0, Action::SetPolicy { expected_version: 1, policy, reason: reason("") }));
    let reserve = Action::Reserve { holder: holder(0, 1), epoch: Epoch(1), height: 6, up_to_height: 9 };
    accepted(machine.act(0, reserve));
    machine.state
}

fn accepted(verdict: Verdict) {
    assert!(!verdict.is_denied(), "{verdict:?}");
}

/// What a person sees in a state.
fn summary(state: &State) -> String {
    let mut lines = vec![
        format!("digest {}", state.digest()),
        format!("chain {}", state.audit_chain()),
        format!("cluster {} rules {} format {STATE_FORMAT}", state.cluster(), state.rule_version()),
        format!("applied {:?}", state.applied().map(|at| at.to_string())),
    ];
    for (key, record) in state.keys() {
        assert_eq!(state.key_named(&record.name), Some((key, record)), "found by its name");
        let holder = record.holder.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        let window = record.window_height.map_or("none".to_owned(), |height| height.to_string());
        lines.push(format!(
            "{} {} {}: epoch {} held by {holder}, version {}, window {window}, height {}",
            record.name,
            record.chain,
            record.state,
            record.epoch,
            record.version,
            record.watermark.height()
        ));
        lines.extend(record.watermark.marks().map(|(position, payload)| {
            format!(
                "  {position} payload {}",
                payload.map_or("unknown".to_owned(), |payload| payload.to_string())
            )
        }));
    }
    lines.join("\n") + "\n"
}

fn golden(name: &str, state: &State) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (binary, text) = (folder.join(format!("{name}.bin")), folder.join(format!("{name}.txt")));
    if std::env::var_os("INTERLOCK_REWRITE_GOLDEN").is_some() {
        let mut past_the_capture = std::io::stderr();
        writeln!(past_the_capture, "WARNING: {name} is written anew; earlier states may no longer open")
            .unwrap();
        std::fs::write(&binary, state.to_bytes()).unwrap();
        std::fs::write(&text, summary(state)).unwrap();
    }
    let bytes = std::fs::read(&binary).unwrap();
    let decoded = State::from_bytes(&bytes).unwrap();
    assert_eq!(decoded.to_bytes(), bytes, "{name} is written again as it was");
    assert_eq!(summary(&decoded), std::fs::read_to_string(&text).unwrap(), "{name}");
    assert_eq!(decoded, *state, "{name}: the same commands still lead to the same state");
}

#[test]
fn a_state_of_rules_1_is_read_and_written_as_it_was() {
    golden("state-rules-1", &rules_1().state);
}

#[test]
fn a_state_of_rules_2_is_read_and_written_as_it_was() {
    golden("state-rules-2", &rules_2());
}

#[test]
fn a_restored_state_is_read_and_written_as_it_was() {
    golden("state-restored", &rules_2().restored_as(ClusterId([8; 16]), &reason("all nodes lost")));
}

/// The chain over a fixed list of commands, denials among them. Another value means that replicas of two releases would
/// take each other for diverged.
#[test]
fn the_audit_chain_over_a_fixed_list_stays_what_it_was() {
    let mut machine = rules_1();
    for (key, message) in messages(5).into_iter().chain(messages(4)) {
        machine.ask_key(key, message);
    }
    let golden = "c69d98bab3a8cb56df1aa22b433f42e7c8c0c7d7d7462a0f929870dc9bbc64c9";
    assert_eq!(machine.state.audit_chain().to_string(), golden);
}

/// Replaces one place in the bytes of a state, which must be there once.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    let [at] = places[..] else { panic!("{from:02x?} is there {} times", places.len()) };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn what_this_release_did_not_write_is_refused() {
    let bytes = rules_2().to_bytes();
    let newer = [&(STATE_FORMAT + 1).to_be_bytes()[..], &bytes[4..]].concat();
    assert_eq!(State::from_bytes(&newer), Err(StateError::NewerFormat { found: STATE_FORMAT + 1 }));
    // The cluster's sixteen bytes, then the rule version.
    let rules = |version: u32| [&[7; 16][..], &[u8::try_from(version).unwrap()]].concat();
    let newer = replaced(&bytes, &rules(RULES_NEWEST), &rules(RULES_NEWEST + 1));
    assert_eq!(State::from_bytes(&newer), Err(StateError::NewerRules { found: RULES_NEWEST + 1 }));
    // The same number in two bytes instead of one: it decodes, and nobody writes it like that.
    let longer = [&[7; 16][..], &[0x18, 2]].concat();
    let long = replaced(&bytes, &rules(RULES_NEWEST), &longer);
    assert_eq!(State::from_bytes(&long), Err(StateError::NotCanonical));
    for len in 0..bytes.len() {
        assert_eq!(State::from_bytes(&bytes[..len]), Err(StateError::Undecodable), "cut at {len}");
    }
    let trailing = [&bytes[..], &[0]].concat();
    assert_eq!(State::from_bytes(&trailing), Err(StateError::NotCanonical));
}

/// The names of a state are those of its records, or it is no state.
#[test]
fn a_state_whose_names_are_not_those_of_its_keys_is_refused() {
    let mut machine = Machine::new();
    accepted(machine.apply(&add_key(0, Policy::default()).into_command(CLUSTER)));
    let bytes = machine.state.to_bytes();
    let entry = [&b"ekey-0\x58\x20"[..], &key_id(0).0].concat();
    let other = [&b"ekey-1\x58\x20"[..], &key_id(0).0].concat();
    assert_eq!(State::from_bytes(&replaced(&bytes, &entry, &other)), Err(StateError::Undecodable));
    let other = [&b"ekey-0\x58\x20"[..], &key_id(1).0].concat();
    assert_eq!(State::from_bytes(&replaced(&bytes, &entry, &other)), Err(StateError::Undecodable));
}
