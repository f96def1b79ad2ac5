//! What a failed disk operation says: which operation, on which path, and why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A disk operation, as named in errors and in injected faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Create a directory.
    CreateDir,
    /// List a directory.
    List,
    /// Create a file.
    Create,
    /// Open a file.
    Open,
    /// Read.
    Read,
    /// Write.
    Write,
    /// Cut or grow.
    SetSize,
    /// fdatasync.
    SyncData,
    /// Rename.
    Rename,
    /// Remove.
    Remove,
    /// fsync of a directory.
    SyncDir,
    /// Take a lock.
    Lock,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::CreateDir => "create directory",
            Operation::List => "list directory",
            Operation::Create => "create",
            Operation::Open => "open",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::SetSize => "resize",
            Operation::SyncData => "sync",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::SyncDir => "sync directory",
            Operation::Lock => "lock",
        })
    }
}

/// A disk operation that failed.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct DiskError {
    /// What was attempted.
    pub operation: Operation,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    pub(crate) fn new(operation: Operation, path: &Path, source: io::Error) -> DiskError {
        DiskError { operation, path: path.to_owned(), source }
    }

    /// The file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }
}
