//! Measures the log beside a bare loop of write + fdatasync on a file of written zeros, on the same disk in one run.
//!
//! `cargo run -p interlock-store --example log_bench -- DIRECTORY` (on the disk in question) prints one JSON line.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interlock_core::{Action, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, SignerId};
use interlock_disk::{Disk as _, RealDisk, write_zeros};
use interlock_store::{
    Batch, Entry, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, LogId, Payload, Store,
    StoreOptions, TypeConfig, format,
};
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;

/// Time for each figure.
const DURATION: Duration = Duration::from_secs(3);
/// Bytes of one write of the bare loop: about those of an entry with one approval.
const BARE_BYTES: usize = 256;
const BARE_FILE_BYTES: u64 = 16 * 1024 * 1024;

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = root.join(format!("interlock-log-bench-{}", std::process::id()));
    RealDisk.create_dir(&directory).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bare = bare_loop(&directory);
    let one = runtime.block_on(writers(&directory, 1));
    let many = runtime.block_on(writers(&directory, 64));
    let (bare_us, one_us) = (micros(bare), micros(one));
    std::fs::remove_dir_all(&directory).unwrap();
    println!(
        "{{\"bare_us\":{bare_us:.1},\"one_writer_us\":{one_us:.1},\"ratio\":{:.2},\"writers_64_per_s\":{:.0}}}",
        one_us / bare_us,
        1e6 / micros(many)
    );
}

fn micros(per_write: Duration) -> f64 {
    per_write.as_secs_f64() * 1e6
}

fn bare_loop(directory: &Path) -> Duration {
    let file = RealDisk.create(&directory.join("bare")).unwrap();
    write_zeros(file.as_ref(), 0, BARE_FILE_BYTES).unwrap();
    file.sync_data().unwrap();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < DURATION {
        let offset = u64::from(count) * BARE_BYTES as u64 % BARE_FILE_BYTES;
        file.write_at(offset, &[7; BARE_BYTES]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    start.elapsed() / count
}

/// Time per entry with this many appends in flight.
async fn writers(directory: &Path, in_flight: usize) -> Duration {
    let path = directory.join(format!("store-{in_flight}"));
    let address = || "127.0.0.1:1".to_owned();
    let member = FoundingMember { id: 1, peer_address: address(), client_address: address() };
    let cluster_id = ClusterId([1; 16]);
    let spec = FormatSpec { cluster_id, node_id: 1, incarnation: 5, members: vec![member] };
    let options = StoreOptions::new(FatalHook::stop_process());
    format(&RealDisk, &path, &spec, &options.wal).unwrap();
    let expected = Expected { node_id: 1, cluster_id: None };
    let mut store = Store::open(Arc::new(RealDisk), &path, expected, &options).unwrap();
    let (start, mut count) = (Instant::now(), 0);
    let mut waiting = VecDeque::new();
    while start.elapsed() < DURATION {
        let (sender, receiver) = TypeConfig::oneshot();
        store.log.append([entry(u64::from(count))], IOFlushed::signal(sender)).await.unwrap();
        waiting.push_back(receiver);
        count += 1;
        if waiting.len() >= in_flight {
            waiting.pop_front().unwrap().await.unwrap().unwrap();
        }
    }
    for receiver in waiting {
        receiver.await.unwrap().unwrap();
    }
    start.elapsed() / count
}

fn entry(index: u64) -> Entry {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(index), give_back: None };
    let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
    let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
    Entry { log_id, payload: Payload::Normal(Batch::new(vec![command; 2]).unwrap()) }
}
