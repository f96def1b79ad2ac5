//! The audit trail: append-only segments written after apply, and an index over them that can be rebuilt.
//!
//! A thread of its own writes both; signing waits for it only when its queue is full, as it may be while an index is
//! built again after an unclean stop. Invariant: nothing that decides a
//! verdict reads anything of this module. The trail repeats nothing: replaying the log after a restart adds only what
//! is missing.

mod index;
mod record;
mod segments;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use interlock_core::{KeyId, LogPosition};
use interlock_disk::{Disk, DiskError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::fatal::{Fatal, FatalError};
use index::{Index, IndexPlace};
pub use record::AuditRecord;
use segments::{SegmentReader, SegmentWriter};

/// Applied entries that may wait for the audit thread; more make apply wait.
const QUEUE_ENTRIES_MAX: usize = 4096;
/// Most records that one query returns.
pub const QUERY_RECORDS_MAX: usize = 10_000;
/// Default size at which a new segment begins.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// Settings of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// A new segment begins once the current one has this many bytes.
    pub segment_bytes: u64,
    /// Keep the sled index. Needs a real directory; without it queries read the segments.
    pub index: bool,
}

impl Default for AuditOptions {
    fn default() -> AuditOptions {
        AuditOptions { segment_bytes: SEGMENT_BYTES_DEFAULT, index: true }
    }
}

/// What the index is doing. Queries are answered in every state, from the segments if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexStatus {
    /// There is none, by setting.
    Off,
    /// It is being opened or built.
    Starting,
    /// It is in use, as it was closed.
    Reopened,
    /// It is in use, and was built from the segments because of this.
    Rebuilt {
        /// Why.
        reason: String,
    },
    /// It failed and is not used until the next start, which builds it again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Why a query was not answered.
#[derive(Debug, Error)]
pub enum AuditReadError {
    /// The segments could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

enum Job {
    Append(Vec<AuditRecord>),
    Sync(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Shared {
    segments: SegmentReader,
    index: RwLock<Option<Index>>,
    status: watch::Sender<IndexStatus>,
}

/// The writing side. Dropping it writes what is queued and closes the index cleanly.
pub(crate) struct AuditTrail {
    sender: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    fatal: Fatal,
    last_at_open: Option<LogPosition>,
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Reads the audit trail. Clones share it.
#[derive(Debug, Clone)]
pub struct AuditReader {
    shared: Arc<Shared>,
}

impl AuditTrail {
    /// Opens the trail in `directory` and starts its thread. Records up to log index `synced` were synced before.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: &AuditOptions,
        synced: Option<u64>,
        fatal: Fatal,
    ) -> Result<AuditTrail, DiskError> {
        let writer =
            SegmentWriter::open(Arc::clone(&disk), directory.clone(), options.segment_bytes, synced)?;
        let last_at_open = writer.last();
        let place = options.index.then(|| IndexPlace::new(Arc::clone(&disk), directory.clone()));
        let starting = if options.index { IndexStatus::Starting } else { IndexStatus::Off };
        let shared = Arc::new(Shared {
            segments: SegmentReader::new(disk, directory.clone()),
            index: RwLock::new(None),
            status: watch::Sender::new(starting),
        });
        let (sender, receiver) = mpsc::channel(QUEUE_ENTRIES_MAX);
        let worker = Worker { writer, place, shared: Arc::clone(&shared), fatal: fatal.clone() };
        let thread = std::thread::Builder::new().name("interlock-audit".to_owned());
        let thread = thread.spawn(move || worker.run(receiver)).map_err(|source| DiskError {
            operation: interlock_disk::Operation::Open,
            path: directory,
            source,
        })?;
        Ok(AuditTrail { sender: Some(sender), thread: Some(thread), shared, fatal, last_at_open })
    }

    /// Newest place in the trail when it was opened.
    pub(crate) fn last_at_open(&self) -> Option<LogPosition> {
        self.last_at_open
    }

    pub(crate) fn reader(&self) -> AuditReader {
        AuditReader { shared: Arc::clone(&self.shared) }
    }

    /// Queues the records of one applied entry; waits while the queue is full.
    pub(crate) async fn append(&self, records: Vec<AuditRecord>) -> Result<(), FatalError> {
        self.fatal.check()?;
        self.send(Job::Append(records)).await
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
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the audit thread panicked");
        }
    }
}

struct Worker {
    writer: SegmentWriter,
    place: Option<IndexPlace>,
    shared: Arc<Shared>,
    fatal: Fatal,
}

impl Worker {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        self.start_index();
        while let Some(job) = jobs.blocking_recv() {
            if self.fatal.check().is_err() {
                // Nothing is written after a failure; a waiting sync ends with its sender.
                continue;
            }
            let done = match job {
                Job::Append(records) => self.append(&records),
                Job::Sync(sender) => self.writer.sync().map(|()| {
                    // The waiting snapshot may have been cancelled.
                    let _ = sender.send(());
                }),
            };
            if let Err(error) = done {
                self.fatal.raise("write the audit trail", &error);
            }
        }
        self.close();
    }

    fn append(&mut self, records: &[AuditRecord]) -> Result<(), DiskError> {
        let index = self.shared.index();
        let mut failed = Ok(());
        self.writer.append(records, &mut |location, record| {
            if let (Some(index), Ok(())) = (&index, &failed) {
                failed = index.insert(location, record);
            }
        })?;
        if let Err(error) = failed {
            self.shared.fail_index(&error.to_string());
        }
        Ok(())
    }

    fn start_index(&self) {
        let Some(place) = &self.place else { return };
        let opened = place.open_clean(self.writer.last()).and_then(|opened| match opened {
            Ok(index) => Ok((index, IndexStatus::Reopened)),
            Err(reason) => {
                tracing::warn!(%reason, "building the audit index again");
                let index = place.build(&self.shared.segments)?;
                Ok((index, IndexStatus::Rebuilt { reason }))
            }
        });
        match opened {
            Ok((index, status)) => {
                self.shared.set_index(Some(index));
                self.shared.status.send_replace(status);
            }
            Err(error) => self.shared.fail_index(&error.to_string()),
        }
    }

    fn close(self) {
        if self.fatal.check().is_err() {
            return;
        }
        if let Err(error) = self.writer.sync() {
            self.fatal.raise("close the audit trail", &error);
            return;
        }
        let index = self.shared.take_index();
        if let (Some(place), Some(index)) = (&self.place, index)
            && let Err(error) = place.close(index, self.writer.last())
        {
            // Without a manifest the next start builds it again.
            tracing::warn!(%error, "the audit index did not close cleanly");
        }
    }
}

impl Shared {
    fn index(&self) -> Option<Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_index(&self, index: Option<Index>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    fn take_index(&self) -> Option<Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail_index(&self, reason: &str) {
        tracing::warn!(
            reason,
            "the audit index failed; queries read the segments, the next start builds it again"
        );
        self.set_index(None);
        self.status.send_replace(IndexStatus::Failed { reason: reason.to_owned() });
    }
}

impl AuditReader {
    /// What the index is doing, now and later.
    pub fn status(&self) -> watch::Receiver<IndexStatus> {
        self.shared.status.subscribe()
    }

    /// The newest `count` records (at most [`QUERY_RECORDS_MAX`]), oldest of them first. What was applied in the last
    /// moments may not be there yet.
    ///
    /// # Errors
    /// When the segments cannot be read.
    pub fn tail(&self, count: usize) -> Result<Vec<AuditRecord>, AuditReadError> {
        self.query(count, |index, count| index.newest(count), |_| true)
    }

    /// The newest `count` records about a key, oldest of them first.
    ///
    /// # Errors
    /// When the segments cannot be read.
    pub fn of_key(&self, key: KeyId, count: usize) -> Result<Vec<AuditRecord>, AuditReadError> {
        self.query(count, |index, count| index.newest_of(key, count), |record| record.key() == key)
    }

    fn query(
        &self,
        count: usize,
        ask: impl FnOnce(&Index, usize) -> Result<Vec<segments::Location>, index::IndexError>,
        wanted: impl Fn(&AuditRecord) -> bool,
    ) -> Result<Vec<AuditRecord>, AuditReadError> {
        let count = count.min(QUERY_RECORDS_MAX);
        if let Some(index) = self.shared.index() {
            match ask(&index, count).map(|locations| self.fetch(&locations)) {
                Ok(Ok(Some(mut records))) if records.iter().all(&wanted) => {
                    records.reverse();
                    return Ok(records);
                }
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(_)) => self.shared.fail_index("it names places that hold no such record"),
                Err(error) => self.shared.fail_index(&error.to_string()),
            }
        }
        self.scan(count, wanted)
    }

    /// The records at these places; `None` when the index named a place that does not hold one.
    fn fetch(&self, locations: &[segments::Location]) -> Result<Option<Vec<AuditRecord>>, DiskError> {
        locations.iter().map(|location| self.shared.segments.read(*location)).collect()
    }

    fn scan(
        &self,
        count: usize,
        wanted: impl Fn(&AuditRecord) -> bool,
    ) -> Result<Vec<AuditRecord>, AuditReadError> {
        let mut newest_first: Vec<AuditRecord> = Vec::new();
        for segment in self.shared.segments.segments()?.into_iter().rev() {
            if newest_first.len() >= count {
                break;
            }
            let mut records = Vec::new();
            self.shared.segments.scan(segment, &mut |_, record| {
                if wanted(&record) {
                    records.push(record);
                }
            })?;
            newest_first.extend(records.into_iter().rev());
        }
        newest_first.truncate(count);
        newest_first.reverse();
        Ok(newest_first)
    }
}
