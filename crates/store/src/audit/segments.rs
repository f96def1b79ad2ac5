//! Segment files of the audit trail, for reading: any number of readers beside the one writer.
//!
//! A segment is named by the log index of its first record, and its header holds the audit chain before that record.
//! Invariant: inside a segment the chain has no gap; where something came inside a snapshot, or an older segment was
//! removed, a new segment begins. Reading needs bounded memory, however long the trail is.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use interlock_core::AuditChain;
use interlock_disk::{Disk, DiskError, DiskFile};

use super::record::{AuditRecord, Decoded};

const MAGIC: [u8; 8] = *b"INTLKAUD";
const FORMAT_VERSION: u32 = 2;
/// magic 8, version 4, CRC32C of the encoded chain 4, the chain in CBOR, zeros.
pub(super) const HEADER_BYTES: usize = 64;
/// Length of an [`AuditChain`] in CBOR: two bytes of head and the digest.
const CHAIN_BYTES: usize = 34;
/// Version 1: magic 8, version 4, reserved 4, and no chain.
const HEADER_BYTES_V1: usize = 16;
pub(super) const SUFFIX: &str = ".audit";
/// Bytes read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Where a record lies, or where the next one will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    /// Log index in the segment's name.
    pub(super) segment: u64,
    /// From the start of the file; 0 is before its header.
    pub(super) offset: u64,
}

impl Location {
    pub(super) fn start_of(segment: u64) -> Location {
        Location { segment, offset: 0 }
    }
}

/// What the head of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// Where its records begin, and the chain before the first; `None` was written by an older release.
    Known { bytes: usize, before: Option<AuditChain> },
    /// Torn, damaged, or of a newer release.
    Unknown,
}

/// How far a scan came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    /// After the last whole record that was visited.
    pub(super) end: u64,
    /// Size of the file.
    pub(super) size: u64,
}

/// The segment files of a directory.
#[derive(Debug, Clone)]
pub(super) struct SegmentReader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
}

impl SegmentReader {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> SegmentReader {
        SegmentReader { disk, directory }
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:020}{SUFFIX}"))
    }

    /// Segments, oldest first.
    pub(super) fn segments(&self) -> Result<Vec<u64>, DiskError> {
        let names = self.disk.list(&self.directory)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
    }

    pub(super) fn header(&self, segment: u64) -> Result<Header, DiskError> {
        read_header(self.disk.open(&self.path(segment))?.as_ref())
    }

    /// Calls `visit` with the whole records of a segment from `from` on, up to `end` if given, until it breaks or
    /// something there is no whole record.
    pub(super) fn scan(
        &self,
        from: Location,
        end: Option<u64>,
        visit: &mut dyn FnMut(Location, AuditRecord) -> ControlFlow<()>,
    ) -> Result<Scanned, DiskError> {
        let file = self.disk.open(&self.path(from.segment))?;
        let size = file.size()?;
        let Header::Known { bytes, .. } = read_header(file.as_ref())? else {
            return Ok(Scanned { end: 0, size });
        };
        let mut records = Records {
            file: file.as_ref(),
            buffer: Vec::new(),
            used: 0,
            offset: from.offset.max(bytes as u64),
            limit: end.unwrap_or(size).min(size),
        };
        loop {
            let offset = records.offset;
            let Some(record) = records.next()? else { return Ok(Scanned { end: offset, size }) };
            if visit(Location { segment: from.segment, offset }, record).is_break() {
                return Ok(Scanned { end: records.offset, size });
            }
        }
    }

    /// The records at these locations; `None` for one that holds no record that reads.
    pub(super) fn read(&self, locations: &[Location]) -> Result<Vec<Option<AuditRecord>>, DiskError> {
        let mut found = Vec::with_capacity(locations.len());
        let mut open: Option<(u64, Option<Box<dyn DiskFile>>)> = None;
        for location in locations {
            let file = match &mut open {
                Some((segment, file)) if *segment == location.segment => file,
                _ => &mut open.insert((location.segment, self.open_if_there(location.segment)?)).1,
            };
            found.push(match file {
                Some(file) => read_one(file.as_ref(), location.offset)?,
                None => None,
            });
        }
        Ok(found)
    }

    /// A segment may be removed by retention at any time.
    fn open_if_there(&self, segment: u64) -> Result<Option<Box<dyn DiskFile>>, DiskError> {
        match self.disk.open(&self.path(segment)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whole records of one file, one after the other.
struct Records<'a> {
    file: &'a dyn DiskFile,
    /// Bytes read ahead; those before `used` are done with.
    buffer: Vec<u8>,
    used: usize,
    /// Of the next record, in the file.
    offset: u64,
    limit: u64,
}

impl Records<'_> {
    fn next(&mut self) -> Result<Option<AuditRecord>, DiskError> {
        loop {
            match AuditRecord::decode(&self.buffer[self.used..]) {
                Decoded::Whole(record, length) => {
                    self.used += length;
                    self.offset += length as u64;
                    return Ok(Some(*record));
                }
                Decoded::Damaged => return Ok(None),
                Decoded::Short => {
                    self.buffer.drain(..std::mem::take(&mut self.used));
                    if !self.read_more()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn read_more(&mut self) -> Result<bool, DiskError> {
        let at = self.offset + self.buffer.len() as u64;
        // At most READ_BYTES, so it fits any usize.
        let length = self.limit.saturating_sub(at).min(READ_BYTES as u64) as usize;
        let start = self.buffer.len();
        self.buffer.resize(start + length, 0);
        let read = if length == 0 { 0 } else { self.file.read_at(at, &mut self.buffer[start..])? };
        self.buffer.truncate(start + read);
        Ok(read > 0)
    }
}

fn read_one(file: &dyn DiskFile, offset: u64) -> Result<Option<AuditRecord>, DiskError> {
    let mut records = Records { file, buffer: Vec::new(), used: 0, offset, limit: file.size()? };
    // A record rarely needs more, and most reads are of single records.
    let mut bytes = vec![0; 2048];
    let read = file.read_at(offset, &mut bytes)?;
    bytes.truncate(read);
    records.buffer = bytes;
    records.next()
}

fn read_header(file: &dyn DiskFile) -> Result<Header, DiskError> {
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(0, &mut bytes)?;
    Ok(decode_header(&bytes[..read]))
}

pub(super) fn encode_header(before: AuditChain) -> [u8; HEADER_BYTES] {
    let chain = minicbor::to_vec(before).expect("a digest encodes into memory");
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&crc32c::crc32c(&chain).to_le_bytes());
    bytes[16..16 + CHAIN_BYTES].copy_from_slice(&chain);
    bytes
}

fn decode_header(bytes: &[u8]) -> Header {
    if bytes.get(..8) != Some(&MAGIC[..]) || bytes.len() < HEADER_BYTES_V1 {
        return Header::Unknown;
    }
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    match number(8) {
        1 => Header::Known { bytes: HEADER_BYTES_V1, before: None },
        FORMAT_VERSION => match bytes.get(16..16 + CHAIN_BYTES) {
            Some(chain) if bytes.len() == HEADER_BYTES && crc32c::crc32c(chain) == number(12) => {
                minicbor::decode(chain).map_or(Header::Unknown, |before| Header::Known {
                    bytes: HEADER_BYTES,
                    before: Some(before),
                })
            }
            _ => Header::Unknown,
        },
        _ => Header::Unknown,
    }
}
