//! The bytes of a snapshot as they pass between a node's parts: in a file, or in memory while they are made.
//!
//! A file that is replaced stays readable for whoever holds it: a transfer under way ends with what it began with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use interlock_core::ClusterId;
use interlock_disk::{Disk, DiskError, DiskFile, Operation};

use super::{SnapshotError, decode};
use crate::types::SnapshotMeta;

/// Bytes of the checksum that ends a snapshot.
const CHECKSUM_BYTES: u64 = 4;

/// An encoded snapshot: opaque, checksummed bytes. Cheap to clone.
#[derive(Clone)]
pub struct SnapshotData {
    source: Source,
    size: u64,
}

#[derive(Clone)]
enum Source {
    Memory(Arc<[u8]>),
    File(Arc<SnapshotFile>),
}

/// An open snapshot file.
pub(super) struct SnapshotFile {
    disk: Arc<dyn Disk>,
    pub(super) file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Where it lies while it belongs to nobody: it is removed with the last handle.
    temporary: Mutex<Option<PathBuf>>,
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        let temporary = self.temporary.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(path) = temporary
            && let Err(error) = self.disk.remove(&path)
        {
            // The next start removes it.
            tracing::warn!(%error, "a received snapshot that nobody wanted is still there");
        }
    }
}

impl SnapshotData {
    /// Takes bytes that another node's [`SnapshotData`] gave. They are verified when the snapshot is installed.
    pub fn from_bytes(bytes: Vec<u8>) -> SnapshotData {
        SnapshotData { size: bytes.len() as u64, source: Source::Memory(bytes.into()) }
    }

    /// A file that was kept.
    pub(super) fn of_file(disk: &Arc<dyn Disk>, path: &Path) -> Result<SnapshotData, DiskError> {
        let file = disk.open(path)?;
        let size = file.size()?;
        let (disk, path, temporary) = (Arc::clone(disk), path.to_owned(), Mutex::new(None));
        let source = Source::File(Arc::new(SnapshotFile { disk, file, path, temporary }));
        Ok(SnapshotData { source, size })
    }

    /// A file that was received and belongs to nobody yet.
    pub(super) fn received(
        disk: Arc<dyn Disk>,
        file: Box<dyn DiskFile>,
        path: PathBuf,
        size: u64,
    ) -> SnapshotData {
        let temporary = Mutex::new(Some(path.clone()));
        let source = Source::File(Arc::new(SnapshotFile { disk, file, path, temporary }));
        SnapshotData { source, size }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to `length_max` bytes from `offset`; empty at or after the end. Reads a file: not on a thread of a runtime.
    ///
    /// # Errors
    /// When the device fails, or the file is shorter than it was.
    pub fn read_at(&self, offset: u64, length_max: usize) -> Result<Vec<u8>, DiskError> {
        let rest = self.size.saturating_sub(offset);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(length_max);
        match &self.source {
            Source::Memory(bytes) => {
                let start = bytes.len() - usize::try_from(rest).unwrap_or(bytes.len()).min(bytes.len());
                Ok(bytes[start..start + length].to_vec())
            }
            Source::File(source) => {
                let mut bytes = vec![0; length];
                let read = source.file.read_at(offset, &mut bytes)?;
                if read == length {
                    return Ok(bytes);
                }
                let text = format!("it ended after {} of {} bytes", offset + read as u64, self.size);
                let (operation, path) = (Operation::Read, source.path.clone());
                Err(DiskError { operation, path, source: std::io::Error::other(text) })
            }
        }
    }

    /// All bytes.
    ///
    /// # Errors
    /// As [`SnapshotData::read_at`].
    pub fn read_all(&self) -> Result<Arc<[u8]>, DiskError> {
        match &self.source {
            Source::Memory(bytes) => Ok(Arc::clone(bytes)),
            Source::File(_) => self.read_at(0, usize::MAX).map(Into::into),
        }
    }

    /// The checksum that its maker put at its end: with size and coverage it tells one transfer from another.
    ///
    /// # Errors
    /// As [`SnapshotData::read_at`].
    pub fn stated_checksum(&self) -> Result<u32, DiskError> {
        let bytes = self.read_at(self.size.saturating_sub(CHECKSUM_BYTES), CHECKSUM_BYTES as usize)?;
        Ok(bytes.try_into().map_or(0, u32::from_le_bytes))
    }

    /// What a snapshot for a node of this cluster covers, once all of it was found sound.
    ///
    /// # Errors
    /// When it is damaged, newer than this program, or of another cluster.
    pub fn verify(&self, ours: ClusterId) -> Result<SnapshotMeta, SnapshotError> {
        decode(self, ours).map(|(meta, _)| meta)
    }

    /// The file under it, if it was received and belongs to nobody yet.
    pub(super) fn temporary(&self) -> Option<(&SnapshotFile, PathBuf)> {
        let Source::File(file) = &self.source else { return None };
        let path = file.temporary.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some((file, path))
    }
}

impl SnapshotFile {
    /// It has an owner now, under another name.
    pub(super) fn kept(&self) {
        *self.temporary.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot of {} bytes", self.size)
    }
}
