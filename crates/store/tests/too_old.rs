//! A real process that meets a command of a later release in its log: it ends with its own exit code and says why, and
//! applies nothing of it, before every restart again.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use interlock_core::book::RULES_NEWEST;
use interlock_core::{Action, ClusterId, KeyId};
use interlock_disk::SimDisk;
use interlock_store::{
    Batch, EXIT_TOO_OLD, Entry, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, LogId, Payload,
    Store, StoreOptions, format,
};
use openraft::storage::RaftStateMachine as _;

/// Arguments that make this program the one that is too old: it meets the command in an entry by itself, or in one
/// batch with the command before it.
const TOO_OLD: [&str; 2] = ["in-an-entry-by-itself", "in-one-batch"];
const CLUSTER: ClusterId = ClusterId([1; 16]);

fn main() {
    let mode = std::env::args().find(|argument| TOO_OLD.contains(&argument.as_str()));
    if let Some(mode) = mode {
        return old_process(mode == TOO_OLD[1]);
    }
    let program = std::env::current_exe().unwrap();
    for (mode, applied) in [(TOO_OLD[0], "applied rules 2\n"), (TOO_OLD[1], "")] {
        let output = Command::new(&program).arg(mode).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_TOO_OLD), "{mode}: stdout: {stdout}\nstderr: {stderr}");
        for part in ["too old to apply log entry", "rule version 3 is asked for", "upgrade it"] {
            assert!(stderr.contains(part), "{mode}: {part}: {stderr}");
        }
        assert_eq!(stdout, applied, "{mode}: nothing is applied from the command on that it does not know");
        println!("test a_later_command_{mode}_ends_the_process ... ok");
    }
}

fn raise(rules: u32) -> interlock_core::Command {
    let action = Action::RaiseRules { expected_rules: rules - 1, rules };
    interlock_core::Command { cluster: CLUSTER, key: KeyId::of_cluster(CLUSTER), action }
}

fn entry(index: u64, commands: Vec<interlock_core::Command>) -> Entry {
    let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
    Entry { log_id, payload: Payload::Normal(Batch::new(commands).unwrap()) }
}

fn old_process(one_batch: bool) {
    const { assert!(RULES_NEWEST == 2) };
    let disk = SimDisk::new();
    let address = || "127.0.0.1:1".to_owned();
    let member = FoundingMember { id: 1, peer_address: address(), client_address: address() };
    let spec = FormatSpec { cluster_id: CLUSTER, node_id: 1, incarnation: 5, members: vec![member] };
    let mut options = StoreOptions::new(FatalHook::stop_process());
    options.audit.index = false;
    format(&disk, Path::new("/data"), &spec, &options.wal).unwrap();
    let expected = Expected { node_id: 1, cluster_id: None };
    let mut store = Store::open(Arc::new(disk), Path::new("/data"), expected, &options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (known, later) = (raise(RULES_NEWEST), raise(RULES_NEWEST + 1));
    let entries = if one_batch {
        vec![entry(0, vec![known, later])]
    } else {
        vec![entry(0, vec![known]), entry(1, vec![later])]
    };
    for entry in entries {
        runtime.block_on(store.machine.apply(futures::stream::iter([Ok((entry, None))]))).unwrap();
        println!("applied rules {}", store.state.read(|applied| applied.state.rule_version()));
    }
}
