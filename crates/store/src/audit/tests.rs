//! What can only be seen from inside: who waits for whom, and an index that lies.

use std::sync::Arc;
use std::time::Duration;

use interlock_core::{Action, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, SignerId, State};
use interlock_disk::RealDisk;

use super::record::EntryRecords;
use super::segments::Location;
use super::*;
use crate::fatal::FatalHook;

const DEADLINE: Duration = Duration::from_secs(30);

fn entry(state: &mut State, log_index: u64) -> EntryRecords {
    let before = state.audit_chain();
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(log_index), give_back: None };
    let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
    let at = LogPosition { log_index, item: 0 };
    let verdict = state.apply(at, &command);
    let record =
        AuditRecord { at, command, verdict, chain: state.audit_chain(), applied_at_ms: Some(log_index) };
    EntryRecords { before, records: vec![record] }
}

fn open(directory: &std::path::Path) -> AuditTrail {
    open_with(directory, &AuditOptions::default())
}

fn open_with(directory: &std::path::Path, options: &AuditOptions) -> AuditTrail {
    let fatal = Fatal::new(FatalHook::new(|error| panic!("{error}")));
    AuditTrail::open(Arc::new(RealDisk), directory.to_owned(), options, None, fatal).unwrap()
}

async fn in_use(trail: &AuditTrail) {
    let built = |status: &IndexStatus| matches!(status, IndexStatus::Rebuilt { .. } | IndexStatus::Reopened);
    let mut status = trail.shared.status.subscribe();
    tokio::time::timeout(DEADLINE, status.wait_for(built)).await.unwrap().unwrap();
}

async fn eventually(mut check: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !check() {
        assert!(std::time::Instant::now() < deadline, "it did not happen within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// After an unclean stop: the index cannot be finished while this test holds it, and the trail takes more than its
/// queue holds all the same.
#[tokio::test]
#[allow(clippy::await_holding_lock, reason = "what must not wait for it is what is tested")]
async fn an_index_that_is_being_built_makes_nobody_wait() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::genesis(ClusterId([1; 16]));
    let trail = open(directory.path());
    for log_index in 1..=3000 {
        trail.append(entry(&mut state, log_index), 100).await.unwrap();
    }
    in_use(&trail).await;
    drop(trail);
    std::fs::remove_file(directory.path().join("index.manifest")).unwrap();

    let trail = open(directory.path());
    let held = trail.shared.hold_index();
    let mut written = 3000;
    let appended = tokio::time::timeout(DEADLINE, async {
        for log_index in 3001..=3000 + 2 * QUEUE_ENTRIES_MAX as u64 {
            trail.append(entry(&mut state, log_index), 100).await.unwrap();
            written = log_index;
        }
        trail.sync().await.unwrap();
    });
    assert!(appended.await.is_ok(), "the trail stood still after {written} entries");
    drop(held);
    let newest = trail.reader().tail(1).unwrap();
    assert_eq!(newest[0].at.log_index, written, "what the index does not know is answered from the segments");
    in_use(&trail).await;
}

#[tokio::test]
async fn an_index_that_names_a_wrong_place_is_not_believed_and_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let trail = open(directory.path());
    in_use(&trail).await;
    let mut state = State::genesis(ClusterId([1; 16]));
    for log_index in 1..=20 {
        trail.append(entry(&mut state, log_index), 100).await.unwrap();
    }
    trail.sync().await.unwrap();
    let reader = trail.reader();
    let expected = reader.tail(100).unwrap();
    assert_eq!(expected.len(), 20);
    let (index, _) = trail.shared.index().unwrap();
    let mut lie = index::Additions::default();
    let mut record = expected[19].clone();
    record.at.log_index = 21;
    lie.add(Location { segment: 1, offset: 77 }, &record);
    index.insert(1, lie).unwrap();
    drop(index);
    let key = expected[0].key();
    assert_eq!(reader.of_key(key, 100).unwrap(), expected);
    let built = |status: &IndexStatus| matches!(status, IndexStatus::Rebuilt { reason } if reason.contains("no such"));
    let mut status = reader.status();
    tokio::time::timeout(DEADLINE, status.wait_for(built)).await.unwrap().unwrap();
    assert_eq!(reader.of_key(key, 100).unwrap(), expected);
}

#[tokio::test]
async fn the_index_forgets_what_the_segments_forget() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        AuditOptions { segment_bytes: 4 * 1024, retain_bytes: 16 * 1024, ..AuditOptions::default() };
    let trail = open_with(directory.path(), &options);
    let mut state = State::genesis(ClusterId([1; 16]));
    for log_index in 1..=500 {
        trail.append(entry(&mut state, log_index), 100).await.unwrap();
        if log_index % 25 == 0 {
            trail.sync().await.unwrap();
            // So that every segment is indexed before it is removed.
            eventually(|| trail.shared.index().map(|(_, done)| done) == trail.shared.end().end).await;
        }
    }
    let retained = trail.reader().tail(500).unwrap().len();
    assert!(retained < 200, "{retained}");
    let indexed =
        || trail.shared.index().map(|(index, _)| index.newest_of(KeyId([3; 32]), 500).unwrap().len());
    eventually(|| indexed() == Some(retained)).await;
}

#[tokio::test]
async fn the_index_is_given_up_before_it_takes_too_much_memory() {
    let directory = tempfile::tempdir().unwrap();
    let trail = open(directory.path());
    let mut state = State::genesis(ClusterId([1; 16]));
    // More than RECORDS_MAX of a test.
    for log_index in 1..=21_000 {
        trail.append(entry(&mut state, log_index), 100).await.unwrap();
    }
    trail.sync().await.unwrap();
    let given_up = |status: &IndexStatus| matches!(status, IndexStatus::Failed { .. });
    let mut status = trail.reader().status();
    tokio::time::timeout(DEADLINE, status.wait_for(given_up)).await.unwrap().unwrap();
    assert!(trail.shared.index().is_none());
    let newest = trail.reader().of_key(KeyId([3; 32]), 2).unwrap();
    assert_eq!(newest.iter().map(|record| record.at.log_index).collect::<Vec<_>>(), [20_999, 21_000]);
}
