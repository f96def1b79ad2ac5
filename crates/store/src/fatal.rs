//! What happens when a write or a sync fails: the store is poisoned and the process stops.
//!
//! After a failed sync nobody knows what is durable, and a second attempt that succeeds proves nothing, because the
//! kernel has already dropped the pages. So nothing is retried and nothing is acknowledged afterwards (S5).

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};

use interlock_core::book::NotUnderstood;
use thiserror::Error;

/// Exit code of a process that stopped because its storage failed (EX_IOERR of sysexits.h).
pub const EXIT_STORAGE_FAILED: i32 = 74;
/// Exit code of a process that met a command of a later release in its log (EX_PROTOCOL of sysexits.h).
pub const EXIT_TOO_OLD: i32 = 76;

/// Exit code of a process that stopped because its state differs from that of the other nodes (EX_SOFTWARE).
pub const EXIT_DIVERGED: i32 = 70;

/// Why the store does nothing any more. Every later call on it returns the same.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum FatalError {
    /// A write or a sync failed.
    #[error(
        "storage failed while trying to {doing}: {cause}. What is durable is unknown, so this process stops. \
         Check the disk, then start it again"
    )]
    Storage {
        /// What was being done.
        doing: String,
        /// What the disk said.
        cause: String,
    },
    /// This node's state is not that of the others.
    #[error("the state of this node differs from that of others: {finding}")]
    Diverged {
        /// What was compared, and with whom.
        finding: String,
    },
    /// The log holds a command of a later release: applying it, or skipping it, would make this replica differ.
    #[error(
        "this program is too old to apply log entry {index}: {cause}. Another verdict than that of the other nodes would be \
         worse than none, so this process stops. Nothing is lost: upgrade it, then start it again"
    )]
    TooOld {
        /// The entry's index.
        index: u64,
        /// What it asks for.
        cause: NotUnderstood,
    },
}

impl FatalError {
    /// How the process ends.
    pub fn exit_code(&self) -> i32 {
        match self {
            FatalError::Storage { .. } => EXIT_STORAGE_FAILED,
            FatalError::TooOld { .. } => EXIT_TOO_OLD,
            FatalError::Diverged { .. } => EXIT_DIVERGED,
        }
    }
}

impl From<FatalError> for io::Error {
    fn from(error: FatalError) -> io::Error {
        io::Error::other(error)
    }
}

/// What to do about a [`FatalError`]. A real process stops in it; a test records it.
#[derive(Clone)]
pub struct FatalHook(Arc<dyn Fn(&FatalError) + Send + Sync>);

impl FatalHook {
    /// Calls `hook` once, on the thread that met the failure, before anybody is told of it.
    pub fn new(hook: impl Fn(&FatalError) + Send + Sync + 'static) -> FatalHook {
        FatalHook(Arc::new(hook))
    }

    /// The hook of a real process: the reason to stderr, then exit with its code.
    pub fn stop_process() -> FatalHook {
        FatalHook::new(|error| {
            // In one piece, so that no other thread writes into it. If stderr is gone too, the exit code still tells.
            let _ = io::stderr().write_all(format!("interlock: {error}\n").as_bytes());
            std::process::exit(error.exit_code());
        })
    }
}

impl fmt::Debug for FatalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHook")
    }
}

/// The store's single point of failure, shared by all its parts.
#[derive(Debug, Clone)]
pub(crate) struct Fatal {
    hook: FatalHook,
    raised: Arc<OnceLock<FatalError>>,
}

impl Fatal {
    pub(crate) fn new(hook: FatalHook) -> Fatal {
        Fatal { hook, raised: Arc::new(OnceLock::new()) }
    }

    /// Poisons the store. Returns the first failure, which may be an earlier one.
    pub(crate) fn raise(&self, doing: &str, cause: &dyn StdError) -> FatalError {
        self.stop(FatalError::Storage { doing: doing.to_owned(), cause: cause.to_string() })
    }

    /// As [`Fatal::raise`], for any reason.
    pub(crate) fn stop(&self, error: FatalError) -> FatalError {
        // The hook comes before the error is to be seen: a process that stops in it must not meanwhile end in another
        // way, because another thread was told of the failure.
        let first = self.raised.get_or_init(|| {
            (self.hook.0)(&error);
            error.clone()
        });
        first.clone()
    }

    /// Poisons the store for another reason than a failed write. The caller ends the process.
    pub(crate) fn poison(&self, error: FatalError) {
        // An earlier reason stands.
        let _ = self.raised.set(error);
    }

    /// Refuses when the store is poisoned.
    pub(crate) fn check(&self) -> Result<(), FatalError> {
        self.raised.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}
