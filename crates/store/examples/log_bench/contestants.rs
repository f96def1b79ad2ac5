//! Who runs: the bare loop, the ideal coalescing loop, our log, and crate `raft-log`. All write entries of one size and
//! are driven by the same loop, which keeps a number of appends waiting.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use interlock_core::{Action, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, SignerId};
use interlock_disk::{Disk as _, DiskFile, RealDisk, write_zeros};
use interlock_store::{
    Batch, Entry, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, LogId, Payload, Store,
    StoreOptions, TypeConfig, format,
};
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use raft_log::api::raft_log_writer::RaftLogWriter as _;
use tokio::sync::oneshot;

const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a record's header and of the log id in our log, about.
const RECORD_OVERHEAD_BYTES: usize = 48;

/// What an append gives at once; what it holds comes after the sync.
struct Answer(oneshot::Receiver<Result<(), io::Error>>);

/// A record, and who waits for it.
type Append = (Arc<[u8]>, oneshot::Sender<Result<(), io::Error>>);

/// An entry with one approval or so.
fn batch() -> Batch {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(7), give_back: None };
    let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
    Batch::new(vec![command; 2]).unwrap()
}

fn record() -> Vec<u8> {
    vec![7; batch().encoded().len() + RECORD_OVERHEAD_BYTES]
}

fn zeroed(path: &Path) -> Box<dyn DiskFile> {
    let file = RealDisk.create(path).unwrap();
    write_zeros(file.as_ref(), 0, FILE_BYTES).unwrap();
    file.sync_data().unwrap();
    file
}

/// The bare loop: appends and syncs in one thread.
pub(crate) struct Bare {
    file: Box<dyn DiskFile>,
    record: Vec<u8>,
    offset: u64,
}

impl Bare {
    pub(crate) fn open(directory: &Path) -> Bare {
        Bare { file: zeroed(&directory.join("bare")), record: record(), offset: 0 }
    }

    /// Time per append.
    pub(crate) fn run(&mut self, duration: Duration) -> Duration {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < duration {
            self.file.write_at(self.offset, &self.record).unwrap();
            self.file.sync_data().unwrap();
            let length = self.record.len() as u64;
            self.offset = (self.offset + length) % (FILE_BYTES - length);
            count += 1;
        }
        start.elapsed() / count
    }
}

/// Keeps `waiting_max` appends waiting for `duration`; time per append.
async fn drive(waiting_max: usize, duration: Duration, mut append: impl AsyncFnMut() -> Answer) -> Duration {
    let (start, mut count) = (Instant::now(), 0);
    let mut waiting = VecDeque::with_capacity(waiting_max);
    while start.elapsed() < duration {
        waiting.push_back(append().await);
        count += 1;
        if waiting.len() >= waiting_max {
            waiting.pop_front().unwrap().0.await.unwrap().unwrap();
        }
    }
    for answer in waiting {
        answer.0.await.unwrap().unwrap();
    }
    start.elapsed() / count
}

/// Our log, as openraft uses it.
pub(crate) struct Interlock {
    store: Store,
    batch: Batch,
    next: u64,
}

impl Interlock {
    pub(crate) fn open(directory: &Path) -> Interlock {
        let path = directory.join("store");
        let address = || "127.0.0.1:1".to_owned();
        let member = FoundingMember { id: 1, peer_address: address(), client_address: address() };
        let cluster_id = ClusterId([1; 16]);
        let spec = FormatSpec { cluster_id, node_id: 1, incarnation: 5, members: vec![member] };
        let options = StoreOptions::new(FatalHook::stop_process());
        format(&RealDisk, &path, &spec, &options.wal).unwrap();
        let expected = Expected { node_id: 1, cluster_id: None };
        let store = Store::open(Arc::new(RealDisk), &path, expected, &options).unwrap();
        Interlock { store, batch: batch(), next: 0 }
    }

    pub(crate) async fn run(&mut self, waiting_max: usize, duration: Duration) -> Duration {
        let Interlock { store, batch, next } = self;
        let took = drive(waiting_max, duration, async || {
            let (sender, receiver) = TypeConfig::oneshot();
            let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, *next);
            let entry = Entry { log_id, payload: Payload::Normal(batch.clone()) };
            *next += 1;
            store.log.append([entry], IOFlushed::signal(sender)).await.unwrap();
            Answer(receiver)
        })
        .await;
        // Bounded on disk, as a snapshot would have it.
        let newest = LogId::new(LeaderId { term: 1, node_id: 1 }, *next - 1);
        store.log.purge(newest).await.unwrap();
        took
    }
}

/// One thread that writes all that waits in one call, syncs, and answers.
pub(crate) struct Ideal {
    sender: Sender<Append>,
    record: Arc<[u8]>,
}

impl Ideal {
    pub(crate) fn open(directory: &Path) -> Ideal {
        let file = zeroed(&directory.join("ideal"));
        let (sender, receiver) = channel();
        std::thread::spawn(move || coalesce(file.as_ref(), &receiver));
        Ideal { sender, record: record().into() }
    }

    pub(crate) async fn run(&mut self, waiting_max: usize, duration: Duration) -> Duration {
        drive(waiting_max, duration, async || {
            let (sender, receiver) = oneshot::channel();
            self.sender.send((Arc::clone(&self.record), sender)).unwrap();
            Answer(receiver)
        })
        .await
    }
}

fn coalesce(file: &dyn DiskFile, receiver: &Receiver<Append>) {
    let (mut offset, mut buffer, mut waiting) = (0, Vec::new(), Vec::new());
    while let Ok((record, answer)) = receiver.recv() {
        buffer.extend_from_slice(&record);
        waiting.push(answer);
        while let Ok((record, answer)) = receiver.try_recv() {
            buffer.extend_from_slice(&record);
            waiting.push(answer);
        }
        if offset + buffer.len() as u64 > FILE_BYTES {
            offset = 0;
        }
        file.write_at(offset, &buffer).unwrap();
        file.sync_data().unwrap();
        offset += buffer.len() as u64;
        buffer.clear();
        waiting.drain(..).for_each(|answer| answer.send(Ok(())).unwrap());
    }
}

/// The log of Databend.
pub(crate) struct RaftLog {
    log: raft_log::RaftLog<RaftLogTypes>,
    record: Vec<u8>,
    next: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct RaftLogTypes;

struct RaftLogAnswer(oneshot::Sender<Result<(), io::Error>>);

impl raft_log::Types for RaftLogTypes {
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = RaftLogAnswer;
    type UserData = String;

    fn log_index(log_id: &(u64, u64)) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Vec<u8>) -> u64 {
        payload.len() as u64
    }
}

impl raft_log::Callback for RaftLogAnswer {
    fn send(self, result: Result<(), io::Error>) {
        self.0.send(result).unwrap();
    }
}

impl RaftLog {
    pub(crate) fn open(directory: &Path) -> RaftLog {
        let path = directory.join("raft-log");
        std::fs::create_dir(&path).unwrap();
        let mut config = raft_log::Config::new(path.to_str().unwrap());
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        let log = raft_log::RaftLog::open(Arc::new(config)).unwrap();
        RaftLog { log, record: batch().encoded().to_vec(), next: 1 }
    }

    pub(crate) async fn run(&mut self, waiting_max: usize, duration: Duration) -> Duration {
        let RaftLog { log, record, next } = self;
        let took = drive(waiting_max, duration, async || {
            let (sender, receiver) = oneshot::channel();
            log.append([((1, *next), record.clone())]).unwrap();
            log.flush(true, Some(RaftLogAnswer(sender))).unwrap();
            *next += 1;
            Answer(receiver)
        })
        .await;
        log.purge((1, *next - 1)).unwrap();
        took
    }
}
