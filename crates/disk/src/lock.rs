//! The lock that keeps a second process off a data directory.

use std::fs::File;
use std::path::PathBuf;

use thiserror::Error;

use crate::DiskError;
use crate::sim::SimLock;

/// A lock that is held until dropped. The system also releases it when the process dies.
#[derive(Debug)]
pub struct DirectoryLock {
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held only for its release on drop")]
enum Held {
    File(File),
    Simulated(SimLock),
}

impl DirectoryLock {
    pub(crate) fn of_file(file: File) -> DirectoryLock {
        DirectoryLock { _held: Held::File(file) }
    }

    pub(crate) fn of_simulation(lock: SimLock) -> DirectoryLock {
        DirectoryLock { _held: Held::Simulated(lock) }
    }
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process (or this one, twice) works in the directory.
    #[error(
        "{} is locked by {holder}: only one process may use a data directory; stop the other one first",
        path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// The lock file could not be used at all.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
