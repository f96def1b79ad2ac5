//! The state machine: restart from log and snapshot, installing snapshots, and everything that is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{CLUSTER, directory, entry, expected, files_below, log_id, options, spec, write};
use interlock_core::ClusterId;
use interlock_disk::{Disk as _, RealDisk, SimDisk};
use interlock_store::{SnapshotData, Store, StoreOpenError, format};
use openraft::storage::{RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};

async fn build(store: &mut Store) -> interlock_store::Snapshot {
    store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap()
}

#[tokio::test]
async fn a_restart_replays_the_committed_log() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..20).await;
    let before = store.state.read(|applied| (applied.state.clone(), applied.last_applied));
    assert_eq!(before.0.keys().len(), 20);
    drop(store);
    let store = data.start().await;
    assert_eq!(store.state.read(|applied| (applied.state.clone(), applied.last_applied)), before);
}

#[tokio::test]
async fn a_restart_uses_the_snapshot_after_the_log_was_purged() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..30).await;
    build(&mut store).await;
    store.log.purge(log_id(29)).await.unwrap();
    write(&mut store, 30..40).await;
    let before = store.state.read(|applied| applied.state.clone());
    drop(store);
    let mut store = data.start().await;
    assert_eq!(store.state.read(|applied| applied.state.clone()), before);
    let current = store.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(29)));
}

#[tokio::test]
async fn subscribers_hear_of_each_applied_entry_with_its_verdicts() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    let (mut entries, mut progress) = (store.state.subscribe(), store.state.progress());
    write(&mut store, 0..3).await;
    progress.wait_for(|applied| *applied == Some(log_id(2))).await.unwrap();
    for index in 0..3 {
        let applied = entries.recv().await.unwrap();
        assert_eq!(applied.log_id, log_id(index));
        assert_eq!(applied.verdicts.0.len(), 2);
        assert!(applied.verdicts.0.iter().all(|verdict| !verdict.is_denied()));
    }
    let chain = store.state.read(|applied| applied.state.audit_chain());
    assert_eq!(store.machine.applied_state().await.unwrap().0, Some(log_id(2)));
    assert_ne!(chain, interlock_core::AuditChain::start());
}

#[tokio::test]
async fn a_snapshot_is_installed_on_another_node_and_kept_there() {
    let (leader, follower) = (directory(), directory());
    leader.format();
    follower.format();
    let mut from = leader.start().await;
    write(&mut from, 0..10).await;
    let snapshot = build(&mut from).await;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < snapshot.snapshot.size() {
        bytes.extend_from_slice(&snapshot.snapshot.read_at(bytes.len() as u64, 100).unwrap());
    }

    let mut to = follower.start().await;
    to.machine.install_snapshot(&snapshot.meta, SnapshotData::from_bytes(bytes)).await.unwrap();
    let state = from.state.read(|applied| applied.state.clone());
    assert_eq!(to.state.read(|applied| applied.state.clone()), state);
    drop(to);
    let to = follower.start().await;
    assert_eq!(to.state.read(|applied| applied.state.clone()), state);
    assert_eq!(files_below(&follower.path.join("snapshot")).len(), 1);
}

#[tokio::test]
async fn a_snapshot_that_is_wrong_in_any_way_changes_nothing() {
    let (leader, follower) = (directory(), directory());
    leader.format();
    follower.format();
    let mut from = leader.start().await;
    write(&mut from, 0..2).await;
    let older = build(&mut from).await;
    write(&mut from, 2..5).await;
    let newer = build(&mut from).await;

    let mut to = follower.start().await;
    to.machine.install_snapshot(&newer.meta, newer.snapshot.clone()).await.unwrap();
    let refused = |result: Result<(), std::io::Error>| result.unwrap_err().to_string();
    let back = refused(to.machine.install_snapshot(&older.meta, older.snapshot.clone()).await);
    assert!(back.contains("never goes back"), "{back}");
    let unlike = refused(to.machine.install_snapshot(&older.meta, newer.snapshot.clone()).await);
    assert!(unlike.contains("announced"), "{unlike}");
    let whole = newer.snapshot.read_all().unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        let damaged = SnapshotData::from_bytes(bytes);
        let text = refused(to.machine.install_snapshot(&newer.meta, damaged).await);
        assert!(text.contains("damaged"), "byte {at}: {text}");
    }
    let state = from.state.read(|applied| applied.state.clone());
    assert_eq!(to.state.read(|applied| applied.state.clone()), state);

    let stranger = directory();
    format(&RealDisk, &stranger.path, &spec(ClusterId([9; 16])), &options().wal).unwrap();
    let mut expected = expected();
    expected.cluster_id = None;
    let mut stranger = Store::open(Arc::new(RealDisk), &stranger.path, expected, &options()).unwrap();
    let other = refused(stranger.machine.install_snapshot(&newer.meta, newer.snapshot.clone()).await);
    assert!(other.contains("belongs to cluster"), "{other}");
}

#[tokio::test]
async fn a_damaged_or_missing_snapshot_is_refused_at_start() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..10).await;
    build(&mut store).await;
    store.log.purge(log_id(9)).await.unwrap();
    drop(store);
    let [file] = &files_below(&data.path.join("snapshot"))[..] else { panic!("one snapshot is kept") };
    let whole = std::fs::read(file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(file, damaged).unwrap();
    let refused = data.open().unwrap_err();
    assert!(matches!(refused, StoreOpenError::Snapshot(_)), "{refused}");
    std::fs::remove_file(file).unwrap();
    let refused = data.open().unwrap_err();
    assert!(matches!(refused, StoreOpenError::SnapshotMissing { .. }), "{refused}");
    std::fs::write(file, whole).unwrap();
    data.open().unwrap();
}

/// Cuts the power at every operation of building a snapshot and purging the log: a start finds the old snapshot or the
/// new one, and the same state.
#[tokio::test]
async fn a_power_cut_anywhere_in_a_snapshot_loses_nothing() {
    for cut in 1..60 {
        let disk = SimDisk::new();
        let path = std::path::Path::new("/data");
        let mut options = options();
        options.on_fatal = interlock_store::FatalHook::new(|_| ());
        options.audit.index = false;
        options.wal.prepare_ahead = false;
        format(&disk, path, &spec(CLUSTER), &options.wal).unwrap();
        let open = || Store::open(Arc::new(disk.clone()), path, expected(), &options).unwrap();
        let mut store = open();
        write(&mut store, 0..5).await;
        build(&mut store).await;
        write(&mut store, 5..10).await;
        let state = store.state.read(|applied| applied.state.clone());
        disk.cut_after(cut);
        let built = store.machine.get_snapshot_builder().await.build_snapshot().await.is_ok();
        let purged = built && store.log.purge(log_id(9)).await.is_ok();
        drop(store);
        disk.power_cut(cut);

        let mut store = open();
        let covered = store.state.read(|applied| applied.last_applied);
        assert!(
            covered == Some(log_id(9)) || (covered == Some(log_id(4)) && !built),
            "cut {cut}: {covered:?}"
        );
        let from = covered.unwrap().index() + 1;
        let rest = (from..10).map(|index| Ok((entry(index), None)));
        store.machine.apply(futures::stream::iter(rest)).await.unwrap();
        assert_eq!(store.state.read(|applied| applied.state.clone()), state);
        if purged {
            return;
        }
        assert!(disk.list(&path.join("snapshot")).unwrap().len() <= 2);
    }
    panic!("the snapshot never completed");
}

#[tokio::test]
async fn a_node_that_was_found_to_differ_does_nothing_more_and_never_opens_again() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..3).await;
    store.divergence.stop("at log index 2 it has a, the others have b").unwrap();
    let refused = store.machine.apply(futures::stream::iter([Ok((entry(3), None))])).await.unwrap_err();
    assert!(refused.to_string().contains("differs"), "{refused}");
    let refused = store.log.save_committed(Some(log_id(2))).await.unwrap_err();
    assert!(refused.to_string().contains("differs"), "{refused}");
    assert_eq!(store.state.read(|applied| applied.last_applied), Some(log_id(2)));
    drop(store);
    for _ in 0..2 {
        let refused = data.open().unwrap_err();
        assert!(
            matches!(&refused, StoreOpenError::Diverged { finding, .. } if finding.ends_with("b")),
            "{refused}"
        );
    }
    // What the mark says does not matter, only that it is there.
    std::fs::write(data.path.join("diverged"), [0xff; 10]).unwrap();
    assert!(matches!(data.open(), Err(StoreOpenError::Diverged { .. })));
}

#[tokio::test]
async fn doubt_stays_until_a_majority_confirms() {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..3).await;
    assert_eq!(store.divergence.doubt(), None);
    store.divergence.stop_in_doubt("no majority").unwrap();
    store.machine.apply(futures::stream::iter([Ok((entry(3), None))])).await.unwrap_err();
    drop(store);
    drop(data.start().await);
    let mut store = data.start().await;
    assert_eq!(store.divergence.doubt(), Some("no majority"));
    store.divergence.confirmed().unwrap();
    assert_eq!(store.divergence.doubt(), None);
    drop(store);
    assert_eq!(data.start().await.divergence.doubt(), None);
}

#[tokio::test]
async fn a_snapshot_that_contradicts_what_was_applied_is_not_taken() {
    let (one, other) = (directory(), directory());
    one.format();
    other.format();
    let mut from = one.start().await;
    write(&mut from, 0..3).await;
    let snapshot = build(&mut from).await;
    let mut to = other.start().await;
    write(&mut to, 0..2).await;
    let differing = vec![Ok((common::entry_of(2, vec![common::add_key(99)]), None))];
    to.machine.apply(futures::stream::iter(differing)).await.unwrap();
    let before = to.state.read(|applied| applied.state.clone());
    let refused = to.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap_err();
    assert!(refused.to_string().contains("audit chain"), "{refused}");
    assert_eq!(to.state.read(|applied| applied.state.clone()), before);
    let chains = to.state.read(|applied| (applied.chains.at(1), applied.chains.at(2), applied.chains.at(3)));
    assert_eq!((chains.1, chains.2), (Some(before.audit_chain()), None));
    assert_eq!(chains.0, from.state.read(|applied| applied.chains.at(1)));
}
