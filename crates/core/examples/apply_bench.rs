//! Measures what one approval costs with 100,000 keys, and what one key costs in memory.
//!
//! `cargo run --release -p interlock-core --example apply_bench [-- --output json]`. Approvals are timed one by one,
//! through [`State::apply`], audit chain included. Memory is the growth of the resident set while keys are added and
//! signed with (Linux only; elsewhere it is not measured and says so).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time; core does not")]
#![allow(clippy::float_arithmetic, reason = "figures for people")]

use interlock_core::cometbft::{CometbftClaim, CometbftIntent, Position, Step, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::ethereum::{EthereumClaim, EthereumIntent};
use interlock_core::{
    Action, Approval, ChainId, ChainIdentity, Claim, ClusterId, Command, Digest, Epoch, Holder, Incarnation,
    Intent, KeyName, LogPosition, NodeName, Policy, Protocol, PublicKey, SignerId, State, Verdict,
};
use std::hint::black_box;
use std::time::Instant;

const KEYS: u64 = 100_000;
const APPROVALS: u64 = 200_000;
const APPROVAL_TARGET_NANOS: u64 = 1_000;
const KEY_TARGET_BYTES: u64 = 600;
const CLUSTER: ClusterId = ClusterId([7; 16]);
/// Spreads consecutive approvals over all keys; coprime to their number.
const STRIDE: u64 = 61_803;

struct Figures {
    protocol: Protocol,
    p10_nanos: u64,
    p50_nanos: u64,
    p99_nanos: u64,
    bytes_per_key: Option<u64>,
}

struct World {
    state: State,
    next_index: u64,
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    for (part, byte) in bytes.chunks_mut(8).zip(1_u64..) {
        part.copy_from_slice(&(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 + byte).to_le_bytes());
    }
    Digest(bytes)
}

/// As an operator of many validators has them: three signers, a name, a key of the chain's length.
fn add_key(protocol: Protocol, number: u64) -> AddKey {
    let key = [digest(number).0, digest(!number >> 1).0].concat();
    let (chain, public_key, claim) = match protocol {
        Protocol::Ethereum => (
            ChainIdentity::Ethereum { genesis_validators_root: digest(0) },
            PublicKey::new(&key[..48]).unwrap(),
            Claim::Ethereum(EthereumClaim::default()),
        ),
        _ => (
            ChainIdentity::Cometbft(ChainId::parse("cosmoshub-4").unwrap()),
            PublicKey::new(&key[..32]).unwrap(),
            Claim::Cometbft(CometbftClaim::floor(0)),
        ),
    };
    let signers = ["fra-1", "ams-1", "hel-1"].map(|name| SignerId::parse(name).unwrap()).to_vec();
    let name = KeyName::parse(&format!("validator-{number:06}")).unwrap();
    AddKey { name, chain, public_key, signers, claim, policy: Policy::default() }
}

fn holder() -> Holder {
    Holder { signer: SignerId::parse("fra-1").unwrap(), incarnation: Incarnation([3; 16]) }
}

/// The message number `turn` of a key: rising votes for blocks, or blocks and attestations in turn.
fn intent(protocol: Protocol, turn: u64) -> Intent {
    if protocol == Protocol::Ethereum {
        let epoch = 1 + turn / 2;
        let signing_root = digest(turn);
        return Intent::Ethereum(if turn.is_multiple_of(2) {
            EthereumIntent::Block { slot: epoch * 32, signing_root }
        } else {
            EthereumIntent::Attestation { source_epoch: epoch - 1, target_epoch: epoch, signing_root }
        });
    }
    let step = if turn.is_multiple_of(2) { Step::Prevote } else { Step::Precommit };
    let position = Position { height: 1 + turn / 2, round: 0, step };
    Intent::Cometbft(CometbftIntent {
        position,
        block: Some(digest(position.height)),
        payload: digest(turn),
        timestamp: Timestamp { seconds: 1_800_000_000, nanos: 5 },
        node: NodeName::parse("fra-1-node").unwrap(),
    })
}

impl World {
    fn apply(&mut self, command: &Command) -> Verdict {
        let at = LogPosition { log_index: self.next_index, item: 0 };
        self.next_index += 1;
        self.state.apply(at, command)
    }

    fn approve(&mut self, command: &Command) {
        let verdict = self.apply(command);
        assert!(matches!(&verdict, Verdict::Approved(approved) if approved.approval == Approval::Fresh));
    }
}

/// Resident set of this process, bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn approval(key: interlock_core::KeyId, protocol: Protocol, turn: u64) -> Command {
    let action = Action::Approve { holder: holder(), epoch: Epoch(1), intent: intent(protocol, turn) };
    Command { cluster: CLUSTER, key, action }
}

/// The world stays, so that the next one does not live in its memory.
fn measure(protocol: Protocol) -> (Figures, World) {
    let mut keys = Vec::with_capacity(usize::try_from(KEYS).unwrap());
    let mut nanos = vec![0; usize::try_from(APPROVALS).unwrap()];
    keys.resize(keys.capacity(), add_key(protocol, 0).into_command(CLUSTER).key);
    nanos.fill(1_u64); // Both in memory before anything is measured.
    let before = resident();
    let mut world = World { state: State::genesis(CLUSTER), next_index: 1 };
    for (number, slot) in (0..KEYS).zip(&mut keys) {
        let add = add_key(protocol, number).into_command(CLUSTER);
        *slot = add.key;
        assert!(!world.apply(&add).is_denied());
        let acquire = Action::Acquire { holder: holder(), expected_epoch: Epoch(0) };
        assert!(!world.apply(&Command { cluster: CLUSTER, key: *slot, action: acquire }).is_denied());
        world.approve(&approval(*slot, protocol, 0));
        world.approve(&approval(*slot, protocol, 1));
    }
    let bytes_per_key = before.zip(resident()).map(|(before, after)| after.saturating_sub(before) / KEYS);
    for (turn, nanos) in (0..).zip(&mut nanos) {
        let number = usize::try_from(turn * STRIDE % KEYS).unwrap();
        let command = approval(keys[number], protocol, 2 + turn / KEYS);
        let start = Instant::now();
        let verdict = world.apply(black_box(&command));
        *nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
        assert!(!black_box(verdict).is_denied());
    }
    nanos.sort_unstable();
    let at = |percent: usize| nanos[nanos.len() * percent / 100];
    (Figures { protocol, p10_nanos: at(10), p50_nanos: at(50), p99_nanos: at(99), bytes_per_key }, world)
}

fn print_json(figures: &[Figures]) {
    let row = |figures: &Figures| {
        let Figures { protocol, p10_nanos, p50_nanos, p99_nanos, bytes_per_key } = figures;
        let bytes = bytes_per_key.map_or("null".to_owned(), |bytes| bytes.to_string());
        format!(
            r#"{{"protocol":"{protocol}","p10_nanos":{p10_nanos},"p50_nanos":{p50_nanos},"p99_nanos":{p99_nanos},"bytes_per_key":{bytes}}}"#
        )
    };
    let rows: Vec<_> = figures.iter().map(row).collect();
    println!(
        r#"{{"keys":{KEYS},"approvals":{APPROVALS},{},"rows":[{}]}}"#,
        format_args!(
            r#""p50_target_nanos":{APPROVAL_TARGET_NANOS},"bytes_per_key_target":{KEY_TARGET_BYTES}"#
        ),
        rows.join(",")
    );
}

fn print_table(figures: &[Figures]) {
    println!("{KEYS} keys, {APPROVALS} approvals one by one");
    println!("{:<10} {:>8} {:>8} {:>8} {:>10}", "protocol", "p10", "p50", "p99", "per key");
    for Figures { protocol, p10_nanos, p50_nanos, p99_nanos, bytes_per_key } in figures {
        let bytes = bytes_per_key.map_or("not measured".to_owned(), |bytes| format!("{bytes} B"));
        println!(
            "{:<10} {:>8} {:>8} {:>8} {bytes:>10}",
            protocol.name(),
            format!("{p10_nanos} ns"),
            format!("{p50_nanos} ns"),
            format!("{p99_nanos} ns")
        );
    }
    println!(
        "targets    {:>8} {:>8} {:>8} {:>10}",
        "",
        format!("{APPROVAL_TARGET_NANOS} ns"),
        "",
        format!("{KEY_TARGET_BYTES} B")
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = || {
        let worlds = [Protocol::Cometbft, Protocol::Ethereum].map(measure);
        worlds.map(|(figures, _)| figures)
    };
    match arguments.as_slice() {
        [] => print_table(&figures()),
        ["--output", "json"] => print_json(&figures()),
        other => panic!("unknown arguments {other:?}; only --output json is known"),
    }
}
