//! The one writer of the log: places records, syncs, acknowledges. Below it: what it does from one segment to the next,
//! and what it does when it is quiet.
//!
//! Invariants: a record is acknowledged only after the sync that covers it; a segment is left only when all of it is
//! synced; a failed write or sync poisons the store before anybody hears of it, and nothing is written afterwards.

mod quiet;
mod rolling;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use interlock_disk::{Disk, DiskError, DiskFile};
use tokio::sync::OwnedSemaphorePermit;

#[cfg(test)]
use super::PlantedBug;
use super::format::{Kind, Owner, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, record_bytes};
use super::recover::Recovered;
use super::segment::{Location, SegmentFiles, create_zeroed, publish};
use super::{Done, Placed, Publish, Record, StickyRecord, Submission, WalOptions};
use crate::fatal::{Fatal, FatalError};

/// Most bytes written by one sync; bounds the latency of those who wait for it.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
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
    /// Nothing was written since a durable marker said that all before it is durable.
    settled: bool,
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
            settled: false,
            sticky: recovered.sticky,
            placed: Vec::new(),
            prepared: None,
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, receiver: &Receiver<Submission>) {
        let served = self.serve(receiver).and_then(|()| self.settle());
        if let Some(prepared) = self.prepared.take() {
            // Its file has a temporary name and is removed at the next start.
            drop(prepared.join());
        }
        if served.is_err() {
            refuse_all(receiver, &self.fatal);
        }
    }

    fn serve(&mut self, receiver: &Receiver<Submission>) -> Result<(), FatalError> {
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
        self.settled = false;
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
        if !self.placed.is_empty() {
            // Without a view nobody reads the log any more.
            let _ = self.publish.send(std::mem::take(&mut self.placed));
        }
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
