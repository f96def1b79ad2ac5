//! The audit trail: no duplicate, no gap, and an index that may be damaged in any way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Directory, add_key, directory, files_below, log_id, options, write};
use interlock_core::{AuditChain, LogPosition, Rule};
use interlock_disk::sim::SplitMix;
use interlock_store::{AuditReader, AuditRecord, ChainCheck, ChainReport, Gap, IndexStatus, Store};
use openraft::storage::{RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};

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

/// One random injury to the index or its manifest; says what it did.
fn damage(audit: &Path, random: &mut SplitMix) -> String {
    let files: Vec<PathBuf> = files_below(audit).into_iter().filter(|path| !is_segment(path)).collect();
    let file = &files[random.below(files.len() as u64) as usize];
    let mut bytes = fs::read(file).unwrap();
    let what = match random.below(if bytes.is_empty() { 2 } else { 5 }) {
        0 => {
            fs::remove_file(file).unwrap();
            "removed"
        }
        1 => {
            fs::write(audit.join("index/stray"), b"stray").unwrap();
            "a stray file beside"
        }
        2 => {
            fs::write(file, &bytes[..random.below(bytes.len() as u64) as usize]).unwrap();
            "cut"
        }
        3 => {
            bytes.extend_from_slice(&[0; 100]);
            fs::write(file, &bytes).unwrap();
            "grown"
        }
        _ => {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            fs::write(file, &bytes).unwrap();
            "flipped a bit of"
        }
    };
    format!("{what} {}", file.display())
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "audit")
}

/// The node comes up after each, says that it builds the index again, goes on writing, and answers from both.
#[tokio::test]
async fn an_index_damaged_at_random_is_rebuilt_and_never_answers_wrong() {
    let (data, _) = written(30).await;
    let audit = data.path.join("audit");
    let mut random = SplitMix::new(11);
    for round in 0..40_u64 {
        let mut done = Vec::new();
        for _ in 0..=random.below(3) {
            done.push(damage(&audit, &mut random));
        }
        let mut store = data.start().await;
        let status = index_status(&store.audit).await;
        assert!(matches!(status, IndexStatus::Rebuilt { .. }), "round {round}, {done:?}: {status:?}");
        write(&mut store, 30 + round..31 + round).await;
        let (expected, report, unread) = all_pages(&store.audit, 7);
        assert!(report.holds() && unread.is_empty(), "round {round}, {done:?}: {report:?} {unread:?}");
        assert_eq!(settled(&store).await.len(), 62 + 2 * round as usize, "round {round}, {done:?}");
        let of_key = timeless(store.audit.of_key(add_key(3).key, 9).unwrap());
        assert_eq!(of_key, expected[6..8], "round {round}, {done:?}");
    }
    // A directory is no file, and a file is no directory.
    fs::remove_dir_all(audit.join("index")).unwrap();
    fs::write(audit.join("index"), b"no directory").unwrap();
    let store = data.start().await;
    assert!(matches!(index_status(&store.audit).await, IndexStatus::Rebuilt { .. }));
}

#[tokio::test]
async fn the_oldest_segments_are_removed_and_the_rest_still_follows() {
    for (retain_bytes, retain_entries) in [(40 * 1024, None), (1024 * 1024, Some(50))] {
        let data = directory();
        data.format();
        let mut options = options();
        options.audit.segment_bytes = 8 * 1024;
        options.audit.retain_bytes = retain_bytes;
        options.audit.retain_entries = retain_entries;
        let mut store = data.start_with(&options).await;
        for index in 0..200 {
            write(&mut store, index..index + 1).await;
        }
        let newest = settled(&store).await;
        let on_disk = files_below(&data.path.join("audit")).into_iter().filter(|path| is_segment(path));
        let bytes: u64 = on_disk.map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= retain_bytes, "{bytes} bytes are kept, {retain_bytes} are allowed");
        assert_eq!(index_status(&store.audit).await, rebuilt("it was not closed cleanly"));
        let (retained, report, damage) = all_pages(&store.audit, 50);
        assert!(report.holds() && damage.is_empty(), "{report:?} {damage:?}");
        assert_eq!((report.gap_count, retained.last()), (0, newest.last()));
        let first = retained[0].at.log_index;
        assert!(first > 100, "the oldest records are gone: {first}");
        if let Some(kept) = retain_entries {
            assert!((200 - kept - 40..=200 - kept).contains(&first), "{first}");
        }
        assert_eq!(timeless(store.audit.tail(1000).unwrap()), retained, "the index forgot them too");
        assert!(store.audit.of_key(add_key(0).key, 9).unwrap().is_empty());
        assert_eq!(store.audit.summary().first_log_index, Some(first));
        drop(store);
        let store = data.start_with(&options).await;
        assert_eq!(index_status(&store.audit).await, IndexStatus::Reopened);
        assert_eq!(settled(&store).await, retained);
    }
}

fn rebuilt(reason: &str) -> IndexStatus {
    IndexStatus::Rebuilt { reason: reason.to_owned() }
}

#[tokio::test]
async fn what_came_inside_a_snapshot_is_a_gap_and_not_a_break() {
    let (leader, follower) = (directory(), directory());
    leader.format();
    follower.format();
    let mut from = leader.start().await;
    write(&mut from, 0..10).await;
    let snapshot = from.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut to = follower.start().await;
    write(&mut to, 0..4).await;
    to.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    to.log.purge(log_id(9)).await.unwrap();
    write(&mut to, 10..14).await;
    settled(&to).await;
    let (records, report, damage) = all_pages(&to.audit, 3);
    assert!(report.holds() && damage.is_empty(), "{report:?} {damage:?}");
    let place = |log_index, item| LogPosition { log_index, item };
    assert_eq!(report.gaps, [Gap { after: place(3, 1), before: place(10, 0) }]);
    assert_eq!((report.records, report.chain), (16, records.last().map(|record| record.chain)));
}

/// Where each framed record of a segment begins.
fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![64];
    while let Some(header) = bytes.get(starts[starts.len() - 1]..).and_then(|rest| rest.first_chunk::<4>()) {
        starts.push(starts[starts.len() - 1] + 8 + u32::from_le_bytes(*header) as usize);
    }
    starts
}

#[tokio::test]
async fn a_changed_trail_does_not_verify() {
    let (data, _) = written(120).await;
    let reader = AuditReader::of_directory(Arc::clone(&data.disk), &data.path).unwrap();
    let (_, whole, damage) = all_pages(&reader, 1000);
    assert!(whole.holds() && whole.records == 240 && damage.is_empty(), "{whole:?} {damage:?}");
    let segments: Vec<PathBuf> =
        files_below(&data.path.join("audit")).into_iter().filter(|path| is_segment(path)).collect();
    assert!(segments.len() > 2, "{segments:?}");
    let bytes = fs::read(&segments[1]).unwrap();
    let starts = record_starts(&bytes);

    // One record is taken out, frame and all.
    let without = [&bytes[..starts[3]], &bytes[starts[4]..]].concat();
    fs::write(&segments[1], without).unwrap();
    let (_, report, damage) = all_pages(&reader, 1000);
    assert_eq!((report.break_count, report.records, damage.len()), (1, 239, 0), "{report:?}");

    // Two records change places.
    let (third, fourth) = (&bytes[starts[3]..starts[4]], &bytes[starts[4]..starts[5]]);
    let swapped = [&bytes[..starts[3]], fourth, third, &bytes[starts[5]..]].concat();
    fs::write(&segments[1], swapped).unwrap();
    let (_, report, _) = all_pages(&reader, 1000);
    assert!(!report.holds(), "{report:?}");

    // A bit flips: the rest of that segment does not read, and is said not to.
    let mut flipped = bytes.clone();
    flipped[starts[3] + 20] ^= 1;
    fs::write(&segments[1], flipped).unwrap();
    let (_, report, damage) = all_pages(&reader, 1000);
    assert_eq!((damage.len(), report.gap_count), (1, 1), "{report:?} {damage:?}");

    fs::write(&segments[1], bytes).unwrap();
    assert_eq!(all_pages(&reader, 1000).1, whole);
}

#[tokio::test]
async fn segments_of_the_first_format_are_read_and_written_on() {
    let (data, records) = written(10).await;
    let [segment] = &files_below(&data.path.join("audit"))
        .into_iter()
        .filter(|path| is_segment(path))
        .collect::<Vec<_>>()[..]
    else {
        panic!("one segment")
    };
    let bytes = fs::read(segment).unwrap();
    let mut old = bytes[..8].to_vec();
    old.extend_from_slice(&1_u32.to_le_bytes());
    old.extend_from_slice(&[0; 4]);
    old.extend_from_slice(&bytes[64..]);
    fs::write(segment, old).unwrap();
    let mut store = data.start().await;
    assert_eq!(settled(&store).await, records);
    write(&mut store, 10..12).await;
    assert_eq!(settled(&store).await.len(), 24);
    let (_, report, damage) = all_pages(&store.audit, 5);
    assert!(report.holds() && report.records == 24 && damage.is_empty(), "{report:?} {damage:?}");
}
