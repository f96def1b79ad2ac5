//! Snapshots that arrive in pieces: broken off, taken up again, replaced, installed, thrown away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Directory, directory, files_below, log_id, write};
use interlock_store::{Snapshot, Store, TransferError, TransferId, codec};
use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};

const CHUNK_BYTES: usize = 700;

async fn built(entries: u64) -> (Directory, Store, Snapshot, TransferId) {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..entries).await;
    let snapshot = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let id = TransferId {
        meta: codec::encode_snapshot_meta(&snapshot.meta),
        total_bytes: snapshot.snapshot.size(),
        checksum: snapshot.snapshot.stated_checksum().unwrap(),
    };
    (data, store, snapshot, id)
}

/// Sends up to `chunks` of them from where the other side is.
fn send(to: &Store, snapshot: &Snapshot, id: &TransferId, chunks: usize) {
    let mut offset = to.inbox.begin(id).unwrap();
    for _ in 0..chunks {
        let chunk = snapshot.snapshot.read_at(offset, CHUNK_BYTES).unwrap();
        to.inbox.append(id, offset, &chunk).unwrap();
        offset += chunk.len() as u64;
    }
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke_and_is_installed() {
    let (_data, from, snapshot, id) = built(40).await;
    assert!(id.total_bytes > 5 * CHUNK_BYTES as u64, "{id:?}");
    let target = directory();
    target.format();
    let mut to = target.start().await;
    assert_eq!(to.inbox.received(&id), 0);
    send(&to, &snapshot, &id, 2);
    assert_eq!(to.inbox.received(&id), 2 * CHUNK_BYTES as u64);
    assert!(matches!(to.inbox.finish(&id), Err(TransferError::WrongSize { .. })), "it is not complete");
    for wrong in [0, 2 * CHUNK_BYTES as u64 + 1] {
        let refused = to.inbox.append(&id, wrong, b"bytes");
        assert!(matches!(refused, Err(TransferError::NotNext { .. })), "{refused:?}");
    }
    send(&to, &snapshot, &id, usize::try_from(id.total_bytes).unwrap() / CHUNK_BYTES - 1);
    let too_many = to.inbox.append(&id, id.total_bytes, b"x");
    assert!(matches!(too_many, Err(TransferError::WrongSize { .. })), "{too_many:?}");
    let received = to.inbox.finish(&id).unwrap();
    to.machine.install_snapshot(&snapshot.meta, received).await.unwrap();
    let state = from.state.read(|applied| applied.state.clone());
    assert_eq!(to.state.read(|applied| applied.state.clone()), state);
    assert_eq!(files_below(&target.path.join("snapshot")).len(), 1, "the received file is the kept one");
    drop(to);
    let to = target.start().await;
    assert_eq!(
        to.state.read(|applied| (applied.state.clone(), applied.last_applied)),
        (state, Some(log_id(39)))
    );
}

#[tokio::test]
async fn another_snapshot_takes_the_place_of_one_that_is_not_complete() {
    let (_one, _from, first, first_id) = built(20).await;
    let (_other, _from, second, second_id) = built(21).await;
    let target = directory();
    target.format();
    let to = target.start().await;
    send(&to, &first, &first_id, 1);
    send(&to, &second, &second_id, 1);
    assert_eq!((to.inbox.received(&first_id), to.inbox.received(&second_id)), (0, CHUNK_BYTES as u64));
    let late = to.inbox.append(&first_id, CHUNK_BYTES as u64, b"late");
    assert!(matches!(late, Err(TransferError::Replaced)), "{late:?}");
    assert_eq!(files_below(&target.path.join("snapshot")).len(), 1);
    let huge = TransferId { total_bytes: u64::MAX, ..first_id };
    assert!(matches!(to.inbox.begin(&huge), Err(TransferError::TooLarge { .. })));
    drop(to);
    let to = target.start().await;
    assert_eq!(
        files_below(&target.path.join("snapshot")).len(),
        0,
        "a start throws away what was not complete"
    );
    assert_eq!(to.inbox.received(&second_id), 0);
}

#[tokio::test]
async fn what_was_received_and_not_installed_leaves_nothing_behind() {
    let (_data, _from, snapshot, id) = built(10).await;
    let target = directory();
    target.format();
    let mut to = target.start().await;
    to.inbox.begin(&id).unwrap();
    let mut bytes = snapshot.snapshot.read_all().unwrap().to_vec();
    bytes[100] ^= 1;
    to.inbox.append(&id, 0, &bytes).unwrap();
    let received = to.inbox.finish(&id).unwrap();
    let refused = to.machine.install_snapshot(&snapshot.meta, received).await.unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
    assert_eq!(files_below(&target.path.join("snapshot")).len(), 0);
    assert_eq!(to.inbox.begin(&id).unwrap(), 0, "the next attempt begins at the start");
}

/// A follower may still be reading the old one when the next is kept.
#[tokio::test]
async fn a_snapshot_that_was_replaced_stays_readable_for_who_holds_it() {
    let (data, mut store, old, _) = built(10).await;
    write(&mut store, 10..20).await;
    store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(files_below(&data.path.join("snapshot")).len(), 1);
    old.snapshot.verify(common::CLUSTER).unwrap();
}
