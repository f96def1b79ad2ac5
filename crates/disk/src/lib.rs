//! Durability in one place: the only crate that makes bytes durable.
//!
//! Everything that must survive a power cut is written through [`Disk`], so that the same code runs on real files
//! ([`RealDisk`]) and on a disk in memory that loses what was not synced ([`SimDisk`]). Invariants: bytes are durable
//! only after [`DiskFile::sync_data`], a created, renamed or removed name only after [`Disk::sync_dir`]; no error is
//! swallowed; a missing, an empty and a damaged file are three different errors and never a default value.

mod error;
mod lock;
mod real;
mod record;
mod replace;
pub mod sim;

pub use error::{DiskError, Operation};
pub use lock::{DirectoryLock, LockError};
pub use real::RealDisk;
pub use record::{RecordError, RecordFile, read_record};
pub use replace::{ReadFileError, checksummed, read_checked, replace_file, verify_checksum};
pub use sim::SimDisk;

use std::fmt;
use std::path::Path;

/// Bytes of one write when a range is filled with zeros.
const ZERO_CHUNK_BYTES: usize = 256 * 1024;

/// A place for files. Directories are created with mode 0700 and files with mode 0600.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates one directory. Durable once its parent is synced.
    ///
    /// # Errors
    /// When it exists, or its parent does not.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Names in a directory, sorted.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError>;

    /// Creates an empty file. Durable once its directory is synced.
    ///
    /// # Errors
    /// When the name exists, or the directory does not.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// When it does not exist or may not be opened.
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;

    /// Renames within one directory, replacing the target. Durable once the directory is synced.
    ///
    /// # Errors
    /// When the source does not exist.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file. Durable once its directory is synced.
    ///
    /// # Errors
    /// When it does not exist.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes creations, renames and removals in this directory durable.
    ///
    /// # Errors
    /// When the device fails: what is durable is then unknown.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Takes the lock file at `path` for this process, creating it if need be. Released when dropped.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    fn lock(&self, path: &Path) -> Result<DirectoryLock, LockError>;
}

/// An open file. All positions are bytes from its start.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads into `buffer` until it is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// When the device fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// Writes all of `bytes`, growing the file if need be. Not durable.
    ///
    /// # Errors
    /// When the device fails or is full: part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Size in bytes.
    ///
    /// # Errors
    /// When the device fails.
    fn size(&self) -> Result<u64, DiskError>;

    /// Cuts the file, or grows it with a hole. Not durable.
    ///
    /// # Errors
    /// When the device fails.
    fn set_size(&self, size: u64) -> Result<(), DiskError>;

    /// Makes contents and size durable (fdatasync).
    ///
    /// # Errors
    /// When the device fails. What was written since the last sync is then lost or not, and a second attempt proves
    /// nothing: the caller must stop.
    fn sync_data(&self) -> Result<(), DiskError>;
}

/// Writes zeros from `start` to `end`. Written zeros, unlike a hole, make later syncs free of metadata.
///
/// # Errors
/// As [`DiskFile::write_at`].
pub fn write_zeros(file: &dyn DiskFile, start: u64, end: u64) -> Result<(), DiskError> {
    let zeros = vec![0; ZERO_CHUNK_BYTES];
    let mut offset = start;
    while offset < end {
        let length = (end - offset).min(ZERO_CHUNK_BYTES as u64);
        // The chunk is at most ZERO_CHUNK_BYTES, so it fits any usize.
        file.write_at(offset, &zeros[..length as usize])?;
        offset += length;
    }
    Ok(())
}

/// Reads a whole file, refusing one larger than `bytes_max`.
///
/// # Errors
/// When it does not exist, cannot be read, is too large, or changes while it is read.
pub fn read_all(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path)?;
    let size = file.size()?;
    if size > bytes_max {
        let text = format!("file of {size} bytes is over the limit of {bytes_max}");
        return Err(DiskError::new(Operation::Read, path, std::io::Error::other(text)));
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(0, &mut bytes)?;
    if read != bytes.len() {
        let text = format!("file of {size} bytes ended after {read}");
        return Err(DiskError::new(Operation::Read, path, std::io::Error::other(text)));
    }
    Ok(bytes)
}
