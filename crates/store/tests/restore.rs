//! Directories of restored clusters, and what is read from the directory of a dead node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{CLUSTER, Directory, directory, entry, files_below, log_id, options, spec, write};
use interlock_core::{ClusterId, State};
use interlock_disk::{LockError, RealDisk};
use interlock_store::{
    Expected, FIRST_INDEX, FormatError, IdentityError, RestoreError, Store, Survivor, SurvivorError,
    read_survivor, restore,
};
use openraft::StorageHelper;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftSnapshotBuilder as _};

const NEW: ClusterId = ClusterId([8; 16]);

async fn old_state() -> State {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..5).await;
    store.state.read(|applied| applied.state.clone())
}

fn make(data: &Directory, state: &State) -> Result<interlock_store::Identity, RestoreError> {
    let node = spec(NEW).members.remove(0);
    restore(data.disk.as_ref(), &data.path, node, 0x77, state, &options().wal)
}

#[tokio::test]
async fn a_restored_directory_begins_with_its_snapshot_and_one_voter() {
    let data = directory();
    let state = old_state().await.restored_as(NEW, &"restored".parse().unwrap());
    let identity = make(&data, &state).unwrap();
    assert_eq!((identity.cluster_id, identity.founding_members.len()), (NEW, 1));
    // The second start finds what the first one purged.
    for _ in 0..2 {
        let expected = Expected { node_id: 1, cluster_id: Some(NEW) };
        let mut store = Store::open(Arc::clone(&data.disk), &data.path, expected, &options()).unwrap();
        StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.unwrap();
        let held = store.log.get_log_state().await.unwrap();
        assert_eq!(held.last_log_id.map(|id| id.index()), Some(FIRST_INDEX), "it founds no empty cluster");
        let voters: Vec<u64> =
            store.state.read(|applied| applied.membership.membership().voter_ids().collect());
        assert_eq!(voters, [1]);
        assert_eq!(store.state.read(|applied| applied.state.clone()), state);
        assert_eq!(store.state.read(|applied| applied.last_applied.map(|id| id.index())), Some(FIRST_INDEX));
    }
    let old = data.open();
    assert!(old.is_err(), "it is no data of the old cluster: {old:?}");
}

#[tokio::test]
async fn a_directory_with_anything_in_it_is_not_restored_into() {
    let data = directory();
    data.format();
    let error = make(&data, &State::genesis(NEW)).unwrap_err();
    assert!(matches!(error, RestoreError::Format(FormatError::NotEmpty { .. })), "{error}");
    data.open().unwrap();
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(root).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

async fn survivor(data: &Directory) -> Result<Survivor, SurvivorError> {
    let copy = data.path.with_extension("copy");
    let read = read_survivor(Arc::new(RealDisk), &data.path, &copy).await;
    if copy.exists() {
        std::fs::remove_dir_all(copy).unwrap();
    }
    read
}

/// What was in the log without being known as committed may have been acknowledged by the nodes that are gone.
#[tokio::test]
async fn a_survivor_gives_everything_in_its_log_and_stays_as_it_was() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..20).await;
    store.machine_snapshot().await;
    store.log.purge(log_id(14)).await.unwrap();
    store.log.blocking_append([entry(20), entry(21)]).await.unwrap();
    drop(store);
    let before = contents(&data.path);
    let found = survivor(&data).await.unwrap();
    assert_eq!(found.identity.cluster_id, CLUSTER);
    assert_eq!((found.state.keys().len(), found.last), (22, Some(log_id(21))));
    assert!(contents(&data.path) == before, "the old directory is untouched");
    assert_eq!(data.start().await.state.read(|applied| applied.last_applied), Some(log_id(19)));
}

trait TakeSnapshot {
    async fn machine_snapshot(&mut self);
}

impl TakeSnapshot for Store {
    async fn machine_snapshot(&mut self) {
        use openraft::storage::RaftStateMachine as _;
        self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_runs_is_no_survivor() {
    let data = directory();
    data.format();
    let _running = data.open().unwrap();
    let error = survivor(&data).await.unwrap_err();
    let held = matches!(&error, SurvivorError::Identity(IdentityError::Lock(LockError::Held { .. })));
    assert!(held, "{error}");
}

#[tokio::test]
async fn a_survivor_whose_snapshot_is_gone_is_refused() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..20).await;
    store.machine_snapshot().await;
    store.log.purge(log_id(14)).await.unwrap();
    drop(store);
    for file in files_below(&data.path.join("snapshot")) {
        std::fs::remove_file(file).unwrap();
    }
    let error = survivor(&data).await.unwrap_err();
    assert!(matches!(error, SurvivorError::Gap { first: 15, needed: None }), "{error}");
}
