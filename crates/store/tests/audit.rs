//! The audit trail: no duplicate, no gap, and an index that may be damaged in any way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{Directory, add_key, directory, files_below, write};
use interlock_core::{AuditChain, LogPosition, Rule};
use interlock_disk::sim::SplitMix;
use interlock_store::{AuditReader, AuditRecord, ChainCheck, ChainReport, IndexStatus, Store};

/// Longest wait for a thread of the trail.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// What the index came to, once it is in use or given up.
async fn index_status(reader: &AuditReader) -> IndexStatus {
    let settled =
        |status: &IndexStatus| !matches!(status, IndexStatus::Starting | IndexStatus::Building { .. });
    let mut status = reader.status();
    let waited = tokio::time::timeout(DEADLINE, status.wait_for(settled)).await;
    waited.expect("the index is built in time").unwrap().clone()
}

/// Without the time at which this node applied it: a replay writes its own.
fn timeless(mut records: Vec<AuditRecord>) -> Vec<AuditRecord> {
    records.iter_mut().for_each(|record| record.applied_at_ms = None);
    records
}

/// Waits until the trail has reached the state.
async fn settled(store: &Store) -> Vec<AuditRecord> {
    let applied = store.state.read(|applied| applied.state.applied());
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let records = store.audit.tail(1000).unwrap();
        if records.last().map(|record| record.at) == applied {
            return timeless(records);
        }
        assert!(std::time::Instant::now() < deadline, "the audit trail never reached {applied:?}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// All that the trail retains, read page by page.
fn all_pages(reader: &AuditReader, count: usize) -> (Vec<AuditRecord>, ChainReport, Vec<String>) {
    let (mut records, mut check, mut damage) = (Vec::new(), ChainCheck::default(), Vec::new());
    let mut from = LogPosition { log_index: 0, item: 0 };
    loop {
        let page = reader.page(from, count, None).unwrap();
        for stored in page.records {
            check.add(&stored);
            records.push(stored.record);
        }
        damage.extend(page.damage);
        if page.end {
            return (timeless(records), check.finish(), damage);
        }
        assert!(page.next > from, "a page goes on");
        from = page.next;
    }
}

async fn written(entries: u64) -> (Directory, Vec<AuditRecord>) {
    let data = directory();
    data.format();
    let mut store = data.start().await;
    write(&mut store, 0..entries).await;
    let records = settled(&store).await;
    drop(store);
    (data, records)
}

#[tokio::test]
async fn the_trail_holds_every_item_once_with_its_rule_and_chain() {
    let (data, records) = written(40).await;
    assert_eq!(records.len(), 80);
    let mut chain = AuditChain::start();
    for record in &records {
        chain = chain.extend(record.at, &record.command, &record.verdict);
        assert_eq!(record.chain, chain, "{}", record.at);
    }
    assert_eq!((records[0].rule(), records[1].rule()), (Rule::KeyChanged, Rule::LeaseGranted));
    assert!(records[0].holder().is_none() && records[1].holder().is_some());

    let mut store = data.start().await;
    assert_eq!(settled(&store).await, records, "a replay adds nothing");
    assert_eq!(store.state.read(|applied| applied.state.audit_chain()), chain);
    let key = add_key(7).key;
    assert_eq!(timeless(store.audit.of_key(key, 10).unwrap()), records[14..16]);
    assert_eq!(timeless(store.audit.of_key(key, 1).unwrap()), records[15..16]);
    assert_eq!(timeless(store.audit.tail(3).unwrap()), records[77..]);
    write(&mut store, 40..45).await;
    assert_eq!(settled(&store).await.len(), 90);
}

#[tokio::test]
async fn a_torn_or_lost_end_is_written_again_by_the_replay() {
    let (data, records) = written(40).await;
    let segments = files_below(&data.path.join("audit/"));
    let newest = segments.iter().rfind(|path| path.extension().is_some_and(|end| end == "audit")).unwrap();
    let whole = fs::read(newest).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 20, 3, 0] {
        fs::write(newest, &whole[..length]).unwrap();
        let store = data.start().await;
        assert_eq!(settled(&store).await, records, "cut to {length} bytes");
    }
}

#[tokio::test]
async fn a_cleanly_closed_index_is_reopened() {
    let (data, records) = written(10).await;
    let store = data.start().await;
    assert_eq!(index_status(&store.audit).await, IndexStatus::Reopened);
    assert_eq!(settled(&store).await, records);
}

#[tokio::test]
async fn a_removed_index_or_manifest_is_rebuilt_and_said_so() {
    for lost in ["audit/index", "audit/index.manifest"] {
        let (data, records) = written(10).await;
        let path = data.path.join(lost);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        let store = data.start().await;
        let status = index_status(&store.audit).await;
        assert!(matches!(status, IndexStatus::Rebuilt { .. }), "without {lost}: {status:?}");
        assert_eq!(settled(&store).await, records);
    }
}

#[tokio::test]
async fn an_index_damaged_at_random_is_rebuilt_and_never_answers_wrong() {
    let (data, records) = written(30).await;
    let mut random = SplitMix::new(11);
    for round in 0..15 {
        let files = files_below(&data.path.join("audit/index"));
        let file = &files[random.below(files.len() as u64) as usize];
        let mut bytes = fs::read(file).unwrap();
        match random.below(3) {
            0 => fs::remove_file(file).unwrap(),
            1 => fs::write(file, &bytes[..random.below(bytes.len() as u64) as usize]).unwrap(),
            _ => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                fs::write(file, &bytes).unwrap();
            }
        }
        let store = data.start().await;
        let status = index_status(&store.audit).await;
        assert!(
            matches!(status, IndexStatus::Rebuilt { .. }),
            "round {round}, {}: {status:?}",
            file.display()
        );
        assert_eq!(settled(&store).await, records, "round {round}");
        let of_key = timeless(store.audit.of_key(add_key(3).key, 9).unwrap());
        assert_eq!(of_key, records[6..8], "round {round}");
    }
}
