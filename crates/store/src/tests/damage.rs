//! Damage to a log that was closed or left idle: refused, or harmless, but never a silent loss.

use std::path::Path;

use interlock_disk::{Disk as _, SimDisk};
use openraft::impls;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};

use super::life::{Contents, batch, contents, create_log, open_log, wal_options};
use crate::wal::PlantedBug;
use crate::{LeaderId, LogId, Payload, Vote};

const FIRST_SEGMENT: &str = "/log/00000000000000000001.wal";

fn log_id(index: u64) -> LogId {
    LogId::new(LeaderId { term: 1, node_id: 1 }, index)
}

async fn written_log(entries: u64) -> (SimDisk, Contents) {
    let disk = SimDisk::new();
    let options = wal_options(PlantedBug::None);
    create_log(&disk, &options);
    let mut log = open_log(&disk, &options).unwrap();
    log.save_vote(&Vote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: true }).await.unwrap();
    for index in 0..entries {
        let payload = Payload::Normal(batch(index, 3));
        log.blocking_append([impls::Entry { log_id: log_id(index), payload }]).await.unwrap();
    }
    let written = contents(&mut log).await.unwrap();
    (disk, written)
}

/// Opens a copy of the log after `damage`; `Err` is a refusal.
async fn opened_after(
    disk: &SimDisk,
    damage: impl FnOnce(&SimDisk),
    restore: impl FnOnce(&SimDisk),
) -> Result<Contents, String> {
    damage(disk);
    let opened = match open_log(disk, &wal_options(PlantedBug::None)) {
        Ok(mut log) => contents(&mut log).await.map_err(|error| error.to_string()),
        Err(refused) => Err(refused),
    };
    restore(disk);
    opened
}

#[tokio::test]
async fn no_damaged_byte_loses_an_acknowledged_record() {
    let (disk, written) = written_log(12).await;
    let path = Path::new(FIRST_SEGMENT);
    let original = disk.contents(path).unwrap();
    let used = original.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for at in 0..=used {
        let flipped = [original[at] ^ 0x40];
        let opened = opened_after(
            &disk,
            |disk| disk.damage(path, at as u64, &flipped),
            |disk| disk.damage(path, 0, &original),
        );
        match opened.await {
            Ok(found) => {
                assert_eq!(found, written, "byte {at}");
                harmless += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > harmless, "{refused} refused, {harmless} harmless: padding and markers only");
}

#[tokio::test]
async fn no_zeroed_sector_loses_an_acknowledged_record() {
    let (disk, written) = written_log(12).await;
    let path = Path::new(FIRST_SEGMENT);
    let original = disk.contents(path).unwrap();
    for sector in (0..original.len()).step_by(512) {
        let opened = opened_after(
            &disk,
            |disk| disk.damage(path, sector as u64, &[0; 512]),
            |disk| disk.damage(path, 0, &original),
        );
        if let Ok(found) = opened.await {
            assert_eq!(found, written, "sector at {sector}");
        }
    }
}

#[tokio::test]
async fn damage_before_the_last_sync_says_what_was_lost_and_what_to_do() {
    let (disk, _) = written_log(12).await;
    disk.damage(Path::new(FIRST_SEGMENT), 300, &[0xff; 4]);
    let refused = open_log(&disk, &wal_options(PlantedBug::None)).unwrap_err();
    assert!(
        refused.contains("acknowledged as durable") && refused.contains("Replace this node"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let (disk, _) = written_log(100).await;
    let names = disk.list(Path::new("/log")).unwrap();
    assert!(names.len() > 3, "{names:?}");
    for name in &names {
        let copy = disk.contents(&Path::new("/log").join(name)).unwrap();
        disk.remove(&Path::new("/log").join(name)).unwrap();
        let refused = open_log(&disk, &wal_options(PlantedBug::None)).unwrap_err();
        assert!(refused.contains("missing"), "without {name}: {refused}");
        disk.create(&Path::new("/log").join(name)).unwrap().write_at(0, &copy).unwrap();
    }
    open_log(&disk, &wal_options(PlantedBug::None)).unwrap();
}

#[tokio::test]
async fn purged_segments_are_removed_and_the_rest_opens() {
    let (disk, _) = written_log(100).await;
    let options = wal_options(PlantedBug::None);
    let mut log = open_log(&disk, &options).unwrap();
    let before = disk.list(Path::new("/log")).unwrap().len();
    log.purge(log_id(95)).await.unwrap();
    let written = contents(&mut log).await.unwrap();
    drop(log);
    let after = disk.list(Path::new("/log")).unwrap().len();
    assert!(after < before && after <= 2, "{before} segments before, {after} after");
    let mut log = open_log(&disk, &options).unwrap();
    assert_eq!(contents(&mut log).await.unwrap(), written);
}

#[tokio::test]
async fn a_log_that_is_only_opened_and_closed_stays_whole() {
    let disk = SimDisk::new();
    let options = wal_options(PlantedBug::None);
    create_log(&disk, &options);
    for index in 0..8_u64 {
        for _ in 0..3 {
            drop(open_log(&disk, &options).unwrap());
        }
        let mut log = open_log(&disk, &options).unwrap();
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, index.checked_sub(1).map(log_id));
        let entry = impls::Entry { log_id: log_id(index), payload: Payload::Blank };
        log.blocking_append([entry]).await.unwrap();
    }
}
