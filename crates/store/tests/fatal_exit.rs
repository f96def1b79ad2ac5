//! A real process whose disk fails: it ends with its own exit code and says why, and acknowledges nothing.
//!
//! Each case is a part of the store, the operation that fails there, and how: EIO, ENOSPC, or a write cut short by
//! ENOSPC. The process does its work over and over; it must end before it says that the failed step is done.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{CLUSTER, entry, expected, log_id, options, spec, write};
use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{Operation, SimDisk};
use interlock_store::{EXIT_STORAGE_FAILED, FatalHook, LeaderId, Store, Vote, format};
use openraft::storage::{
    RaftLogStorage as _, RaftLogStorageExt as _, RaftSnapshotBuilder as _, RaftStateMachine as _,
};

/// Environment variable that makes this program the one whose disk fails: the number of the case.
const FAILING: &str = "INTERLOCK_FAILING_CASE";
/// Steps in which the failure must have struck.
const STEPS_MAX: u64 = 250;

/// What the process does over and over.
#[derive(Debug, Clone, Copy)]
enum Part {
    Log,
    Vote,
    Snapshot,
    Trail,
}

impl Part {
    /// Paths that belong to it contain this.
    fn path(self) -> &'static str {
        match self {
            Part::Log | Part::Vote => "/log",
            Part::Snapshot => "/snapshot",
            Part::Trail => "/audit",
        }
    }

    async fn work(self, store: &mut Store, step: u64) -> Result<(), std::io::Error> {
        match self {
            Part::Log => store.log.blocking_append([entry(step)]).await.map_err(std::io::Error::other),
            Part::Vote => {
                let leader_id = LeaderId { term: step + 1, node_id: 1 };
                store.log.save_vote(&Vote { leader_id, committed: false }).await
            }
            Part::Snapshot => {
                write(store, step..step + 1).await;
                store.machine.get_snapshot_builder().await.build_snapshot().await.map(drop)
            }
            Part::Trail => {
                write(store, step..step + 1).await;
                store.machine.get_snapshot_builder().await.build_snapshot().await?;
                store.log.purge(log_id(step)).await
            }
        }
    }
}

struct Case {
    part: Part,
    operation: Operation,
    kind: FaultKind,
}

/// Every operation that a part makes, with every way in which it can fail.
fn cases() -> Vec<Case> {
    use Operation::{Create, Rename, SyncData, SyncDir, Write};
    let mut cases = Vec::new();
    for part in [Part::Log, Part::Vote, Part::Snapshot, Part::Trail] {
        for operation in [Create, Write, SyncData, Rename, SyncDir] {
            // The trail gives its segments their names at once.
            let makes = !matches!((part, operation), (Part::Trail, Rename));
            let kinds: &[FaultKind] = match operation {
                Write => &[FaultKind::Io, FaultKind::Full, FaultKind::Short],
                Create => &[FaultKind::Io, FaultKind::Full],
                _ => &[FaultKind::Io],
            };
            let kinds = kinds.iter().filter(|_| makes);
            cases.extend(kinds.map(|kind| Case { part, operation, kind: *kind }));
        }
    }
    cases
}

fn main() {
    if let Ok(number) = std::env::var(FAILING) {
        return failing_process(&cases()[number.parse::<usize>().unwrap()]);
    }
    let cases = cases();
    assert!(cases.len() > 25, "every part, operation and kind of failure");
    for (number, case) in cases.iter().enumerate() {
        ends_with_a_reason(number, case);
    }
    println!("test a_failed_write_or_sync_ends_the_process ... ok ({} cases)", cases.len());
}

fn ends_with_a_reason(number: usize, case: &Case) {
    let Case { part, operation, kind } = case;
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(FAILING, number.to_string()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let what = format!("{part:?}, {operation}, {kind:?}\nstdout: {stdout}\nstderr: {stderr}");
    assert_eq!(output.status.code(), Some(EXIT_STORAGE_FAILED), "{what}");
    let cause = match kind {
        FaultKind::Io => "input/output error",
        FaultKind::Full | FaultKind::Short => "no space left on device",
    };
    let reason = stderr.lines().find(|line| line.starts_with("interlock: storage failed")).expect(&what);
    assert!(reason.contains(&format!("cannot {operation} /data{}", part.path())), "{what}");
    assert!(reason.contains(cause) && reason.contains("this process stops"), "{what}");
    assert!(stdout.starts_with("done 0\n"), "it worked before: {what}");
    let failing = stdout.lines().filter(|line| *line == "the disk fails").count();
    assert!(failing == 1 && !stdout.ends_with("not noticed\n"), "{what}");
}

/// Works; the disk begins to fail after the first step. Each step is told when it is done.
fn failing_process(case: &Case) {
    let disk = SimDisk::new();
    let mut options = options();
    options.on_fatal = FatalHook::stop_process();
    options.audit.index = false;
    // Segments small enough that each kind of file is begun anew within the steps.
    options.audit.segment_bytes = 4 * 1024;
    options.wal.segment_bytes = 8 * 1024;
    options.wal.prepare_ahead = false;
    format(&disk, Path::new("/data"), &spec(CLUSTER), &options.wal).unwrap();
    let mut store = Store::open(Arc::new(disk.clone()), Path::new("/data"), expected(), &options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for step in 0..STEPS_MAX {
        runtime.block_on(case.part.work(&mut store, step)).unwrap();
        println!("done {step}");
        if step == 0 {
            println!("the disk fails");
            disk.inject(Fault::from_now(case.operation, case.part.path(), case.kind));
        }
    }
    println!("not noticed");
}
