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

/// Argument that makes this program the one that is too old.
const TOO_OLD: &str = "meet-a-later-command";
const CLUSTER: ClusterId = ClusterId([1; 16]);

fn main() {
    if std::env::args().any(|argument| argument == TOO_OLD) {
        return old_process();
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(TOO_OLD).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(EXIT_TOO_OLD), "stdout: {stdout}\nstderr: {stderr}");
    for part in ["too old to apply log entry 1", "rule version 99 is asked for", "upgrade it"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(stdout, "applied rules 2\n", "nothing was applied after the command that it does not know");
    println!("test a_later_command_ends_the_process ... ok");
}

fn raise(index: u64, rules: u32) -> Entry {
    let action = Action::RaiseRules { expected_rules: rules - 1, rules };
    let command = interlock_core::Command { cluster: CLUSTER, key: KeyId::of_cluster(CLUSTER), action };
    let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
    Entry { log_id, payload: Payload::Normal(Batch::new(vec![command]).unwrap()) }
}

fn old_process() {
    const { assert!(RULES_NEWEST < 99) };
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
    for (index, rules) in [(0, 2), (1, 99)] {
        let entries = futures::stream::iter([Ok((raise(index, rules), None))]);
        runtime.block_on(store.machine.apply(entries)).unwrap();
        println!("applied rules {}", store.state.read(|applied| applied.state.rule_version()));
    }
}
