//! Faults to inject: which operation fails, where, when, and how.

use std::io;
use std::path::Path;

use crate::Operation;

/// How an injected failure looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The device reports an error (EIO).
    Io,
    /// The device is full (ENOSPC).
    Full,
    /// The device fills up inside a write: the first half of the bytes is written, then it is full (ENOSPC).
    Short,
}

impl FaultKind {
    pub(super) fn error(self) -> io::Error {
        match self {
            FaultKind::Io => io::Error::other("input/output error (injected)"),
            FaultKind::Full | FaultKind::Short => {
                io::Error::new(io::ErrorKind::StorageFull, "no space left on device (injected)")
            }
        }
    }
}

/// A failure to inject: the operation after `after` matching ones fails, once, or from then on.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which operation.
    pub operation: Operation,
    /// Only for paths that contain this text; empty matches all.
    pub path_contains: String,
    /// How many matching operations still succeed.
    pub after: u64,
    /// Whether later ones succeed again.
    pub once: bool,
    /// How it fails.
    pub kind: FaultKind,
}

impl Fault {
    /// The next such operation fails, and those after it.
    pub fn from_now(operation: Operation, path_contains: &str, kind: FaultKind) -> Fault {
        Fault { operation, path_contains: path_contains.to_owned(), after: 0, once: false, kind }
    }

    pub(super) fn strikes(&mut self, operation: Operation, path: &Path) -> Option<FaultKind> {
        if self.operation != operation || !path.to_string_lossy().contains(&self.path_contains) {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        if self.once {
            // Never again: no run makes this many operations.
            self.after = u64::MAX;
        }
        Some(self.kind)
    }
}
