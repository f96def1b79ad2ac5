//! One line of the audit trail, and its bytes.

use interlock_core::{AuditChain, Command, Holder, KeyId, LogPosition, Rule, Verdict};
use minicbor::{Decode, Encode};

/// Bytes before each encoded record: length 4, CRC32C of the rest 4.
pub(super) const RECORD_HEADER_BYTES: usize = 8;
/// Largest encoded record: a command is bounded by the batch that carried it, and its verdict is of like size.
pub(super) const RECORD_BYTES_MAX: usize = 2 * crate::batch::BATCH_BYTES_MAX;

/// What was applied at one place in the log, and what the state machine said. The same on every replica, except when.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AuditRecord {
    /// Where in the log.
    #[n(0)]
    pub at: LogPosition,
    /// What was asked, by whom and about which key.
    #[n(1)]
    pub command: Command,
    /// The answer.
    #[n(2)]
    pub verdict: Verdict,
    /// The audit chain after this item.
    #[n(3)]
    pub chain: AuditChain,
    /// When this node applied it, by its own clock, in ms since 1970. For people: no chain and no verdict reads it, it
    /// differs between nodes, and a replay after a crash writes its own. `None` when it was not written down.
    #[n(4)]
    pub applied_at_ms: Option<u64>,
}

/// All records of one log entry.
#[derive(Debug, Clone)]
pub(crate) struct EntryRecords {
    /// The audit chain before the first of them.
    pub(crate) before: AuditChain,
    /// In order, at least one.
    pub(crate) records: Vec<AuditRecord>,
}

/// What stands at the start of some bytes.
pub(super) enum Decoded {
    /// A record, and how many bytes it takes.
    Whole(Box<AuditRecord>, usize),
    /// The beginning of one.
    Short,
    /// No record.
    Damaged,
}

impl AuditRecord {
    /// The key it is about.
    pub fn key(&self) -> KeyId {
        self.command.key
    }

    /// The rule that decided.
    pub fn rule(&self) -> Rule {
        self.verdict.rule()
    }

    /// The signer process that asked, or that the lease went to; `None` for an operator's change of the record.
    pub fn holder(&self) -> Option<&Holder> {
        self.command.action.holder()
    }

    /// Appends the record's bytes.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        minicbor::encode(self, &mut *buffer)
            .expect("a command and a verdict that were applied encode into memory");
        let body = start + RECORD_HEADER_BYTES;
        // Bounded by RECORD_BYTES_MAX.
        let length = (buffer.len() - body) as u32;
        let checksum = crc32c::crc32c(&buffer[body..]);
        buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
        buffer[start + 4..body].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The record that starts at the first byte.
    pub(super) fn decode(bytes: &[u8]) -> Decoded {
        let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else { return Decoded::Short };
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let checksum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if length == 0 || length > RECORD_BYTES_MAX {
            return Decoded::Damaged;
        }
        let end = RECORD_HEADER_BYTES + length;
        let Some(body) = bytes.get(RECORD_HEADER_BYTES..end) else { return Decoded::Short };
        if crc32c::crc32c(body) != checksum {
            return Decoded::Damaged;
        }
        minicbor::decode(body).map_or(Decoded::Damaged, |record| Decoded::Whole(Box::new(record), end))
    }

    /// The record without frame and checksum, for the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("a command and a verdict that were applied encode into memory")
    }

    /// What [`AuditRecord::to_bytes`] made.
    ///
    /// # Errors
    /// Names what does not decode.
    pub fn from_bytes(bytes: &[u8]) -> Result<AuditRecord, String> {
        minicbor::decode(bytes).map_err(|error| error.to_string())
    }
}
