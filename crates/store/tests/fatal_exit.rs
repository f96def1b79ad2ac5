//! A real process whose disk fails: it ends with its own exit code and says why, and acknowledges nothing.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use interlock_core::ClusterId;
use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{Operation, SimDisk};
use interlock_store::{
    EXIT_STORAGE_FAILED, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, Store, StoreOptions,
    Vote, format,
};
use openraft::storage::RaftLogStorage as _;

/// Argument that makes this program the one whose disk fails.
const FAILING: &str = "run-until-the-disk-fails";

fn main() {
    if std::env::args().any(|argument| argument == FAILING) {
        return failing_process();
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(FAILING).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(EXIT_STORAGE_FAILED), "stdout: {stdout}\nstderr: {stderr}");
    assert!(stderr.contains("cannot sync") && stderr.contains("input/output error"), "{stderr}");
    assert_eq!(stdout, "saved 1\n", "only the vote before the failure was acknowledged");
    println!("test a_failed_sync_ends_the_process ... ok");
}

fn failing_process() {
    let disk = SimDisk::new();
    let address = || "127.0.0.1:1".to_owned();
    let member = FoundingMember { id: 1, peer_address: address(), client_address: address() };
    let cluster_id = ClusterId([1; 16]);
    let spec = FormatSpec { cluster_id, node_id: 1, incarnation: 5, members: vec![member] };
    let mut options = StoreOptions::new(FatalHook::stop_process());
    options.audit.index = false;
    format(&disk, Path::new("/data"), &spec, &options.wal).unwrap();
    let expected = Expected { node_id: 1, cluster_id: None };
    let mut store = Store::open(Arc::new(disk.clone()), Path::new("/data"), expected, &options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for term in 1..4 {
        if term == 2 {
            disk.inject(Fault::from_now(Operation::SyncData, "/log/", FaultKind::Io));
        }
        let vote = Vote { leader_id: LeaderId { term, node_id: 1 }, committed: false };
        runtime.block_on(store.log.save_vote(&vote)).unwrap();
        println!("saved {term}");
    }
}
