//! The write-ahead log: one ordered stream of records, durable before it is acknowledged.
//!
//! Vote, entries, truncations, purges and the committed id share one stream, so that their order on disk is the order
//! in which they were asked for. One thread writes; what arrives while it syncs goes into the next write together
//! (group commit). This module sees opaque payloads; `log_store` gives them their meaning.

mod format;
mod recover;
mod segment;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use interlock_disk::{Disk, DiskError};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fatal::{Fatal, FatalError};

pub(crate) use format::{Kind, Owner};
pub(crate) use recover::Replayed;
pub use recover::WalOpenError;
pub(crate) use segment::Location;
use segment::SegmentFiles;
use writer::Writer;

/// Default size of a segment.
pub const SEGMENT_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Smallest segment: a page for the header and the repeated state, and a page for records.
const SEGMENT_BYTES_MIN: u64 = 8 * 1024;
/// Largest segment; recovery reads one into memory.
const SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most KiB that wait for the writer; more appends wait their turn.
const QUEUE_KIB_MAX: u32 = 64 * 1024;

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Size of a new segment, in bytes. An entry must fit one.
    pub segment_bytes: u64,
    /// Prepare the next segment on another thread, so that no append waits for its zeros.
    pub prepare_ahead: bool,
    /// Entries kept in memory, in bytes of their encoding; older ones are read from disk.
    pub cache_bytes_max: usize,
    #[cfg(test)]
    pub(crate) planted: PlantedBug,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            prepare_ahead: true,
            cache_bytes_max: 32 * 1024 * 1024,
            #[cfg(test)]
            planted: PlantedBug::None,
        }
    }
}

/// Bugs that the power-cut tests must find.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlantedBug {
    None,
    AcknowledgeBeforeSync,
    /// A failed sync is tried again and believed.
    RetrySync,
}

/// A record to write: the payload is `head` followed by `body`.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Option<crate::batch::Batch>,
    /// Returned with the location, so that the owner knows which of two records at one index was placed.
    pub(crate) ticket: u64,
}

impl Record {
    fn body(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |batch| batch.encoded())
    }

    pub(crate) fn payload_length(&self) -> usize {
        self.head.len() + self.body().len()
    }
}

/// A record whose newest version is repeated at the start of each segment.
#[derive(Debug, Clone)]
struct StickyRecord {
    kind: Kind,
    index: u64,
    payload: Vec<u8>,
}

/// Where an entry was placed. Published before its append is acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) index: u64,
    pub(crate) ticket: u64,
    pub(crate) location: Location,
}

/// Called by the writer with the result, once, after the sync.
pub(crate) type Done = Box<dyn FnOnce(Result<(), FatalError>) + Send>;
/// Where the writer tells which entries became durable: a queue, so that it waits for nobody.
pub(crate) type Publish = Sender<Vec<Placed>>;

/// Records that are written together. Without `done` they are lazy: durable with whatever is synced after them.
pub(crate) struct Submission {
    pub(crate) records: Vec<Record>,
    pub(crate) done: Option<Done>,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// An open log. Dropping it writes what is queued and ends the thread.
pub(crate) struct Wal {
    sender: Mutex<Option<Sender<Submission>>>,
    thread: Option<JoinHandle<()>>,
    files: SegmentFiles,
    queue: Arc<Semaphore>,
    fatal: Fatal,
    record_bytes_max: usize,
    first_segment_at_open: u64,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("segments", &self.files).finish_non_exhaustive()
    }
}

/// Why the settings of the log are refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a log segment of {given} bytes is outside {min} to {max}")]
pub struct WalOptionsError {
    /// The setting.
    pub given: u64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

/// Why a record is not written. Nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum SubmitError {
    #[error("a log record of {bytes} bytes does not fit a segment, which has room for {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Why a record was not read back.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("log segment {segment} is gone, although an entry lies in it")]
    SegmentGone { segment: u64 },
    #[error("the entry at byte {offset} of log segment {segment} does not read back: the disk damaged it")]
    Damaged { segment: u64, offset: u64 },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl WalOptions {
    /// # Errors
    /// When a segment is too small to hold anything or too large to read at start.
    pub fn check(&self) -> Result<(), WalOptionsError> {
        if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Ok(());
        }
        Err(WalOptionsError { given: self.segment_bytes, min: SEGMENT_BYTES_MIN, max: SEGMENT_BYTES_MAX })
    }
}

/// Creates the first segment of a log in an empty directory. Durable when it returns.
pub(crate) fn create(
    disk: &dyn Disk,
    directory: &Path,
    owner: Owner,
    options: &WalOptions,
) -> Result<(), DiskError> {
    writer::create_first_segment(disk, directory, owner, options)
}

impl Wal {
    /// Replays the log into `visit` and starts the writer.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        owner: Owner,
        options: &WalOptions,
        fatal: Fatal,
        visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), String>,
        publish: Publish,
    ) -> Result<Wal, WalOpenError> {
        let recovered = recover::recover(disk.as_ref(), &directory, owner, visit)?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(bytes = recovered.cut_bytes, "cut an unsynced tail of the log, left by a crash");
        }
        let files = recovered.files.clone();
        let first_segment_at_open = recovered.segments.first().map_or(0, |(number, _)| *number);
        let record_bytes_max = writer::record_bytes_max(options.segment_bytes.min(recovered.size));
        let writer = Writer::new(disk, directory, owner, options.clone(), fatal.clone(), recovered, publish);
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("interlock-log".to_owned());
        let thread = thread.spawn(move || writer.run(&receiver)).map_err(|error| {
            WalOpenError::Inconsistent { reason: format!("the writer thread did not start: {error}") }
        })?;
        Ok(Wal {
            sender: Mutex::new(Some(sender)),
            thread: Some(thread),
            files,
            queue: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
            fatal,
            record_bytes_max,
            first_segment_at_open,
        })
    }

    /// Whether no segment was ever removed: the log was opened from its very first record.
    pub(crate) fn opened_from_start(&self) -> bool {
        self.first_segment_at_open == 1
    }

    /// Waits until the queue has room for these records.
    pub(crate) async fn room(&self, records: &[Record]) -> Option<OwnedSemaphorePermit> {
        let bytes: usize = records.iter().map(Record::payload_length).sum();
        // Never more than the whole queue, or it would wait for ever.
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(QUEUE_KIB_MAX).min(QUEUE_KIB_MAX);
        // The semaphore is never closed, so this always gives a permit.
        Arc::clone(&self.queue).acquire_many_owned(kib).await.ok()
    }

    /// Queues records, in the order of the calls. `done` hears of them after the sync.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        self.fatal.check()?;
        let limit = self.record_bytes_max;
        if let Some(bytes) =
            submission.records.iter().map(Record::payload_length).find(|bytes| *bytes > limit)
        {
            return Err(SubmitError::TooLarge { bytes, limit });
        }
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sender.as_ref().is_some_and(|sender| sender.send(submission).is_ok());
        if sent {
            return Ok(());
        }
        self.fatal.check()?;
        let gone = std::io::Error::other("the writer thread is gone");
        Err(self.fatal.raise("queue a log record", &gone).into())
    }

    /// The payload of a placed record, read and checked.
    pub(crate) fn reader(&self) -> WalReader {
        WalReader { files: self.files.clone() }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        drop(self.sender.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
        }
    }
}

/// Reads placed records.
#[derive(Debug, Clone)]
pub(crate) struct WalReader {
    files: SegmentFiles,
}

impl WalReader {
    /// The payload at `location`. The checksum was verified for this log when it was opened; it is verified again.
    pub(crate) fn read(&self, owner: Owner, location: Location) -> Result<Vec<u8>, ReadError> {
        let Location { segment, offset, length } = location;
        let file = self.files.get(segment).ok_or(ReadError::SegmentGone { segment })?;
        let mut bytes = vec![0; length as usize];
        let read = file.read_at(offset, &mut bytes)?;
        match format::decode_record(owner, &bytes[..read]) {
            Some((header, payload)) if header.kind == Kind::Entry => Ok(payload.to_vec()),
            _ => Err(ReadError::Damaged { segment, offset }),
        }
    }
}
