//! Snapshot contents as they pass between nodes.
//!
//! Held in memory for now: the fields are private and the accessors speak in ranges, so that a file can take the place
//! of the bytes without a change for the node.

use std::fmt;
use std::sync::Arc;

/// An encoded snapshot: opaque, checksummed bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotData {
    bytes: Arc<[u8]>,
}

impl SnapshotData {
    /// Takes the bytes that another node's [`SnapshotData`] gave. They are verified when the snapshot is installed.
    pub fn from_bytes(bytes: Vec<u8>) -> SnapshotData {
        SnapshotData { bytes: bytes.into() }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Up to `length_max` bytes from `offset`; empty at or after the end.
    pub fn read_at(&self, offset: u64, length_max: usize) -> &[u8] {
        let size = self.bytes.len();
        let start = usize::try_from(offset).map_or(size, |offset| offset.min(size));
        let end = start.saturating_add(length_max).min(size);
        &self.bytes[start..end]
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot of {} bytes", self.bytes.len())
    }
}
