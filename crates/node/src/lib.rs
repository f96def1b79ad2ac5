//! A guard node: consensus, services, sessions, and the failure detector.
//!
//! Lives here: everything that turns the rule book and the store into a server. May not live here: a decision about
//! what may be signed (that is `interlock-core`), a durable write (that is `interlock-store`), key material (no guard
//! node ever holds any). Keeps S2's server half: an approval is answered only after it was committed and applied.

mod audit_wire;
mod caller;
pub mod config;
mod divergence;
mod failover;
mod format;
mod health;
mod membership;
mod offline;
mod proposer;
mod raft;
mod restore;
mod service;
mod sessions;
mod start;
mod tls;

pub use audit_wire::{audit_record_to_wire, stored_record_from_wire};
pub use config::NodeConfig;
pub use format::{FormatError, format, format_to_join};
pub use raft::founders_digest;
pub use restore::{FloorError, FloorSource, HEAD_MARGIN_HEIGHTS, RestoreError, Restored, restore, survivor};
pub use start::{RunningNode, StartError, StopError, start};

/// What can be wrong with a data directory: the command line tells these apart.
pub use interlock_store::{
    Backup, BackupError, BackupLabel, FormatError as DirectoryError, IdentityError,
    RestoreError as RestoreDirectoryError, StoreOpenError, Survivor, SurvivorError, write_backup,
};

/// The audit trail of a data directory, without a node: the command line checks and exports it.
pub use interlock_store::{AuditReadError, AuditReader, ChainCheck, ChainReport, StoredRecord};
pub use offline::{OpenAuditError, open_audit};
