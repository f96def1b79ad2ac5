//! What a dead process leaves in the kernel's memory: relied on only after it was made durable. All but the last test
//! are losses that the power cuts found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{CLUSTER, entry, expected, log_id, options, spec, write};
use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{Operation, SimDisk};
use interlock_store::{FatalHook, Mark, PeerRefused, Presence, Snapshot, Store, StoreOptions, format};
use openraft::StorageHelper;
use openraft::storage::{RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};

const DATA: &str = "/data";
/// A cut keeps any part of what is volatile; one of these seeds keeps what matters here away.
const SEEDS: std::ops::Range<u64> = 0..24;

/// A formatted store on a simulated disk. Failures are errors of the calls that met them.
struct Node {
    disk: SimDisk,
    options: StoreOptions,
}

impl Node {
    fn formatted() -> Node {
        let (disk, mut options) = (SimDisk::new(), options());
        options.on_fatal = FatalHook::new(|_| ());
        options.audit.index = false;
        options.wal.prepare_ahead = false;
        format(&disk, Path::new(DATA), &spec(CLUSTER), &options.wal).unwrap();
        Node { disk, options }
    }

    /// Opens and replays as openraft does at start.
    async fn start(&self) -> Store {
        let mut store =
            Store::open(Arc::new(self.disk.clone()), Path::new(DATA), expected(), &self.options).unwrap();
        StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.unwrap();
        store
    }

    fn fail_once(&self, operation: Operation, path: &str) {
        self.disk.inject(Fault { once: true, ..Fault::from_now(operation, path, FaultKind::Io) });
    }

    /// The process dies; what it wrote is readable, and no more durable than before.
    fn die(&self, store: Store) {
        self.disk.kill_process();
        drop(store);
        self.disk.clear_faults();
    }
}

async fn build(store: &mut Store) -> Result<Snapshot, std::io::Error> {
    store.machine.get_snapshot_builder().await.build_snapshot().await
}

/// Node 2 comes with these data.
fn hear(store: &Store, incarnation: u128) -> Result<(), PeerRefused> {
    let (opened, flushed) = (Mark::default(), Mark::default());
    store.peers.hear(2, &Presence { incarnation, run: 1, opened, flushed })
}

/// Log indexes in the audit trail.
fn trail(store: &Store) -> Vec<u64> {
    let mut indexes: Vec<u64> =
        store.audit.tail(1000).unwrap().iter().map(|record| record.at.log_index).collect();
    indexes.dedup();
    indexes
}

#[tokio::test]
async fn a_peer_that_was_written_down_by_a_dead_process_is_not_forgotten_once_it_counts() {
    for seed in SEEDS {
        let node = Node::formatted();
        let store = node.start().await;
        node.fail_once(Operation::SyncDir, DATA);
        assert!(matches!(hear(&store, 22), Err(PeerRefused::Disk { .. })));
        node.die(store);
        let store = node.start().await;
        hear(&store, 22).unwrap();
        drop(store);
        node.disk.power_cut(seed);
        let refused = hear(&node.start().await, 23).unwrap_err();
        assert!(
            matches!(refused, PeerRefused::OtherData { known: 22, found: 23, .. }),
            "seed {seed}: {refused}"
        );
    }
}

#[tokio::test]
async fn trail_records_of_a_failed_sync_are_written_again_before_the_log_forgets() {
    for seed in SEEDS {
        let node = Node::formatted();
        let mut store = node.start().await;
        write(&mut store, 0..1).await;
        build(&mut store).await.unwrap();
        write(&mut store, 1..3).await;
        node.fail_once(Operation::SyncData, "/data/audit");
        build(&mut store).await.unwrap_err();
        node.die(store);
        let mut store = node.start().await;
        write(&mut store, 3..5).await;
        build(&mut store).await.unwrap();
        store.log.purge(log_id(4)).await.unwrap();
        drop(store);
        node.disk.power_cut(seed);
        assert_eq!(trail(&node.start().await), [0, 1, 2, 3, 4], "seed {seed}");
    }
}

#[tokio::test]
async fn the_trail_of_what_was_applied_is_durable_before_an_installed_snapshot_lets_the_log_forget() {
    let leader = Node::formatted();
    let mut ahead = leader.start().await;
    write(&mut ahead, 0..9).await;
    let snapshot = build(&mut ahead).await.unwrap();
    for seed in SEEDS {
        let node = Node::formatted();
        let mut store = node.start().await;
        write(&mut store, 0..3).await;
        store.machine.install_snapshot(&snapshot.meta, snapshot.snapshot.clone()).await.unwrap();
        store.log.purge(log_id(8)).await.unwrap();
        node.disk.power_cut(seed);
        drop(store);
        assert_eq!(trail(&node.start().await), [0, 1, 2], "seed {seed}");
    }
}

/// The state after a start is that of the entries, whatever was left behind.
#[tokio::test]
async fn entries_left_by_a_dead_process_are_durable_once_they_are_read() {
    for seed in SEEDS {
        let node = Node::formatted();
        let mut store = node.start().await;
        write(&mut store, 0..3).await;
        node.fail_once(Operation::SyncData, "/data/log");
        let failed = openraft::storage::RaftLogStorageExt::blocking_append(&mut store.log, [entry(3)]).await;
        failed.unwrap_err();
        node.die(store);
        let mut store = node.start().await;
        let read = store.log.get_log_state().await.unwrap().last_log_id;
        drop(store);
        node.disk.power_cut(seed);
        assert_eq!(node.start().await.log.get_log_state().await.unwrap().last_log_id, read, "seed {seed}");
    }
}
