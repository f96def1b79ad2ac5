//! Append-only segment files of the audit trail.
//!
//! Written after apply and synced before a snapshot lets the log forget. Whatever a crash takes from the end is written
//! again when the log is replayed, because places that are present already are skipped: no
//! duplicate, and no gap but what came inside a snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::LogPosition;
use interlock_disk::{Disk, DiskError, DiskFile, read_all};

use super::record::{AuditRecord, RECORD_BYTES_MAX, RECORD_HEADER_BYTES};

const MAGIC: [u8; 8] = *b"INTLKAUD";
const FORMAT_VERSION: u32 = 1;
/// magic 8, version 4, reserved 4.
const HEADER_BYTES: usize = 16;
const SUFFIX: &str = ".audit";
/// Largest segment that is read.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// Log index in the segment's name.
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The files for reading: any number of readers beside the one writer.
#[derive(Debug, Clone)]
pub(super) struct SegmentReader {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

/// The one writer.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    reader: SegmentReader,
    segment_bytes: u64,
    active: Option<Active>,
    last: Option<LogPosition>,
}

#[derive(Debug)]
struct Active {
    segment: u64,
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl SegmentReader {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> SegmentReader {
        SegmentReader { disk, directory }
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:020}{SUFFIX}"))
    }

    /// Segments, oldest first.
    pub(super) fn segments(&self) -> Result<Vec<u64>, DiskError> {
        let names = self.disk.list(&self.directory)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
    }

    /// Calls `visit` with the whole records of a segment; returns where they end and how long the file is.
    pub(super) fn scan(
        &self,
        segment: u64,
        visit: &mut dyn FnMut(Location, AuditRecord),
    ) -> Result<(u64, u64), DiskError> {
        let bytes = read_all(self.disk.as_ref(), &self.path(segment), SEGMENT_BYTES_MAX)?;
        if bytes.get(..HEADER_BYTES) != Some(&header()[..]) {
            return Ok((0, bytes.len() as u64));
        }
        let mut offset = HEADER_BYTES;
        while let Some((record, length)) = AuditRecord::decode(&bytes[offset..]) {
            visit(Location { segment, offset: offset as u64 }, record);
            offset += length;
        }
        Ok((offset as u64, bytes.len() as u64))
    }

    /// The record at a location; `None` when there is none that reads.
    pub(super) fn read(&self, location: Location) -> Result<Option<AuditRecord>, DiskError> {
        let file = self.disk.open(&self.path(location.segment))?;
        let mut bytes = vec![0; RECORD_HEADER_BYTES];
        let read = file.read_at(location.offset, &mut bytes)?;
        if read < RECORD_HEADER_BYTES {
            return Ok(None);
        }
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if length > RECORD_BYTES_MAX {
            return Ok(None);
        }
        bytes.resize(RECORD_HEADER_BYTES + length, 0);
        let read = file.read_at(location.offset, &mut bytes)?;
        Ok(AuditRecord::decode(&bytes[..read]).map(|(record, _)| record))
    }
}

impl SegmentWriter {
    /// Finds the end of the trail and cuts a torn record there. What is behind `synced`, the log index that the newest
    /// snapshot covers, is written again: it may exist only in the memory of a kernel that failed to sync it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        segment_bytes: u64,
        synced: Option<u64>,
    ) -> Result<SegmentWriter, DiskError> {
        let reader = SegmentReader::new(disk, directory);
        let mut writer = SegmentWriter { reader, segment_bytes, active: None, last: None };
        for segment in writer.reader.segments()?.into_iter().rev() {
            let (mut last, mut unproven) = (None, None);
            let (end, size) = writer.reader.scan(segment, &mut |location, record| {
                last = Some(record.at);
                if Some(record.at.log_index) > synced {
                    unproven.get_or_insert(location.offset);
                }
            })?;
            let path = writer.reader.path(segment);
            if last.is_none() {
                // Nothing in it: begun when the process died.
                writer.reader.disk.remove(&path)?;
                writer.reader.disk.sync_dir(&writer.reader.directory)?;
                continue;
            }
            let file = writer.reader.disk.open(&path)?;
            if size > end {
                tracing::warn!(bytes = size - end, file = %path.display(), "cut a torn end of the audit trail");
                file.set_size(end)?;
            }
            // An older segment was synced before this one was begun.
            write_again(file.as_ref(), unproven.unwrap_or(end), end)?;
            file.sync_data()?;
            writer.last = last;
            writer.active = Some(Active { segment, file, offset: end });
            break;
        }
        Ok(writer)
    }

    /// Newest place in the trail.
    pub(super) fn last(&self) -> Option<LogPosition> {
        self.last
    }

    /// Appends the records that are not there yet, all in one write; then tells `placed` where each lies.
    pub(super) fn append(
        &mut self,
        records: &[AuditRecord],
        placed: &mut dyn FnMut(Location, &AuditRecord),
    ) -> Result<(), DiskError> {
        let last = self.last;
        let mut new = records.iter().filter(|record| last.is_none_or(|last| last < record.at)).peekable();
        let Some(first) = new.peek() else { return Ok(()) };
        let first_index = first.at.log_index;
        let active = self.active_for(first_index)?;
        let mut buffer = Vec::new();
        let mut written = Vec::new();
        for record in new {
            let offset = active.offset + buffer.len() as u64;
            record.encode(&mut buffer);
            written.push((Location { segment: active.segment, offset }, record));
        }
        active.file.write_at(active.offset, &buffer)?;
        active.offset += buffer.len() as u64;
        self.last = written.last().map(|(_, record)| record.at);
        // Only now: whoever finds a place in the index must find the record there.
        written.into_iter().for_each(|(location, record)| placed(location, record));
        Ok(())
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.active.as_ref().map_or(Ok(()), |active| active.file.sync_data())
    }

    fn active_for(&mut self, log_index: u64) -> Result<&mut Active, DiskError> {
        let full = self.active.as_ref().is_none_or(|active| {
            // A segment is named by its first log index, so one entry never spans two.
            active.offset >= self.segment_bytes && active.segment != log_index
        });
        if full {
            self.sync()?;
            let path = self.reader.path(log_index);
            let file = self.reader.disk.create(&path)?;
            file.write_at(0, &header())?;
            file.sync_data()?;
            self.reader.disk.sync_dir(parent(&path))?;
            self.active = Some(Active { segment: log_index, file, offset: HEADER_BYTES as u64 });
        }
        Ok(self.active.as_mut().expect("there is one, or it was made above"))
    }
}

fn write_again(file: &dyn DiskFile, start: u64, end: u64) -> Result<(), DiskError> {
    // At most a segment, which fits memory: it was just read.
    let mut bytes = vec![0; end.saturating_sub(start) as usize];
    let read = file.read_at(start, &mut bytes)?;
    file.write_at(start, &bytes[..read])
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes
}
