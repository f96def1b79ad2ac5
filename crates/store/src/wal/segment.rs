//! Segment files of the write-ahead log: names, creation, and the table of open ones.
//!
//! Invariant: a segment appears under its final name only whole: zeros, header and first records synced before the
//! rename, the directory synced after it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use interlock_disk::{Disk, DiskError, DiskFile, write_zeros};

/// Suffix of a segment.
const SEGMENT_SUFFIX: &str = ".wal";
/// Suffix of a segment that is not complete; removed when the log is opened.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Bytes from its start.
    pub(super) offset: u64,
    /// Bytes of the record, header included, padding not.
    pub(super) length: u32,
}

impl Location {
    /// Bytes it takes there.
    pub(crate) fn bytes(&self) -> usize {
        self.length as usize
    }
}

/// Open segment files, shared by the writer and the readers.
#[derive(Clone, Default)]
pub(super) struct SegmentFiles {
    files: Arc<Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>>,
}

impl fmt::Debug for SegmentFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files().keys()).finish()
    }
}

impl SegmentFiles {
    fn files(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<dyn DiskFile>>> {
        // The map is whole after each of its methods, so a panicking holder leaves nothing half done.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<dyn DiskFile>> {
        self.files().get(&number).cloned()
    }

    pub(super) fn insert(&self, number: u64, file: Arc<dyn DiskFile>) {
        self.files().insert(number, file);
    }

    pub(super) fn remove(&self, number: u64) {
        self.files().remove(&number);
    }
}

/// Name of a segment.
pub(super) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}{SEGMENT_SUFFIX}"))
}

fn temporary_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}{TEMPORARY_SUFFIX}"))
}

/// The number in a segment's name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// Creates a file of written zeros under the segment's temporary name, and syncs it.
pub(super) fn create_zeroed(
    disk: &dyn Disk,
    directory: &Path,
    number: u64,
    size: u64,
) -> Result<Arc<dyn DiskFile>, DiskError> {
    let path = temporary_path(directory, number);
    match disk.remove(&path) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(&path)?;
    write_zeros(file.as_ref(), 0, size)?;
    file.sync_data()?;
    Ok(file.into())
}

/// Writes the segment's first bytes, syncs them, and gives the segment its name. Durable when it returns.
pub(super) fn publish(
    disk: &dyn Disk,
    directory: &Path,
    number: u64,
    file: &dyn DiskFile,
    first_bytes: &[u8],
) -> Result<(), DiskError> {
    file.write_at(0, first_bytes)?;
    file.sync_data()?;
    disk.rename(&temporary_path(directory, number), &segment_path(directory, number))?;
    disk.sync_dir(directory)
}
