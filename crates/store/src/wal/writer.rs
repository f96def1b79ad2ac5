//! The one writer of the log: places records, syncs, acknowledges, rolls to the next segment.
//!
//! Invariants: a record is acknowledged only after the sync that covers it; a segment is left only when all of it is
//! synced; a failed write or sync poisons the store before anybody hears of it, and nothing is written afterwards.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use interlock_disk::{Disk, DiskError, DiskFile};
use tokio::sync::OwnedSemaphorePermit;

#[cfg(test)]
use super::PlantedBug;
use super::format::{Kind, Owner, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, record_bytes};
use super::recover::Recovered;
use super::segment::{Location, SegmentFiles, create_zeroed, publish, segment_path};
use super::{Done, Placed, Publish, Record, StickyRecord, Submission, WalOptions};
use crate::fatal::{Fatal, FatalError};

/// Most bytes written by one sync; bounds the latency of those who wait for it.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long nobody must have asked for anything before the log says how far it is durable.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(5);
/// Unit in which a device fails.
const PAGE_BYTES: usize = 4096;
/// Room at the start of a segment for the header and the repeated state.
const SEGMENT_START_BYTES_MAX: usize = 1024;

type Prepared = JoinHandle<Result<Arc<dyn DiskFile>, DiskError>>;

/// Largest payload that fits a segment of this size, beside its start and the record that closes it.
pub(super) fn record_bytes_max(segment_bytes: u64) -> usize {
    let segment_bytes = usize::try_from(segment_bytes).unwrap_or(usize::MAX);
    segment_bytes.saturating_sub(SEGMENT_START_BYTES_MAX + 2 * record_bytes(0))
}

/// The first segment, before there is any state.
pub(super) fn create_first_segment(
    disk: &dyn Disk,
    directory: &Path,
    owner: Owner,
    options: &WalOptions,
) -> Result<(), DiskError> {
    let file = create_zeroed(disk, directory, 1, options.segment_bytes)?;
    let header = SegmentHeader { owner, number: 1, first_sequence: 1, size: options.segment_bytes };
    publish(disk, directory, 1, file.as_ref(), &header.encode())
}

#[derive(Debug)]
struct SegmentInfo {
    number: u64,
    max_index: Option<u64>,
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    owner: Owner,
    options: WalOptions,
    fatal: Fatal,
    publish: Publish,
    files: SegmentFiles,
    /// Oldest first; the last one is written.
    segments: VecDeque<SegmentInfo>,
    file: Arc<dyn DiskFile>,
    number: u64,
    size: u64,
    /// Where the buffer goes.
    offset: u64,
    buffer: Vec<u8>,
    next_sequence: u64,
    /// Records up to here are durable.
    synced: u64,
    /// Records up to here were said to be durable in the stream.
    announced: u64,
    sticky: Vec<StickyRecord>,
    /// Entries in the buffer or written, but not synced.
    placed: Vec<Placed>,
    prepared: Option<Prepared>,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        owner: Owner,
        options: WalOptions,
        fatal: Fatal,
        recovered: Recovered,
        publish: Publish,
    ) -> Writer {
        let segments: VecDeque<SegmentInfo> =
            recovered.segments.iter().map(|&(number, max_index)| SegmentInfo { number, max_index }).collect();
        let number = segments.back().map_or(0, |segment| segment.number);
        let file = recovered.files.get(number).expect("recovery returns the newest segment's open file");
        Writer {
            disk,
            directory,
            owner,
            options,
            fatal,
            publish,
            files: recovered.files,
            segments,
            file,
            number,
            size: recovered.size,
            offset: recovered.offset,
            buffer: Vec::new(),
            next_sequence: recovered.next_sequence,
            synced: recovered.next_sequence - 1,
            announced: 0,
            sticky: recovered.sticky,
            placed: Vec::new(),
            prepared: None,
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, receiver: &Receiver<Submission>) {
        let served = self.serve(receiver).and_then(|()| self.close());
        if let Some(prepared) = self.prepared.take() {
            // Its file has a temporary name and is removed at the next start.
            drop(prepared.join());
        }
        if served.is_err() {
            refuse_all(receiver, &self.fatal);
        }
    }

    fn serve(&mut self, receiver: &Receiver<Submission>) -> Result<(), FatalError> {
        self.announce()?;
        while let Some(first) = self.next(receiver)? {
            let mut bytes = group_bytes(&first);
            let mut group = vec![first];
            while bytes < GROUP_BYTES_MAX
                && let Ok(more) = receiver.try_recv()
            {
                bytes += group_bytes(&more);
                group.push(more);
            }
            self.commit(group)?;
            self.prepare_next();
        }
        Ok(())
    }

    /// The next submission; `None` when there will be none. Announces what is durable once nobody has asked for
    /// anything for a moment: under load the next record says the same.
    fn next(&mut self, receiver: &Receiver<Submission>) -> Result<Option<Submission>, FatalError> {
        if self.announced < self.synced {
            match receiver.recv_timeout(ANNOUNCE_AFTER) {
                Ok(first) => return Ok(Some(first)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.announce()?,
            }
        }
        Ok(receiver.recv().ok())
    }

    /// Writes a group, syncs it if anybody waits for it, and acknowledges.
    fn commit(&mut self, group: Vec<Submission>) -> Result<(), FatalError> {
        let mut waiting: Vec<Done> = Vec::new();
        // Given back only when the bytes are on disk, and all at once.
        let mut room: Option<OwnedSemaphorePermit> = None;
        let mut purge = None;
        for submission in group {
            // After a failure the rest of the group is refused too, and nothing more is written.
            if self.fatal.check().is_ok() {
                for record in &submission.records {
                    purge = purge.max((record.kind == Kind::Purge).then_some(record.index));
                    if self.place(record).is_err() {
                        break;
                    }
                }
            }
            waiting.extend(submission.done);
            match (&mut room, submission.room) {
                (Some(all), Some(more)) => all.merge(more),
                (all, more) => *all = all.take().or(more),
            }
        }
        #[cfg(test)]
        if self.options.planted == PlantedBug::AcknowledgeBeforeSync {
            self.publish_placed();
            waiting.drain(..).for_each(|done| done(Ok(())));
            waiting.push(Box::new(|_| ()));
        }
        let result = self.write_and_sync(!waiting.is_empty());
        for done in waiting {
            done(result.clone());
        }
        result?;
        match purge {
            Some(index) => self.remove_purged(index),
            None => Ok(()),
        }
    }

    fn write_and_sync(&mut self, someone_waits: bool) -> Result<(), FatalError> {
        self.fatal.check()?;
        self.write_buffer()?;
        if someone_waits { self.sync() } else { Ok(()) }
    }

    /// Puts a record into the buffer, in the next segment if it does not fit this one.
    fn place(&mut self, record: &Record) -> Result<(), FatalError> {
        if !self.fits(record.payload_length()) {
            self.roll()?;
        }
        let offset = self.offset + self.buffer.len() as u64;
        self.encode(record.kind, record.index, &record.head, record.body());
        if record.kind == Kind::Entry {
            // Bounded by the segment's size, checked when it was submitted.
            let length = (RECORD_HEADER_BYTES + record.payload_length()) as u32;
            let location = Location { segment: self.number, offset, length };
            self.placed.push(Placed { index: record.index, ticket: record.ticket, location });
            if let Some(segment) = self.segments.back_mut() {
                segment.max_index = segment.max_index.max(Some(record.index));
            }
        }
        if Kind::STICKY.contains(&record.kind) {
            self.sticky.retain(|known| known.kind != record.kind);
            let payload = [&record.head[..], record.body()].concat();
            self.sticky.push(StickyRecord { kind: record.kind, index: record.index, payload });
        }
        Ok(())
    }

    /// Whether a record fits, with room left for the record that closes the segment.
    fn fits(&self, payload_length: usize) -> bool {
        let needed = self.buffer.len() + record_bytes(payload_length) + record_bytes(0);
        self.offset + needed as u64 <= self.size
    }

    fn encode(&mut self, kind: Kind, index: u64, head: &[u8], body: &[u8]) {
        let sequence = self.next_sequence;
        // Bounded by the segment's size, which fits.
        let length = (head.len() + body.len()) as u32;
        let header = RecordHeader { kind, sequence, synced: self.synced, index, length };
        header.encode(self.owner, head, body, &mut self.buffer);
        self.announced = self.synced;
        self.next_sequence += 1;
    }

    fn write_buffer(&mut self) -> Result<(), FatalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_at(self.offset, &self.buffer);
        written.map_err(|error| self.fatal.raise("write to the log", &error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FatalError> {
        let mut synced = self.file.sync_data();
        #[cfg(test)]
        if self.options.planted == PlantedBug::RetrySync && synced.is_err() {
            synced = self.file.sync_data();
        }
        synced.as_mut().map_err(|error| self.fatal.raise("sync the log", error))?;
        self.synced = self.next_sequence - 1;
        self.publish_placed();
        Ok(())
    }

    fn publish_placed(&mut self) {
        (self.publish)(&self.placed);
        self.placed.clear();
    }

    /// Leaves a marker behind the last acknowledged records, so that damage to them is told from a torn tail. Nobody
    /// waits for it.
    fn announce(&mut self) -> Result<(), FatalError> {
        if self.announced < self.synced && self.fits(0) {
            self.encode(Kind::Marker, 0, &[], &[]);
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Goes on in a new segment that starts with the state so far.
    fn roll(&mut self) -> Result<(), FatalError> {
        self.write_buffer()?;
        self.sync()?;
        let number = self.number + 1;
        let rolled = self.create_next(number);
        let (file, start) = rolled.map_err(|error| self.fatal.raise("begin a log segment", &error))?;
        self.close_segment().map_err(|error| self.fatal.raise("close a log segment", &error))?;
        self.files.insert(number, Arc::clone(&file));
        self.segments.push_back(SegmentInfo { number, max_index: None });
        self.file = file;
        self.number = number;
        self.size = self.options.segment_bytes;
        self.offset = start;
        self.next_sequence += self.sticky.len() as u64;
        self.synced = self.next_sequence - 1;
        Ok(())
    }

    fn create_next(&mut self, number: u64) -> Result<(Arc<dyn DiskFile>, u64), DiskError> {
        let size = self.options.segment_bytes;
        let file = match self.prepared.take().map(JoinHandle::join) {
            Some(Ok(prepared)) => prepared?,
            // Not prepared, or the thread panicked: make it here.
            Some(Err(_)) | None => create_zeroed(self.disk.as_ref(), &self.directory, number, size)?,
        };
        let first_sequence = self.next_sequence;
        let mut bytes = SegmentHeader { owner: self.owner, number, first_sequence, size }.encode().to_vec();
        for (sequence, record) in (first_sequence..).zip(&self.sticky) {
            let length = record.payload.len() as u32;
            let header = RecordHeader {
                kind: record.kind,
                sequence,
                synced: self.synced,
                index: record.index,
                length,
            };
            header.encode(self.owner, &record.payload, &[], &mut bytes);
        }
        assert!(bytes.len() <= SEGMENT_START_BYTES_MAX, "vote, purge and committed id are small");
        publish(self.disk.as_ref(), &self.directory, number, file.as_ref(), &bytes)?;
        Ok((file, bytes.len() as u64))
    }

    /// Says in the old segment that there is a next one, so that its loss is noticed.
    fn close_segment(&mut self) -> Result<(), DiskError> {
        let mut bytes = Vec::new();
        let sequence = self.next_sequence;
        RecordHeader { kind: Kind::Rolled, sequence, synced: self.synced, index: 0, length: 0 }.encode(
            self.owner,
            &[],
            &[],
            &mut bytes,
        );
        self.file.write_at(self.offset, &bytes)?;
        self.file.sync_data()
    }

    /// Starts on the next segment once half of this one is used.
    fn prepare_next(&mut self) {
        let half_used = self.offset >= self.size / 2;
        if !self.options.prepare_ahead || !half_used || self.prepared.is_some() {
            return;
        }
        let (disk, directory) = (Arc::clone(&self.disk), self.directory.clone());
        let (number, size) = (self.number + 1, self.options.segment_bytes);
        let thread = std::thread::Builder::new().name("interlock-log-next".to_owned());
        // Without the thread the segment is made when it is needed.
        self.prepared = thread.spawn(move || create_zeroed(disk.as_ref(), &directory, number, size)).ok();
    }

    /// Removes the oldest segments that hold nothing but purged entries. One at a time: a crash leaves no gap.
    fn remove_purged(&mut self, purged: u64) -> Result<(), FatalError> {
        while self.segments.len() > 1 && self.segments[0].max_index.is_none_or(|index| index <= purged) {
            let number = self.segments[0].number;
            let path = segment_path(&self.directory, number);
            let removed = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.directory));
            removed.map_err(|error| self.fatal.raise("remove a purged log segment", &error))?;
            self.files.remove(number);
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Ends with a marker in a page of its own, so that even the loss of the last page of records is noticed.
    fn close(&mut self) -> Result<(), FatalError> {
        self.write_buffer()?;
        self.sync()?;
        let after_filler = self.offset as usize + record_bytes(0);
        let filler = vec![0; after_filler.next_multiple_of(PAGE_BYTES) - after_filler];
        if !self.fits(filler.len() + record_bytes(0)) {
            // The next segment's header says the same.
            return self.roll();
        }
        self.encode(Kind::Marker, 0, &filler, &[]);
        self.encode(Kind::Marker, 0, &[], &[]);
        self.write_buffer()?;
        self.sync()
    }
}

fn group_bytes(submission: &Submission) -> usize {
    submission.records.iter().map(|record| record_bytes(record.payload_length())).sum()
}

/// After a failure everybody gets it, until nobody asks any more.
fn refuse_all(receiver: &Receiver<Submission>, fatal: &Fatal) {
    while let Ok(submission) = receiver.recv() {
        if let (Some(done), Err(error)) = (submission.done, fatal.check()) {
            done(Err(error));
        }
    }
}
