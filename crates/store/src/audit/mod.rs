//! The audit trail: append-only segments written after apply, and an index over them that can be rebuilt.
//!
//! One thread writes the segments, another follows them with the index; apply waits for the first only when its queue
//! is full, and for the second never. Invariant: nothing that decides a verdict reads anything of this module. The
//! trail repeats nothing: replaying the log after a restart adds only what is missing.

mod index;
mod indexer;
mod manifest;
mod pages;
mod reader;
mod record;
mod segments;
mod shared;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use interlock_core::LogPosition;
use interlock_disk::{Disk, DiskError, Operation};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::fatal::{Fatal, FatalError};
use indexer::Indexer;
use manifest::IndexPlace;
pub use pages::{AuditPage, StoredRecord};
pub use reader::{AuditReadError, AuditReader, AuditSummary, QUERY_RECORDS_MAX};
pub use record::AuditRecord;
pub(crate) use record::EntryRecords;
use segments::SegmentReader;
use shared::Shared;
pub use verify::{Break, ChainCheck, ChainReport, Gap};
use writer::SegmentWriter;

/// Applied entries that may wait for the audit thread; more make apply wait.
const QUEUE_ENTRIES_MAX: usize = 4096;
/// Most KiB of encoded commands that may wait for it.
const QUEUE_KIB_MAX: u32 = 64 * 1024;
/// Default size at which a new segment begins.
pub const SEGMENT_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Smallest size at which a new segment begins.
pub const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
/// Default for the size of all segments together.
pub const RETAIN_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// Settings of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// A new segment begins once the current one has this many bytes.
    pub segment_bytes: u64,
    /// The oldest segments are removed before all together exceed this many bytes. At least two segments.
    pub retain_bytes: u64,
    /// Segments that hold only records this many log entries behind the newest segment are removed; `None` keeps them.
    pub retain_entries: Option<u64>,
    /// Keep the sled index. Needs a real directory; without it queries read the segments.
    pub index: bool,
}

impl Default for AuditOptions {
    fn default() -> AuditOptions {
        AuditOptions {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            retain_bytes: RETAIN_BYTES_DEFAULT,
            retain_entries: None,
            index: true,
        }
    }
}

/// Why the settings of the trail are refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "an audit trail of {retain_bytes} bytes in segments of {segment_bytes}: a segment has at least \
     {SEGMENT_BYTES_MIN} bytes, and the trail room for two"
)]
pub struct AuditOptionsError {
    /// The setting.
    pub segment_bytes: u64,
    /// The setting.
    pub retain_bytes: u64,
}

impl AuditOptions {
    /// # Errors
    /// When a segment is too small to hold anything, or the trail too small for two.
    pub fn check(&self) -> Result<(), AuditOptionsError> {
        let (segment_bytes, retain_bytes) = (self.segment_bytes, self.retain_bytes);
        if segment_bytes < SEGMENT_BYTES_MIN || retain_bytes / 2 < segment_bytes {
            return Err(AuditOptionsError { segment_bytes, retain_bytes });
        }
        Ok(())
    }
}

/// What the index is doing. Queries are answered in every state, from the segments if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexStatus {
    /// There is none, by setting.
    Off,
    /// It is being opened.
    Starting,
    /// It is in use, as it was closed.
    Reopened,
    /// It is being built from the segments because of this.
    Building {
        /// Why.
        reason: String,
    },
    /// It is in use, and was built from the segments because of this.
    Rebuilt {
        /// Why.
        reason: String,
    },
    /// It cannot be built, and is tried again at the next start.
    Failed {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for IndexStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexStatus::Off => f.write_str("off"),
            IndexStatus::Starting => f.write_str("starting"),
            IndexStatus::Reopened => f.write_str("in use"),
            IndexStatus::Building { reason } => write!(f, "being built again: {reason}"),
            IndexStatus::Rebuilt { reason } => write!(f, "built again: {reason}"),
            IndexStatus::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

enum Job {
    Append(EntryRecords, Option<OwnedSemaphorePermit>),
    Sync(oneshot::Sender<()>),
}

/// The writing side. Dropping it writes what is queued and closes the index cleanly.
pub(crate) struct AuditTrail {
    sender: Option<mpsc::Sender<Job>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    indexer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    fatal: Fatal,
    last_at_open: Option<LogPosition>,
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl AuditTrail {
    /// Opens the trail in `directory` and starts its threads. Records up to log index `synced` were synced before.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: &AuditOptions,
        synced: Option<u64>,
        fatal: Fatal,
    ) -> Result<AuditTrail, DiskError> {
        let writer = SegmentWriter::open(Arc::clone(&disk), directory.clone(), options.clone(), synced)?;
        let end = writer.end();
        let status = if options.index { IndexStatus::Starting } else { IndexStatus::Off };
        let segments = SegmentReader::new(Arc::clone(&disk), directory.clone());
        let shared = Arc::new(Shared::new(segments, end, status));
        let failed = |source| DiskError { operation: Operation::Open, path: directory.clone(), source };
        let indexer = if options.index {
            let indexer = Indexer::new(IndexPlace::new(disk, directory.clone()), Arc::clone(&shared));
            let thread = std::thread::Builder::new().name("interlock-index".to_owned());
            Some(thread.spawn(move || indexer.run()).map_err(failed)?)
        } else {
            None
        };
        let (sender, receiver) = mpsc::channel(QUEUE_ENTRIES_MAX);
        let worker = Worker { writer, shared: Arc::clone(&shared), fatal: fatal.clone() };
        let thread = std::thread::Builder::new().name("interlock-audit".to_owned());
        let writer = thread.spawn(move || worker.run(receiver)).map_err(failed)?;
        Ok(AuditTrail {
            sender: Some(sender),
            room: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
            writer: Some(writer),
            indexer,
            shared,
            fatal,
            last_at_open: end.last,
        })
    }

    /// Newest place in the trail when it was opened.
    pub(crate) fn last_at_open(&self) -> Option<LogPosition> {
        self.last_at_open
    }

    pub(crate) fn reader(&self) -> AuditReader {
        AuditReader { shared: Arc::clone(&self.shared) }
    }

    /// Queues the records of one applied entry, whose commands have this many encoded bytes; waits while the queue is
    /// full.
    pub(crate) async fn append(&self, records: EntryRecords, bytes: usize) -> Result<(), FatalError> {
        self.fatal.check()?;
        // Never more than the whole queue, or it would wait for ever.
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(QUEUE_KIB_MAX).min(QUEUE_KIB_MAX);
        // The semaphore is never closed, so this always gives a permit.
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        self.send(Job::Append(records, room)).await
    }

    /// Waits until everything queued so far is durable.
    pub(crate) async fn sync(&self) -> Result<(), FatalError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Sync(sender)).await?;
        match receiver.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone()),
        }
    }

    async fn send(&self, job: Job) -> Result<(), FatalError> {
        let sent = match &self.sender {
            Some(sender) => sender.send(job).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.gone()) }
    }

    fn gone(&self) -> FatalError {
        self.fatal.raise("write the audit trail", &std::io::Error::other("its thread is gone"))
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        drop(self.sender.take());
        let mut clean = true;
        if let Some(writer) = self.writer.take() {
            clean = writer.join().is_ok();
        }
        self.shared.close(clean && self.fatal.check().is_ok());
        if let Some(indexer) = self.indexer.take()
            && indexer.join().is_err()
        {
            tracing::error!("the audit index's thread panicked");
        }
    }
}

struct Worker {
    writer: SegmentWriter,
    shared: Arc<Shared>,
    fatal: Fatal,
}

impl Worker {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if self.fatal.check().is_err() {
                // Nothing is written after a failure; a waiting sync ends with its sender.
                continue;
            }
            let done = match job {
                Job::Append(records, _room) => {
                    let appended = self.writer.append(&records);
                    self.shared.set_end(self.writer.end());
                    appended
                }
                Job::Sync(sender) => self.writer.sync().map(|()| {
                    // The waiting snapshot may have been cancelled.
                    let _ = sender.send(());
                }),
            };
            if let Err(error) = done {
                self.fatal.raise("write the audit trail", &error);
            }
        }
        if self.fatal.check().is_ok()
            && let Err(error) = self.writer.sync()
        {
            self.fatal.raise("close the audit trail", &error);
        }
    }
}
