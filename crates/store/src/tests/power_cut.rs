//! Power cuts, killed processes and failed syncs: nothing acknowledged is lost, and the tests would notice if it were.

use interlock_disk::sim::{Fault, FaultKind, Lies};
use interlock_disk::{Operation, SimDisk};
use openraft::RaftLogReader as _;
use openraft::storage::RaftLogStorage as _;

use super::life::{Life, contents, create_log, open_log, wal_options};
use super::support::format_and_open;
use crate::wal::PlantedBug;
use crate::{FatalError, LeaderId, Vote};

/// Crashes of one log before the next seed begins with a new one.
const CRASHES_PER_SEED: u64 = 20;

/// The first broken promise, if any.
async fn first_violation(seeds: std::ops::Range<u64>, planted: PlantedBug, lies: Lies) -> Option<String> {
    let mut acknowledged = 0;
    for seed in seeds {
        let mut life = Life::new(seed, planted);
        life.disk().lie(lies);
        for crash in 0..CRASHES_PER_SEED {
            if let Err(violation) = life.live_and_crash().await {
                return Some(format!("seed {seed}, crash {crash}: {violation}"));
            }
        }
        acknowledged += life.acknowledged_total;
    }
    assert!(acknowledged > 0, "a run that acknowledges nothing proves nothing");
    None
}

/// How many logs live through [`CRASHES_PER_SEED`] crashes each; a long run sets `INTERLOCK_CRASH_SEEDS`.
fn seeds() -> std::ops::Range<u64> {
    let setting = std::env::var("INTERLOCK_CRASH_SEEDS").ok();
    0..setting.map_or(100, |seeds| seeds.parse().expect("INTERLOCK_CRASH_SEEDS is a number"))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_2000_crashes() {
    let violation = first_violation(seeds(), PlantedBug::None, Lies::default()).await;
    assert_eq!(violation, None);
}

#[tokio::test]
async fn acknowledging_before_the_sync_is_noticed() {
    let violation = first_violation(0..100, PlantedBug::AcknowledgeBeforeSync, Lies::default()).await;
    assert!(violation.is_some());
}

#[tokio::test]
async fn believing_a_second_sync_is_noticed() {
    let violation = first_violation(0..100, PlantedBug::RetrySync, Lies::default()).await;
    assert!(violation.is_some());
}

#[tokio::test]
async fn skipping_the_directory_sync_is_noticed() {
    let lies = Lies { sync_dir: true, sync_data: false };
    assert!(first_violation(0..100, PlantedBug::None, lies).await.is_some());
}

#[tokio::test]
async fn skipping_the_data_sync_is_noticed() {
    let lies = Lies { sync_dir: false, sync_data: true };
    assert!(first_violation(0..100, PlantedBug::None, lies).await.is_some());
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: LeaderId { term, node_id: 1 }, committed: false }
}

#[tokio::test]
async fn a_failed_write_or_sync_stops_everything_and_is_told_once() {
    let faults = [
        (Operation::SyncData, FaultKind::Io, "sync the log"),
        (Operation::Write, FaultKind::Io, "write to the log"),
        (Operation::Write, FaultKind::Full, "write to the log"),
    ];
    for (operation, kind, doing) in faults {
        let disk = SimDisk::new();
        let (options, failures) = super::support::small_options();
        let shared: std::sync::Arc<dyn interlock_disk::Disk> = std::sync::Arc::new(disk.clone());
        let mut store = format_and_open(&shared, std::path::Path::new("/data"), &options);
        store.log.save_vote(&vote(1)).await.unwrap();
        disk.inject(Fault { once: true, ..Fault::from_now(operation, "/log/", kind) });
        let first = store.log.save_vote(&vote(2)).await.unwrap_err().to_string();
        disk.clear_faults();
        let later = store.log.save_vote(&vote(3)).await.unwrap_err().to_string();
        let reader = store.log.get_log_reader().await.try_get_log_entries(..).await.unwrap_err().to_string();
        assert!(first.contains(doing), "{first}");
        assert_eq!((&later, &reader), (&first, &first), "every later call gets the same failure");
        let told: Vec<FatalError> = failures.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].to_string(), first);
    }
}

#[tokio::test]
async fn a_vote_that_was_returned_survives_any_cut() {
    for cut in 0..60 {
        let disk = SimDisk::new();
        let options = wal_options(PlantedBug::None);
        create_log(&disk, &options);
        let mut log = open_log(&disk, &options).unwrap();
        disk.cut_after(1 + cut);
        let mut returned = None;
        for term in 1..40 {
            if log.save_vote(&vote(term)).await.is_err() {
                break;
            }
            returned = Some(vote(term));
        }
        drop(log);
        disk.power_cut(cut);
        let mut log = open_log(&disk, &options).unwrap();
        let found = log.get_log_reader().await.read_vote().await.unwrap();
        assert!(found >= returned, "cut {cut}: returned {returned:?}, found {found:?}");
        contents(&mut log).await.unwrap();
    }
}
