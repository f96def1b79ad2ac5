//! Drives approvals through the store as a long life would, with snapshots and purges on the way, and prints disk and
//! memory as it goes: both must stay bounded.
//!
//! `cargo run --release -p interlock-store --example soak -- --approvals 1000000 [--directory DIR]` prints one JSON
//! line for each twentieth of the way and a last one with the judgement.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]

mod bench;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bench::{Driver, make, open, options};
use interlock_store::{IndexStatus, LeaderId, LogId};
use openraft::storage::{RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};

const APPROVALS_DEFAULT: u64 = 1_000_000;
const KEYS: u32 = 1000;
/// Approvals in one entry.
const BATCH: usize = 20;
/// As the node's settings, scaled down so that a run has many snapshots and purges.
const SNAPSHOT_EVERY_ENTRIES: u64 = 2_500;
const KEEP_ENTRIES: u64 = 500;
const AUDIT_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
const AUDIT_RETAIN_BYTES: u64 = 64 * 1024 * 1024;
const STEPS: u64 = 20;
/// Growth from the first half to the end that is not growth: what happens to lie between two removals.
const TOLERANCE: f64 = 1.25;

/// Bytes at one moment.
#[derive(Clone, Copy, Default)]
struct Used {
    log: u64,
    snapshot: u64,
    audit: u64,
    index: u64,
    memory: u64,
}

impl Used {
    fn now(path: &Path) -> Used {
        let all_of_audit = bytes_below(&path.join("audit"));
        let index = bytes_below(&path.join("audit/index"));
        Used {
            log: bytes_below(&path.join("log")),
            snapshot: bytes_below(&path.join("snapshot")),
            audit: all_of_audit - index,
            index,
            memory: resident_bytes(),
        }
    }

    fn disk(self) -> u64 {
        self.log + self.snapshot + self.audit + self.index
    }

    fn json(self) -> String {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        format!(
            "\"log_mib\":{:.1},\"snapshot_mib\":{:.1},\"audit_mib\":{:.1},\"index_mib\":{:.1},\"disk_mib\":{:.1},\
             \"rss_mib\":{:.1}",
            mib(self.log),
            mib(self.snapshot),
            mib(self.audit),
            mib(self.index),
            mib(self.disk()),
            mib(self.memory)
        )
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[at + 1].clone())
    };
    let approvals = value("--approvals").map_or(APPROVALS_DEFAULT, |count| count.parse().unwrap());
    let root = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = root.join(format!("interlock-soak-{}", std::process::id()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let bounded = runtime.block_on(soak(&path, approvals));
    std::fs::remove_dir_all(&path).unwrap();
    std::process::exit(i32::from(!bounded));
}

async fn soak(path: &Path, approvals: u64) -> bool {
    let mut options = options();
    options.audit.segment_bytes = AUDIT_SEGMENT_BYTES;
    options.audit.retain_bytes = AUDIT_RETAIN_BYTES;
    make(path, &options);
    let mut driver = Driver::new(open(path, &options).await);
    driver.add_keys(KEYS).await;
    let (start, mut done, mut height) = (Instant::now(), 0, 2);
    let (mut first_half, mut last) = (Used::default(), Used::default());
    let mut most = (0, 0);
    for step in 1..=STEPS {
        while done < approvals * step / STEPS {
            driver.approvals(done as usize % KEYS as usize, BATCH, height).await;
            done += BATCH as u64;
            height += u64::from(done % u64::from(KEYS) == 0);
            if driver.next.is_multiple_of(SNAPSHOT_EVERY_ENTRIES) {
                snapshot_and_purge(&mut driver).await;
            }
        }
        last = Used::now(path);
        most = (most.0.max(last.disk()), most.1.max(last.memory));
        println!("{{\"approvals\":{done},\"seconds\":{:.0},{}}}", start.elapsed().as_secs_f64(), last.json());
        if step == STEPS / 2 {
            first_half = Used { log: most.0, memory: most.1, ..Used::default() };
        }
    }
    index_caught_up(&driver).await;
    let within = |end: u64, before: u64| end as f64 <= before as f64 * TOLERANCE;
    let bounded = within(last.disk(), first_half.log) && within(last.memory, first_half.memory);
    println!("{{\"approvals\":{done},\"bounded\":{bounded},{}}}", last.json());
    bounded
}

async fn snapshot_and_purge(driver: &mut Driver) {
    driver.store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let upto = driver.next.saturating_sub(1 + KEEP_ENTRIES);
    driver.store.log.purge(LogId::new(LeaderId { term: 1, node_id: 1 }, upto)).await.unwrap();
}

/// The index follows in its own time; it must get there.
async fn index_caught_up(driver: &Driver) {
    let mut status = driver.store.audit.status();
    let in_use = |status: &IndexStatus| matches!(status, IndexStatus::Rebuilt { .. } | IndexStatus::Reopened);
    tokio::time::timeout(Duration::from_secs(120), status.wait_for(in_use)).await.unwrap().unwrap();
}

fn bytes_below(root: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(root) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += bytes_below(&entry.path()),
            Ok(found) => bytes += found.len(),
            // Removed a moment ago.
            Err(_) => {}
        }
    }
    bytes
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
