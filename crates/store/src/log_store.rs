//! openraft's log storage over the write-ahead log.
//!
//! Vote, truncation and purge are durable when their call returns; an append is durable when its callback is called;
//! only the committed id is lazy. All of them go through one stream in the order of the calls.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};

use interlock_disk::{DirectoryLock, Disk};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use crate::codec;
use crate::fatal::{Fatal, FatalError};
use crate::flushed::Flushed;
use crate::log_view::{Found, LogView, Published};
use crate::types::{Entry, LogId, Payload, TypeConfig, Vote};
use crate::wal::{Kind, Owner, Record, Submission, Wal, WalOpenError, WalOptions, WalReader};

/// Most encoded bytes that one limited read returns.
const LIMITED_READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// openraft's log storage. Clones share the log; it closes when the last clone and the last reader are dropped.
#[derive(Debug, Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

/// Reads the log; made by [`LogStore`].
#[derive(Debug, Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    view: Mutex<LogView>,
    reader: WalReader,
    owner: Owner,
    fatal: Fatal,
    flushed: Flushed,
    wal: Wal,
    /// Released after the log has closed: fields are dropped in order.
    _lock: Arc<DirectoryLock>,
}

impl LogStore {
    /// Opens the log in `directory` and replays it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        owner: Owner,
        options: &WalOptions,
        fatal: Fatal,
        lock: Arc<DirectoryLock>,
    ) -> Result<LogStore, WalOpenError> {
        let view = Mutex::new(LogView::default());
        let (publish, placed) = channel();
        let published = Published { placed, cache_bytes_max: options.cache_bytes_max };
        locked(&view).listen(published);
        let mut visit = |record: crate::wal::Replayed<'_>| locked(&view).replay(&record);
        let wal = Wal::open(disk, directory, owner, options, fatal.clone(), &mut visit, publish)?;
        let whole = locked(&view).check_whole(wal.opened_from_start());
        whole.map_err(|reason| WalOpenError::Inconsistent { reason })?;
        let reader = wal.reader();
        let flushed = {
            let view = locked(&view);
            Flushed::new(view.vote, view.last_log_id())
        };
        Ok(LogStore { shared: Arc::new(Shared { view, reader, owner, fatal, flushed, wal, _lock: lock }) })
    }

    /// The newest purged log id.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shared.view().purged
    }

    /// How far the disk has come.
    pub(crate) fn flushed(&self) -> Flushed {
        self.shared.flushed.clone()
    }

    /// Submits records that were already noted in the view, and waits until they are durable.
    async fn write(&self, view_change: impl FnOnce(&mut LogView), record: Record) -> Result<(), io::Error> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result: Result<(), FatalError>| {
            // The caller may have been cancelled; the record is written all the same.
            let _ = sender.send(result);
        });
        {
            let mut view = self.shared.view();
            view_change(&mut view);
            let submission = Submission { records: vec![record], done: Some(done), room: None };
            self.shared.wal.submit(submission).map_err(io::Error::other)?;
        }
        match receiver.await {
            Ok(result) => result.map_err(io::Error::from),
            Err(_) => Err(io::Error::other("the log's writer ended before it answered")),
        }
    }
}

fn locked(view: &Mutex<LogView>) -> MutexGuard<'_, LogView> {
    // A panic while the view was changed would leave it half changed: fail on, do not serve it.
    view.lock().expect("no holder of the log view panicked")
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, LogView> {
        let mut view = locked(&self.view);
        view.take_published();
        view
    }

    fn read(&self, range: impl RangeBounds<u64>, bytes_max: usize) -> Result<Vec<Entry>, io::Error> {
        self.fatal.check()?;
        let found = self.view().find(range, bytes_max).map_err(io::Error::other)?;
        found.into_iter().map(|found| self.fetch(found)).collect()
    }

    fn fetch(&self, found: Found) -> Result<Entry, io::Error> {
        let (log_id, location) = match found {
            Found::Here(entry) => return Ok(entry),
            Found::At(log_id, location) => (log_id, location),
        };
        let payload = self.reader.read(self.owner, location).map_err(io::Error::other)?;
        let entry = codec::decode_entry(&payload).map_err(io::Error::other)?;
        if entry.log_id != log_id {
            let text = format!("entry {log_id} was asked for, its place holds {}", entry.log_id);
            return Err(io::Error::other(text));
        }
        Ok(entry)
    }
}

fn entry_record(entry: &Entry) -> Record {
    let body = match &entry.payload {
        Payload::Normal(batch) => Some(batch.clone()),
        Payload::Blank | Payload::Membership(_) => None,
    };
    Record {
        kind: Kind::Entry,
        index: entry.log_id.index(),
        head: codec::encode_entry_head(entry),
        body,
        ticket: 0,
    }
}

fn state_record(kind: Kind, index: u64, head: Vec<u8>) -> Record {
    Record { kind, index, head, body: None, ticket: 0 }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let view = self.shared.view();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last_log_id() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let record = state_record(Kind::Vote, 0, codec::encode_vote(vote));
        self.write(|view| view.vote = Some(*vote), record).await?;
        self.shared.flushed.vote(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let record = state_record(Kind::Committed, 0, codec::encode_log_id(committed.as_ref()));
        let mut view = self.shared.view();
        view.set_committed(committed);
        let submission = Submission { records: vec![record], done: None, room: None };
        self.shared.wal.submit(submission).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.view().committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut records: Vec<Record> = entries.iter().map(entry_record).collect();
        let room = self.shared.wal.room(&records).await;
        let mut view = self.shared.view();
        for (entry, record) in entries.into_iter().zip(&mut records) {
            record.ticket = view.append(entry, record.payload_length()).map_err(io::Error::other)?;
        }
        let last = view.last_log_id();
        let flushed = self.shared.flushed.clone();
        let done = Box::new(move |result: Result<(), FatalError>| {
            if let (Ok(()), Some(last)) = (&result, last) {
                flushed.last(last);
            }
            callback.io_completed(result.map_err(io::Error::from));
        });
        self.shared.wal.submit(Submission { records, done: Some(done), room }).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first_removed = last_log_id.map_or(0, |id| id.index() + 1);
        let record = state_record(Kind::Truncate, first_removed, Vec::new());
        self.write(|view| view.truncate_from(first_removed), record).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let record = state_record(Kind::Purge, log_id.index(), codec::encode_log_id(Some(&log_id)));
        self.write(|view| view.purge(log_id), record).await?;
        let last = self.shared.view().last_log_id();
        if let Some(last) = last.filter(|last| *last == log_id) {
            // A snapshot has taken the place of the whole log.
            self.shared.flushed.last(last);
        }
        Ok(())
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.shared.read(range, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.view().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.shared.read(start..end, LIMITED_READ_BYTES_MAX)
    }
}
