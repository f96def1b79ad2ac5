//! The one writer of the audit trail: appends, begins segments, and removes the oldest ones.
//!
//! Written after apply and synced before a snapshot lets the log forget. Whatever a crash takes from the end is written
//! again when the log is replayed, because places that are present already are skipped: no duplicate, and no gap but
//! what came inside a snapshot.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::{AuditChain, LogPosition};
use interlock_disk::{Disk, DiskError, DiskFile};

use super::AuditOptions;
use super::record::EntryRecords;
use super::segments::{HEADER_BYTES, Location, SegmentReader, encode_header};
use super::shared::TrailEnd;

/// Appended to the name of a segment whose head is unknown: it is kept for people, and not read.
const UNREADABLE: &str = "unreadable";

/// The one writer.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    reader: SegmentReader,
    options: AuditOptions,
    active: Option<Active>,
    closed: VecDeque<Closed>,
    /// Newest place, and the chain after it.
    last: Option<(LogPosition, AuditChain)>,
}

#[derive(Debug)]
struct Active {
    segment: u64,
    file: Box<dyn DiskFile>,
    offset: u64,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    segment: u64,
    bytes: u64,
}

impl SegmentWriter {
    /// Finds the end of the trail, cuts a torn record there, and applies the retention. What is behind `synced`,
    /// the log index that the newest snapshot covers, is written again: it may exist only in the memory of a kernel
    /// that failed to sync it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: AuditOptions,
        synced: Option<u64>,
    ) -> Result<SegmentWriter, DiskError> {
        let reader = SegmentReader::new(disk, directory);
        let mut segments = reader.segments()?;
        let mut writer = SegmentWriter { reader, options, active: None, closed: VecDeque::new(), last: None };
        while let Some(segment) = segments.pop() {
            if writer.open_newest(segment, synced)? {
                break;
            }
        }
        for segment in segments {
            let bytes = writer.reader.disk.open(&writer.reader.path(segment))?.size()?;
            writer.closed.push_back(Closed { segment, bytes });
        }
        writer.retire()?;
        Ok(writer)
    }

    /// Makes this segment the one that is appended to; says no and puts it away when nothing in it reads.
    fn open_newest(&mut self, segment: u64, synced: Option<u64>) -> Result<bool, DiskError> {
        let (mut last, mut unproven) = (None, None);
        let scanned = self.reader.scan(Location::start_of(segment), None, &mut |location, record| {
            last = Some((record.at, record.chain));
            if Some(record.at.log_index) > synced {
                unproven.get_or_insert(location.offset);
            }
            ControlFlow::Continue(())
        })?;
        let path = self.reader.path(segment);
        if last.is_none() {
            self.put_away(&path, scanned.size)?;
            return Ok(false);
        }
        let file = self.reader.disk.open(&path)?;
        if scanned.size > scanned.end {
            let bytes = scanned.size - scanned.end;
            tracing::warn!(bytes, file = %path.display(), "cut a torn end of the audit trail");
            file.set_size(scanned.end)?;
        }
        // An older segment was synced before this one was begun.
        write_again(file.as_ref(), unproven.unwrap_or(scanned.end), scanned.end)?;
        file.sync_data()?;
        self.last = last;
        self.active = Some(Active { segment, file, offset: scanned.end });
        Ok(true)
    }

    /// One that was begun when the process died holds nothing; a longer one is kept under another name.
    fn put_away(&self, path: &Path, size: u64) -> Result<(), DiskError> {
        let disk = &self.reader.disk;
        if size <= HEADER_BYTES as u64 {
            disk.remove(path)?;
        } else {
            tracing::warn!(file = %path.display(), size, "an audit segment does not read and is put aside");
            disk.rename(path, &path.with_extension(UNREADABLE))?;
        }
        disk.sync_dir(&self.reader.directory)
    }

    /// What is there now.
    pub(super) fn end(&self) -> TrailEnd {
        let active = self.active.as_ref();
        let first = self.closed.front().map(|closed| closed.segment);
        let closed: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        TrailEnd {
            first_segment: first.or(active.map(|active| active.segment)),
            end: active.map(|active| Location { segment: active.segment, offset: active.offset }),
            last: self.last.map(|(at, _)| at),
            bytes: closed + active.map_or(0, |active| active.offset),
        }
    }

    /// Appends the records of one entry that are not there yet, all in one write.
    pub(super) fn append(&mut self, entry: &EntryRecords) -> Result<(), DiskError> {
        let last = self.last.map(|(at, _)| at);
        let present = entry.records.iter().take_while(|record| Some(record.at) <= last).count();
        let new = &entry.records[present..];
        let (Some(first), Some(newest)) = (new.first(), new.last()) else { return Ok(()) };
        let before = present.checked_sub(1).map_or(entry.before, |newest| entry.records[newest].chain);
        let active = self.active_for(first.at.log_index, before)?;
        let mut buffer = Vec::new();
        new.iter().for_each(|record| record.encode(&mut buffer));
        active.file.write_at(active.offset, &buffer)?;
        active.offset += buffer.len() as u64;
        self.last = Some((newest.at, newest.chain));
        Ok(())
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.active.as_ref().map_or(Ok(()), |active| active.file.sync_data())
    }

    fn active_for(&mut self, log_index: u64, before: AuditChain) -> Result<&mut Active, DiskError> {
        let follows = self.last.is_none_or(|(_, chain)| chain == before);
        let fits = self.active.as_ref().is_some_and(|active| {
            // A segment is named by its first log index, so one entry never spans two.
            active.segment == log_index || (follows && active.offset < self.options.segment_bytes)
        });
        if !fits {
            self.begin(log_index, before)?;
        }
        Ok(self.active.as_mut().expect("there is one, or it was made above"))
    }

    fn begin(&mut self, log_index: u64, before: AuditChain) -> Result<(), DiskError> {
        self.sync()?;
        let path = self.reader.path(log_index);
        let file = self.reader.disk.create(&path)?;
        file.write_at(0, &encode_header(before))?;
        file.sync_data()?;
        self.reader.disk.sync_dir(&self.reader.directory)?;
        if let Some(old) = self.active.take() {
            self.closed.push_back(Closed { segment: old.segment, bytes: old.offset });
        }
        self.active = Some(Active { segment: log_index, file, offset: HEADER_BYTES as u64 });
        self.retire()
    }

    /// Removes the oldest segments that the settings do not keep; never the one that is appended to.
    fn retire(&mut self) -> Result<(), DiskError> {
        let Some(active) = &self.active else { return Ok(()) };
        let newest = active.segment;
        let mut bytes: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        let mut removed = 0_u32;
        while let Some(oldest) = self.closed.front().copied() {
            let next = self.closed.get(1).map_or(newest, |closed| closed.segment);
            // The active segment may grow to its full size.
            let too_much = bytes + self.options.segment_bytes > self.options.retain_bytes;
            let too_old = self.options.retain_entries.is_some_and(|kept| next.saturating_add(kept) <= newest);
            if !too_much && !too_old {
                break;
            }
            self.reader.disk.remove(&self.reader.path(oldest.segment))?;
            self.closed.pop_front();
            bytes -= oldest.bytes;
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(segments = removed, "removed the oldest audit segments, as the retention says");
            self.reader.disk.sync_dir(&self.reader.directory)?;
        }
        Ok(())
    }
}

fn write_again(file: &dyn DiskFile, start: u64, end: u64) -> Result<(), DiskError> {
    // At most a segment, which fits memory.
    let mut bytes = vec![0; end.saturating_sub(start) as usize];
    let read = file.read_at(start, &mut bytes)?;
    file.write_at(start, &bytes[..read])
}
