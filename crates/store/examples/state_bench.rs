//! Measures what the number of keys costs: the pause of apply when a snapshot begins, and the time from start to
//! serving.
//!
//! `cargo run --release -p interlock-store --example state_bench -- DIRECTORY [KEYS]` prints one JSON line.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]

mod bench;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::{Driver, make, open, options};
use openraft::storage::{RaftSnapshotBuilder as _, RaftStateMachine as _};

const KEYS_DEFAULT: u32 = 100_000;
/// Entries behind the snapshot at the restart: what a node replays at worst, by default settings.
const ENTRIES_TO_REPLAY: u64 = 20_000;
const SNAPSHOTS: u32 = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let keys = arguments.next().map_or(KEYS_DEFAULT, |count| count.parse().unwrap());
    let path = root.join(format!("interlock-state-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let line = runtime.block_on(measure(&path, keys));
    std::fs::remove_dir_all(&path).unwrap();
    println!("{line}");
}

async fn measure(path: &std::path::Path, keys: u32) -> String {
    make(path, &options());
    let mut driver = Driver::new(open(path, &options()).await);
    driver.add_keys(keys).await;
    let mut pauses = Vec::new();
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let mut height = 2;
    let mut bytes = 0;
    for _ in 0..SNAPSHOTS {
        quiet.push(longest_entry(&mut driver, &mut height, |_| false).await);
        let start = Instant::now();
        let mut builder = driver.store.machine.get_snapshot_builder().await;
        pauses.push(start.elapsed());
        let building = tokio::spawn(async move { builder.build_snapshot().await.unwrap() });
        busy.push(longest_entry(&mut driver, &mut height, |_| !building.is_finished()).await);
        bytes = building.await.unwrap().snapshot.size();
    }
    for _ in 0..ENTRIES_TO_REPLAY {
        driver.approvals(0, 1, height).await;
        height += 1;
    }
    let applied = driver.store.state.read(|applied| applied.last_applied);
    drop(driver);
    let start = Instant::now();
    let store = open(path, &options()).await;
    let restart = start.elapsed();
    assert_eq!(store.state.read(|applied| applied.last_applied), applied);
    assert_eq!(store.state.read(|applied| applied.state.keys().len()), keys as usize);
    format!(
        "{{\"keys\":{keys},\"snapshot_bytes\":{bytes},\"pause_ms\":{:.1},\"entry_ms_quiet\":{:.1},\
         \"entry_ms_while_building\":{:.1},\"replayed_entries\":{ENTRIES_TO_REPLAY},\"restart_ms\":{:.0}}}",
        most(&pauses),
        most(&quiet),
        most(&busy),
        millis(restart),
    )
}

/// The longest time of one entry, from append to applied, among 200 and then while `more` says so.
async fn longest_entry(driver: &mut Driver, height: &mut u64, more: impl Fn(u32) -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    let mut count = 0;
    while count < 200 || more(count) {
        let start = Instant::now();
        driver.approvals(0, 1, *height).await;
        longest = longest.max(start.elapsed());
        *height += 1;
        count += 1;
    }
    longest
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn most(durations: &[Duration]) -> f64 {
    millis(durations.iter().copied().max().unwrap_or_default())
}
