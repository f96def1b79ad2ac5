//! A log that nobody writes to: after a while it holds a durable proof of its own end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{Disk as _, Operation, SimDisk};
use openraft::impls;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};

use super::life::{Contents, OWNER, batch, contents, create_log, open_log, wal_options};
use super::support::{Failures, recording_hook};
use crate::fatal::Fatal;
use crate::wal::PlantedBug;
use crate::{LeaderId, LogId, LogStore, Payload, Vote};

const FIRST_SEGMENT: &str = "/log/00000000000000000001.wal";
/// No condition takes this long unless it never comes.
const DEADLINE: Duration = Duration::from_secs(20);

/// A log that is open, with a few acknowledged records in its first page.
async fn open_and_written(disk: &SimDisk) -> (LogStore, Failures, Contents) {
    let options = wal_options(PlantedBug::None);
    create_log(disk, &options);
    let (hook, failures) = recording_hook();
    let lock = disk.lock(Path::new("/lock")).unwrap();
    let shared = Arc::new(disk.clone());
    let (directory, fatal) = (PathBuf::from("/log"), Fatal::new(hook));
    let mut log = LogStore::open(shared, directory, OWNER, &options, fatal, Arc::new(lock)).unwrap();
    let leader_id = LeaderId { term: 1, node_id: 1 };
    log.save_vote(&Vote { leader_id, committed: true }).await.unwrap();
    for index in 0..6 {
        let payload = Payload::Normal(batch(index, 2));
        log.blocking_append([impls::Entry { log_id: LogId::new(leader_id, index), payload }]).await.unwrap();
    }
    let written = contents(&mut log).await.unwrap();
    (log, failures, written)
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

fn used(disk: &SimDisk) -> usize {
    let bytes = disk.contents(Path::new(FIRST_SEGMENT)).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap()
}

#[tokio::test]
async fn after_a_quiet_moment_no_lost_sector_loses_an_acknowledged_record_of_a_killed_process() {
    let disk = SimDisk::new();
    let (log, _, written) = open_and_written(&disk).await;
    assert!(used(&disk) < 4096, "all records lie in the first page");
    wait_until("a marker in a page of its own", || used(&disk) >= 4096);
    disk.kill_process();
    drop(log);
    let path = Path::new(FIRST_SEGMENT);
    let original = disk.contents(path).unwrap();
    let mut refused = 0;
    for sector in (0..original.len()).step_by(512) {
        disk.damage(path, sector as u64, &[0; 512]);
        match open_log(&disk, &wal_options(PlantedBug::None)) {
            Ok(mut log) => assert_eq!(contents(&mut log).await.unwrap(), written, "sector at {sector}"),
            Err(_) => refused += 1,
        }
        // Closing may have begun another segment, which would make the next start refuse whatever is damaged.
        for name in
            disk.list(Path::new("/log")).unwrap().iter().filter(|name| !FIRST_SEGMENT.ends_with(*name))
        {
            disk.remove(&Path::new("/log").join(name)).unwrap();
        }
        disk.damage(path, 0, &original);
    }
    assert!(refused > 2, "{refused} sectors hold records");
}

#[tokio::test]
async fn the_marker_of_a_quiet_log_is_synced_after_all_before_it() {
    let disk = SimDisk::new();
    let (log, failures, _) = open_and_written(&disk).await;
    // The first sync is for what was written lazily, the second for the marker.
    let second =
        Fault { after: 1, once: true, ..Fault::from_now(Operation::SyncData, "/log/", FaultKind::Io) };
    disk.inject(second);
    wait_until("a second sync", || !failures.lock().unwrap().is_empty());
    assert!(used(&disk) >= 4096, "the marker is written before it is synced");
    drop(log);
}
