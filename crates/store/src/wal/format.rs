//! Bytes of the write-ahead log: segment header, record header, checksums. Nothing here touches a file.
//!
//! All numbers are little-endian. Records start at multiples of [`ALIGNMENT`]. A checksum starts from the owner's id,
//! so that bytes of another node's log never look like ours.

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER_BYTES: usize = 40;
/// Records start at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Version of everything in this file.
pub(super) const FORMAT_VERSION: u32 = 1;
/// First bytes of a segment.
const MAGIC: [u8; 8] = *b"INTLKWAL";

/// What a record says. The numbers are the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only announces how far the log is durable.
    Marker,
    /// The log goes on in the next segment.
    Rolled,
    /// The vote.
    Vote,
    /// A log entry; the record's index is the entry's.
    Entry,
    /// Entries from the record's index on are gone.
    Truncate,
    /// Entries up to and including the record's index are gone.
    Purge,
    /// The committed log id.
    Committed,
}

impl Kind {
    /// Kinds whose newest record is the state, and is repeated at the start of each segment.
    pub(crate) const STICKY: [Kind; 3] = [Kind::Vote, Kind::Purge, Kind::Committed];

    fn number(self) -> u8 {
        match self {
            Kind::Marker => 1,
            Kind::Rolled => 2,
            Kind::Vote => 3,
            Kind::Entry => 4,
            Kind::Truncate => 5,
            Kind::Purge => 6,
            Kind::Committed => 7,
        }
    }

    fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Marker,
            2 => Kind::Rolled,
            3 => Kind::Vote,
            4 => Kind::Entry,
            5 => Kind::Truncate,
            6 => Kind::Purge,
            7 => Kind::Committed,
            _ => return None,
        })
    }
}

/// Identity that binds files to one data directory: its incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u128);

impl Owner {
    fn seed(self) -> u32 {
        crc32c::crc32c(&self.0.to_le_bytes())
    }
}

/// Header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) owner: Owner,
    /// Segments count from 1 without gaps.
    pub(super) number: u64,
    /// Sequence number of the segment's first record; everything before it is durable.
    pub(super) first_sequence: u64,
    /// Size of the file, fixed for its life.
    pub(super) size: u64,
}

/// Why bytes are not the header of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    NewerVersion(u32),
    Damaged(String),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.owner.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.size.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(HeaderError::Damaged(format!("{} bytes are too few for a header", bytes.len())));
        };
        if header[..8] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a log segment".to_owned()));
        }
        if u32_at(header, 60) != crc32c::crc32c(&header[..60]) {
            return Err(HeaderError::Damaged("the checksum of its header does not match".to_owned()));
        }
        let version = u32_at(header, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderError::NewerVersion(version));
        }
        let owner = Owner(u128::from(u64_at(header, 16)) | u128::from(u64_at(header, 24)) << 64);
        Ok(SegmentHeader {
            owner,
            number: u64_at(header, 32),
            first_sequence: u64_at(header, 40),
            size: u64_at(header, 48),
        })
    }
}

/// Header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: Kind,
    /// Place in the stream; grows by one.
    pub(super) sequence: u64,
    /// Records up to this sequence number were durable when this one was written.
    pub(super) synced: u64,
    /// Raft index, for the kinds that have one.
    pub(super) index: u64,
    /// Bytes of the payload.
    pub(super) length: u32,
}

/// Bytes that a record with this payload takes, padding included.
pub(super) fn record_bytes(payload_length: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_length).next_multiple_of(ALIGNMENT)
}

impl RecordHeader {
    /// Appends the record to `buffer`. The payload is `head` and then `body`.
    pub(super) fn encode(&self, owner: Owner, head: &[u8], body: &[u8], buffer: &mut Vec<u8>) {
        assert_eq!(self.length as usize, head.len() + body.len(), "the header names the payload's length");
        let start = buffer.len();
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&self.length.to_le_bytes());
        buffer.extend_from_slice(&self.sequence.to_le_bytes());
        buffer.extend_from_slice(&self.synced.to_le_bytes());
        buffer.extend_from_slice(&self.index.to_le_bytes());
        buffer.extend_from_slice(&[self.kind.number(), 0, 0, 0, 0, 0, 0, 0]);
        buffer.extend_from_slice(head);
        buffer.extend_from_slice(body);
        let checksum = crc32c::crc32c_append(owner.seed(), &buffer[start + 4..]);
        buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        buffer.resize(start + record_bytes(self.length as usize), 0);
    }
}

/// The record that starts at the first byte, if there is a whole one with a matching checksum.
pub(super) fn decode_record(owner: Owner, bytes: &[u8]) -> Option<(RecordHeader, &[u8])> {
    let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
    let kind = Kind::from_number(header[32])?;
    let (sequence, synced, index) = (u64_at(header, 8), u64_at(header, 16), u64_at(header, 24));
    // Cheap tests first: recovery tries every aligned offset, and a checksum may run over a whole segment.
    if header[33..] != [0; 7] || synced >= sequence {
        return None;
    }
    let length = u32_at(header, 4);
    let end = RECORD_HEADER_BYTES.checked_add(length as usize)?;
    let covered = bytes.get(4..end)?;
    if crc32c::crc32c_append(owner.seed(), covered) != u32_at(header, 0) {
        return None;
    }
    Some((RecordHeader { kind, sequence, synced, index, length }, &bytes[RECORD_HEADER_BYTES..end]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner(7);

    #[test]
    fn a_record_reads_back_only_whole_and_only_for_its_owner() {
        let header = RecordHeader { kind: Kind::Entry, sequence: 9, synced: 8, index: 3, length: 5 };
        let mut bytes = Vec::new();
        header.encode(OWNER, b"he", b"llo", &mut bytes);
        assert_eq!(bytes.len(), record_bytes(5));
        assert_eq!(decode_record(OWNER, &bytes), Some((header, &b"hello"[..])));
        assert_eq!(decode_record(Owner(8), &bytes), None);
        assert_eq!(decode_record(OWNER, &bytes[..44]), None);
        for at in 0..RECORD_HEADER_BYTES + 5 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode_record(OWNER, &damaged), None, "byte {at}");
        }
        assert_eq!(decode_record(OWNER, &[0; 64]), None);
    }

    #[test]
    fn a_segment_header_tells_damage_from_a_newer_version() {
        let header = SegmentHeader { owner: Owner(1 << 100), number: 2, first_sequence: 3, size: 4096 };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        let mut damaged = bytes;
        damaged[20] ^= 1;
        assert!(matches!(SegmentHeader::decode(&damaged), Err(HeaderError::Damaged(_))));
        let mut newer = bytes;
        newer[8] = 2;
        let checksum = crc32c::crc32c(&newer[..60]);
        newer[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderError::NewerVersion(2)));
    }
}
