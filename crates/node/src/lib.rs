//! A guard node: consensus, services, sessions, and the failure detector.
//!
//! Lives here: everything that turns the rule book and the store into a server. May not live here: a decision about
//! what may be signed (that is `interlock-core`), a durable write (that is `interlock-store`), key material (no guard
//! node ever holds any). Keeps S2's server half: an approval is answered only after it was committed and applied.

mod caller;
pub mod config;
mod failover;
mod format;
mod health;
mod proposer;
mod raft;
mod restore;
mod service;
mod sessions;
mod start;
mod tls;

pub use config::NodeConfig;
pub use format::{FormatError, format};
pub use raft::founders_digest;
pub use restore::{FloorError, FloorSource, HEAD_MARGIN_HEIGHTS, RestoreError, Restored, restore, survivor};
pub use start::{RunningNode, StartError, StopError, start};

/// What can be wrong with a data directory: the command line tells these apart.
pub use interlock_store::{
    Backup, BackupError, BackupLabel, FormatError as DirectoryError, IdentityError,
    RestoreError as RestoreDirectoryError, StoreOpenError, Survivor, SurvivorError, write_backup,
};
