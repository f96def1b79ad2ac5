//! Small files that change rarely: replaced as a whole, checked when read.
//!
//! Invariant: after a power cut the name holds the old contents or the new ones, never a mixture.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{Disk, DiskError, Operation, read_all};

/// Bytes of the checksum that ends a checked file.
const CHECKSUM_BYTES: usize = 4;
/// Suffix of a file that is not complete yet. Whoever opens a directory may remove such files.
const TEMPORARY_SUFFIX: &str = "tmp";

/// Why a checked file was not read.
#[derive(Debug, Error)]
pub enum ReadFileError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{} is empty: it was damaged or never completed", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The checksum does not match.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not match.
        reason: String,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Replaces `path` by `bytes`: temporary file, sync, rename, sync of the directory. Durable when it returns.
///
/// # Errors
/// When any step fails; the old contents are then still in place, or the new ones are.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = path.with_extension(TEMPORARY_SUFFIX);
    match disk.remove(&temporary) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(&temporary)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    let directory = path.parent().ok_or_else(|| {
        DiskError::new(Operation::SyncDir, path, std::io::Error::other("the path has no parent directory"))
    })?;
    disk.sync_dir(directory)
}

/// `body` followed by its CRC32C.
pub fn checksummed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

/// The body of what [`checksummed`] made.
///
/// # Errors
/// What does not match, in words.
pub fn verify_checksum(bytes: &[u8]) -> Result<&[u8], String> {
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(format!("{} bytes are too few to hold a checksum", bytes.len()));
    };
    let (stored, computed) = (u32::from_le_bytes(*checksum), crc32c::crc32c(body));
    if stored != computed {
        return Err(format!("checksum is {stored:08x}, contents give {computed:08x}"));
    }
    Ok(body)
}

/// Reads a file that was written as [`checksummed`], and checks it.
///
/// # Errors
/// Missing, empty and damaged are told apart.
pub fn read_checked(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadFileError> {
    let bytes = match read_all(disk, path, bytes_max) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(ReadFileError::Missing { path: path.to_owned() }),
        Err(error) => return Err(error.into()),
    };
    if bytes.is_empty() {
        return Err(ReadFileError::Empty { path: path.to_owned() });
    }
    match verify_checksum(&bytes) {
        Ok(body) => Ok(body.to_vec()),
        Err(reason) => Err(ReadFileError::Damaged { path: path.to_owned(), reason }),
    }
}
