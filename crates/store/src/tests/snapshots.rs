//! Snapshots come from a second copy of the state: who waits for whom, and what happens when the copies differ.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use interlock_core::{Action, Command, Epoch, Holder, Incarnation, KeyId, SignerId};
use interlock_disk::{Disk, SimDisk};
use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};

use super::support::{CLUSTER, Failures, format_and_open, small_options};
use crate::{Batch, Entry, LeaderId, LogId, Payload, Store};

const DEADLINE: Duration = Duration::from_secs(30);

fn opened() -> (Store, Failures) {
    let (options, failures) = small_options();
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    (format_and_open(&disk, Path::new("/data"), &options), failures)
}

fn entry(index: u64) -> Entry {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(index), give_back: None };
    let command = Command { cluster: CLUSTER, key: KeyId([3; 32]), action };
    let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
    Entry { log_id, payload: Payload::Normal(Batch::new(vec![command]).unwrap()) }
}

async fn apply(store: &mut Store, indexes: std::ops::Range<u64>) {
    let entries = indexes.map(|index| Ok((entry(index), None)));
    store.machine.apply(futures::stream::iter(entries)).await.unwrap();
}

#[tokio::test]
async fn what_is_applied_while_a_snapshot_is_encoded_does_not_wait_and_is_not_in_it() {
    let (mut store, _) = opened();
    apply(&mut store, 0..10).await;
    let expected = store.state.read(|applied| applied.state.clone());
    let release = store.machine.shadow().hold().await;
    let mut builder = store.machine.get_snapshot_builder().await;
    let applied = tokio::time::timeout(DEADLINE, apply(&mut store, 10..2000)).await;
    assert!(applied.is_ok(), "apply waits for the snapshot");
    assert_eq!(store.state.read(|applied| applied.last_applied.unwrap().index()), 1999);
    release.send(()).unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();
    let (meta, state) = crate::snapshot::decode(&snapshot.snapshot, CLUSTER).unwrap();
    assert_eq!((meta.last_log_id.unwrap().index(), &state), (9, &expected));
    assert_eq!(meta, snapshot.meta);
    let next = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let (_, state) = crate::snapshot::decode(&next.snapshot, CLUSTER).unwrap();
    assert_eq!(state, store.state.read(|applied| applied.state.clone()));
}

/// As a flipped bit in memory would make it.
#[tokio::test]
async fn two_copies_that_differ_make_no_snapshot_and_stop_the_process() {
    let (mut store, failures) = opened();
    apply(&mut store, 0..5).await;
    let stray = entry(5);
    store.machine.shadow().apply(stray.log_id, stray.payload).await.unwrap();
    let refused = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap_err();
    assert!(refused.to_string().contains("two copies"), "{refused}");
    assert_eq!(failures.lock().unwrap().len(), 1);
    let entries = futures::stream::iter([Ok((entry(5), None))]);
    store.machine.apply(entries).await.unwrap_err();
    assert!(store.machine.get_current_snapshot().await.unwrap().is_none());
}

#[tokio::test]
async fn an_installed_snapshot_replaces_both_copies() {
    let (mut from, _) = opened();
    apply(&mut from, 0..20).await;
    let snapshot = from.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let (mut to, _) = opened();
    apply(&mut to, 0..3).await;
    to.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    apply(&mut to, 20..25).await;
    apply(&mut from, 20..25).await;
    let built = to.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let (meta, state) = crate::snapshot::decode(&built.snapshot, CLUSTER).unwrap();
    assert_eq!(meta.last_log_id.unwrap().index(), 24);
    assert_eq!(state, from.state.read(|applied| applied.state.clone()));
}
