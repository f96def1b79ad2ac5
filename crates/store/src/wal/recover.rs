//! Opening the log after any end of its last process.
//!
//! The first record that does not read ends the log, and the question is whether it was ever acknowledged. Each record
//! says how far the log was durable when it was written (`synced`), and an idle writer says so in a marker. So if any
//! record behind the bad one, or a later segment, claims that the bad one was durable, it was acknowledged: refuse.
//! Otherwise it belongs to the unsynced tail of a crash: cut there, unattended.
//!
//! What was read beyond the last claim may exist only in the kernel's memory (the process died, or its last sync
//! failed), so it is written again and synced before anybody relies on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_disk::{Disk, DiskError, DiskFile, read_all, write_zeros};
use thiserror::Error;

use super::format::{
    ALIGNMENT, HeaderError, Kind, Owner, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, decode_record, record_bytes,
};
use super::segment::{Location, SegmentFiles, TEMPORARY_SUFFIX, segment_number, segment_path};
use super::{SEGMENT_BYTES_MAX, StickyRecord};

/// Why a log does not open.
#[derive(Debug, Error)]
pub enum WalOpenError {
    /// There is no segment at all.
    #[error(
        "{} holds no log: this node's memory is lost. Do not start it under its old id; replace it by a new one",
        directory.display()
    )]
    Missing {
        /// The log's directory.
        directory: PathBuf,
    },
    /// A segment is gone although the log needs it.
    #[error("{} is missing, and the log needs it. Replace this node by a new one", path.display())]
    SegmentMissing {
        /// The segment that should be there.
        path: PathBuf,
    },
    /// Records that were acknowledged do not read any more.
    #[error(
        "{} is damaged at byte {offset}: record {sequence} does not read, although records up to {synced} were \
         acknowledged as durable. The disk lost them. Replace this node by a new one",
        path.display()
    )]
    AcknowledgedDamaged {
        /// Which segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Which record does not read.
        sequence: u64,
        /// How far the log is known to have been durable.
        synced: u64,
    },
    /// A segment's header or size is wrong; both were durable before the segment was used.
    #[error("{} is damaged: {reason}. Replace this node by a new one", path.display())]
    SegmentDamaged {
        /// Which segment.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A segment of another data directory.
    #[error("{} belongs to another data directory: a log is never put together from two", path.display())]
    Foreign {
        /// Which segment.
        path: PathBuf,
    },
    /// Written by a newer release.
    #[error("{} has log format {found}, this program reads {known}; upgrade it", path.display())]
    NewerVersion {
        /// Which segment.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// The records read but do not make a log.
    #[error("the log contradicts itself: {reason}. Replace this node by a new one")]
    Inconsistent {
        /// What does not fit.
        reason: String,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What the writer starts from.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) files: SegmentFiles,
    /// Number and highest entry index of each segment, oldest first.
    pub(super) segments: Vec<(u64, Option<u64>)>,
    /// Where the next record goes in the newest segment.
    pub(super) offset: u64,
    /// Size of the newest segment.
    pub(super) size: u64,
    pub(super) next_sequence: u64,
    pub(super) sticky: Vec<StickyRecord>,
    /// Bytes of an unsynced tail that were cut.
    pub(super) cut_bytes: u64,
}

/// One record, as replayed.
#[derive(Debug)]
pub(crate) struct Replayed<'a> {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) payload: &'a [u8],
    pub(crate) location: Location,
}

/// Reads all records in order into `visit`, then makes what was read durable.
pub(super) fn recover(
    disk: &dyn Disk,
    directory: &Path,
    owner: Owner,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), String>,
) -> Result<Recovered, WalOpenError> {
    let numbers = segment_numbers(disk, directory)?;
    let mut recovery =
        Recovery { disk, directory, owner, visit, expected: None, synced: 0, sticky: Vec::new() };
    let files = SegmentFiles::default();
    let mut segments = Vec::new();
    let mut tail = None;
    for (position, &number) in numbers.iter().enumerate() {
        let next = numbers.get(position + 1).copied();
        let scanned = recovery.segment(number, next)?;
        segments.push((number, scanned.max_index));
        files.insert(number, Arc::clone(&scanned.file));
        tail = Some(scanned);
    }
    let tail = tail.ok_or_else(|| WalOpenError::Missing { directory: directory.to_owned() })?;
    let cut_bytes = recovery.make_durable(&tail)?;
    Ok(Recovered {
        files,
        segments,
        offset: tail.end as u64,
        size: tail.bytes.len() as u64,
        next_sequence: recovery.expected.unwrap_or(1),
        sticky: recovery.sticky,
        cut_bytes,
    })
}

/// Removes what was never completed and checks that no segment is missing in between.
fn segment_numbers(disk: &dyn Disk, directory: &Path) -> Result<Vec<u64>, WalOpenError> {
    let mut numbers = Vec::new();
    for name in disk.list(directory)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            disk.remove(&directory.join(name))?;
        } else if let Some(number) = segment_number(&name) {
            numbers.push(number);
        } else {
            let path = directory.join(name);
            let reason = "it is no part of a log, and the directory holds nothing else".to_owned();
            return Err(WalOpenError::SegmentDamaged { path, reason });
        }
    }
    // A process that died may have left names that a power cut would still undo. What follows relies on them.
    disk.sync_dir(directory)?;
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(WalOpenError::SegmentMissing { path: segment_path(directory, pair[0] + 1) });
        }
    }
    Ok(numbers)
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    owner: Owner,
    visit: &'a mut dyn FnMut(Replayed<'_>) -> Result<(), String>,
    /// Sequence number of the next record; `None` before the first segment.
    expected: Option<u64>,
    /// Highest claim of durability seen.
    synced: u64,
    sticky: Vec<StickyRecord>,
}

struct Scanned {
    number: u64,
    file: Arc<dyn DiskFile>,
    bytes: Vec<u8>,
    /// Where the records end.
    end: usize,
    /// Where the records begin whose durability nothing proves.
    unproven: Vec<(u64, usize)>,
    max_index: Option<u64>,
}

impl Recovery<'_> {
    fn segment(&mut self, number: u64, next: Option<u64>) -> Result<Scanned, WalOpenError> {
        let path = segment_path(self.directory, number);
        let bytes = read_all(self.disk, &path, SEGMENT_BYTES_MAX)?;
        let header = self.check_header(&path, number, &bytes)?;
        self.synced = self.synced.max(header.first_sequence.saturating_sub(1));
        self.expected = Some(header.first_sequence);
        let file: Arc<dyn DiskFile> = self.disk.open(&path)?.into();
        let end = SEGMENT_HEADER_BYTES;
        let mut scanned = Scanned { number, file, bytes, end, unproven: Vec::new(), max_index: None };
        let rolled = self.records(&mut scanned)?;
        if rolled {
            if next.is_none() {
                return Err(WalOpenError::SegmentMissing { path: segment_path(self.directory, number + 1) });
            }
            return Ok(scanned);
        }
        let claimed = self.later_claims(&scanned, next)?;
        let sequence = self.expected.unwrap_or(1);
        if claimed >= sequence {
            let offset = scanned.end as u64;
            return Err(WalOpenError::AcknowledgedDamaged { path, offset, sequence, synced: claimed });
        }
        if next.is_some() {
            self.close_rolled(&scanned, sequence)?;
        }
        Ok(scanned)
    }

    fn check_header(&self, path: &Path, number: u64, bytes: &[u8]) -> Result<SegmentHeader, WalOpenError> {
        let path = path.to_owned();
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(HeaderError::NewerVersion(found)) => {
                return Err(WalOpenError::NewerVersion { path, found, known: super::format::FORMAT_VERSION });
            }
            Err(HeaderError::Damaged(reason)) => return Err(WalOpenError::SegmentDamaged { path, reason }),
        };
        if header.owner != self.owner {
            return Err(WalOpenError::Foreign { path });
        }
        let damaged = |reason| Err(WalOpenError::SegmentDamaged { path, reason });
        if header.number != number {
            return damaged(format!("it says that it is segment {}", header.number));
        }
        if header.size != bytes.len() as u64 {
            return damaged(format!("it has {} bytes and was made with {}", bytes.len(), header.size));
        }
        if let Some(expected) = self.expected
            && expected != header.first_sequence
        {
            return damaged(format!(
                "it begins at record {}, the segment before ends before record {expected}",
                header.first_sequence
            ));
        }
        Ok(header)
    }

    /// Replays whole records in sequence. True when the segment says that the log goes on in the next one.
    fn records(&mut self, scanned: &mut Scanned) -> Result<bool, WalOpenError> {
        let Scanned { number, ref bytes, .. } = *scanned;
        let mut rolled = false;
        while let Some((header, payload)) = decode_record(self.owner, &bytes[scanned.end.min(bytes.len())..])
        {
            let expected = self.expected.unwrap_or(header.sequence);
            if header.sequence != expected {
                break;
            }
            self.synced = self.synced.max(header.synced);
            if header.kind == Kind::Rolled {
                rolled = true;
                break;
            }
            if header.kind == Kind::Entry {
                scanned.max_index = scanned.max_index.max(Some(header.index));
            }
            self.replay(&header, payload, number, scanned.end)?;
            scanned.unproven.push((header.sequence, scanned.end));
            self.expected = Some(expected + 1);
            scanned.end += record_bytes(header.length as usize);
        }
        Ok(rolled)
    }

    fn replay(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        segment: u64,
        offset: usize,
    ) -> Result<(), WalOpenError> {
        if Kind::STICKY.contains(&header.kind) {
            self.sticky.retain(|record| record.kind != header.kind);
            self.sticky.push(StickyRecord {
                kind: header.kind,
                index: header.index,
                payload: payload.to_vec(),
            });
        }
        // A record is at most a segment long, which fits.
        let length = (RECORD_HEADER_BYTES + payload.len()) as u32;
        let location = Location { segment, offset: offset as u64, length };
        (self.visit)(Replayed { kind: header.kind, index: header.index, payload, location })
            .map_err(|reason| WalOpenError::Inconsistent { reason })
    }

    /// The highest claim of durability behind the end of the readable records.
    fn later_claims(&self, scanned: &Scanned, next: Option<u64>) -> Result<u64, WalOpenError> {
        let sequence = self.expected.unwrap_or(1);
        let mut claimed = 0;
        let mut offset = scanned.end + ALIGNMENT;
        let garbage_end = scanned.end + garbage_bytes(scanned);
        while offset < garbage_end {
            let found = decode_record(self.owner, &scanned.bytes[offset..]);
            if let Some((header, _)) = found.filter(|(header, _)| header.sequence > sequence) {
                claimed = claimed.max(header.synced);
            }
            offset += ALIGNMENT;
        }
        if let Some(next) = next {
            let path = segment_path(self.directory, next);
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            let read = self.disk.open(&path)?.read_at(0, &mut bytes)?;
            if let Ok(header) = SegmentHeader::decode(&bytes[..read]) {
                claimed = claimed.max(header.first_sequence.saturating_sub(1));
            }
        }
        Ok(claimed)
    }

    /// The next segment was made, but this one was not yet told. Everything in it is durable.
    fn close_rolled(&self, scanned: &Scanned, sequence: u64) -> Result<(), WalOpenError> {
        let mut bytes = Vec::new();
        let synced = sequence.saturating_sub(1);
        RecordHeader { kind: Kind::Rolled, sequence, synced, index: 0, length: 0 }.encode(
            self.owner,
            &[],
            &[],
            &mut bytes,
        );
        scanned.file.write_at(scanned.end as u64, &bytes)?;
        scanned.file.sync_data()?;
        Ok(())
    }

    /// Writes the unproven records again, zeros behind them, and syncs. Returns how many bytes were cut.
    fn make_durable(&self, tail: &Scanned) -> Result<u64, WalOpenError> {
        let first_unproven = tail.unproven.iter().find(|(sequence, _)| *sequence > self.synced);
        if let Some(&(_, start)) = first_unproven {
            tail.file.write_at(start as u64, &tail.bytes[start..tail.end])?;
        }
        let garbage = garbage_bytes(tail);
        if garbage > 0 {
            write_zeros(tail.file.as_ref(), tail.end as u64, (tail.end + garbage) as u64)?;
        }
        tail.file.sync_data()?;
        Ok(garbage as u64)
    }
}

/// Bytes behind the readable records that are not zero any more.
fn garbage_bytes(scanned: &Scanned) -> usize {
    scanned.bytes[scanned.end..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
