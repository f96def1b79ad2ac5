//! Snapshots on their way in: written to a file as they arrive, so that a broken transfer goes on where it broke.
//!
//! One at a time: a node has one leader. What has arrived of a transfer is kept until another one begins or the node
//! stops. Nothing here is believed: what is complete is verified before it is installed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use interlock_disk::{Disk, DiskError, DiskFile};
use thiserror::Error;

use super::data::SnapshotData;
use super::{SNAPSHOT_BYTES_MAX, TEMPORARY_SUFFIX};

/// Which transfer: two with the same are of the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferId {
    /// What the snapshot covers, in the encoding of the wire.
    pub meta: Vec<u8>,
    /// Its size.
    pub total_bytes: u64,
    /// [`SnapshotData::stated_checksum`] of it.
    pub checksum: u32,
}

/// Why bytes were not taken. The sender asks where to go on.
#[derive(Debug, Error)]
pub enum TransferError {
    /// Larger than any snapshot may be.
    #[error("a snapshot of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes announced.
        bytes: u64,
        /// [`SNAPSHOT_BYTES_MAX`].
        limit: u64,
    },
    /// Another transfer has begun since.
    #[error("another snapshot is being received")]
    Replaced,
    /// Bytes that do not follow those that are there.
    #[error("{received} bytes were received, these begin at {offset}")]
    NotNext {
        /// Bytes received.
        received: u64,
        /// Where these begin.
        offset: u64,
    },
    /// More bytes than announced, or fewer.
    #[error("{bytes} bytes of a snapshot of {total}")]
    WrongSize {
        /// Bytes there are.
        bytes: u64,
        /// Bytes announced.
        total: u64,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

struct Partial {
    id: TransferId,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    received: u64,
}

/// Where snapshots arrive. Clones share it. Everything here writes files: not on a thread of a runtime.
#[derive(Clone)]
pub struct SnapshotInbox {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    partial: Mutex<Option<Partial>>,
    count: AtomicU64,
}

impl std::fmt::Debug for SnapshotInbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "snapshots arrive in {}", self.inner.directory.display())
    }
}

impl SnapshotInbox {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> SnapshotInbox {
        let inner = Inner { disk, directory, partial: Mutex::new(None), count: AtomicU64::new(0) };
        SnapshotInbox { inner: Arc::new(inner) }
    }

    /// How many bytes of this transfer are here. Nothing is changed by asking.
    pub fn received(&self, id: &TransferId) -> u64 {
        let partial = self.inner.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.as_ref().filter(|partial| partial.id == *id).map_or(0, |partial| partial.received)
    }

    /// Begins a transfer, or goes on with it: the next bytes begin at the offset returned. Another one that is not
    /// complete is thrown away.
    ///
    /// # Errors
    /// When it is too large, or no file can be made.
    pub fn begin(&self, id: &TransferId) -> Result<u64, TransferError> {
        if id.total_bytes > SNAPSHOT_BYTES_MAX {
            let (bytes, limit) = (id.total_bytes, SNAPSHOT_BYTES_MAX);
            return Err(TransferError::TooLarge { bytes, limit });
        }
        let mut partial = self.inner.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(partial) = partial.as_ref().filter(|partial| partial.id == *id) {
            return Ok(partial.received);
        }
        if let Some(old) = partial.take() {
            self.inner.disk.remove(&old.path)?;
        }
        let number = self.inner.count.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.directory.join(format!("incoming-{number}{TEMPORARY_SUFFIX}"));
        let file = self.inner.disk.create(&path)?;
        *partial = Some(Partial { id: id.clone(), file, path, received: 0 });
        Ok(0)
    }

    /// Takes the next bytes. They are on the device when this returns, so that the sender is never far ahead of it.
    ///
    /// # Errors
    /// When they are not the next, or too many, or cannot be written.
    pub fn append(&self, id: &TransferId, offset: u64, bytes: &[u8]) -> Result<(), TransferError> {
        let mut partial = self.inner.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = partial.as_mut().filter(|partial| partial.id == *id).ok_or(TransferError::Replaced)?;
        if partial.received != offset {
            return Err(TransferError::NotNext { received: partial.received, offset });
        }
        let (end, total) = (offset.saturating_add(bytes.len() as u64), id.total_bytes);
        if end > total {
            return Err(TransferError::WrongSize { bytes: end, total });
        }
        partial.file.write_at(offset, bytes)?;
        partial.file.sync_data()?;
        partial.received = end;
        Ok(())
    }

    /// The snapshot, once all of it is here. Not verified.
    ///
    /// # Errors
    /// When bytes are missing.
    pub fn finish(&self, id: &TransferId) -> Result<SnapshotData, TransferError> {
        let mut partial = self.inner.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let received = partial.as_ref().filter(|partial| partial.id == *id).map(|partial| partial.received);
        let total = id.total_bytes;
        match received {
            Some(received) if received == total => {}
            Some(bytes) => return Err(TransferError::WrongSize { bytes, total }),
            None => return Err(TransferError::Replaced),
        }
        let Some(whole) = partial.take() else { return Err(TransferError::Replaced) };
        Ok(SnapshotData::received(Arc::clone(&self.inner.disk), whole.file, whole.path, total))
    }
}
