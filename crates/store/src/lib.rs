//! What a guard node keeps: write-ahead log, snapshots, audit segments and their index.
//!
//! Only this crate and the node know openraft; only this crate knows sled. Every durable byte goes through
//! `interlock-disk`. Invariant (S5): nothing is acknowledged before it is synced, and a failed write is never
//! retried: it stops the process.

pub mod audit;
pub mod backup;
pub mod batch;
pub mod codec;
pub mod fatal;
pub mod identity;
mod log_store;
mod log_view;
pub mod peers;
mod restore;
pub mod snapshot;
pub mod state_machine;
mod store;
pub mod types;
pub mod wal;

#[cfg(test)]
mod tests;

pub use audit::{AuditOptions, AuditReader, AuditRecord, IndexStatus};
pub use backup::{Backup, BackupError, BackupLabel, BackupOrigin, write_backup};
pub use batch::{Batch, BatchError};
pub use fatal::{EXIT_STORAGE_FAILED, EXIT_TOO_OLD, FatalError, FatalHook};
pub use identity::{Expected, FormatError, FormatSpec, FoundingMember, Identity, IdentityError, format};
pub use interlock_disk::{Disk, RealDisk};
pub use log_store::{LogReader, LogStore};
pub use peers::{PeerBook, PeerBookError, PeerRefused};
pub use restore::{FIRST_INDEX, RestoreError, Survivor, SurvivorError, read_survivor, restore};
pub use snapshot::{SnapshotData, SnapshotError};
pub use state_machine::{Applied, AppliedEntry, SnapshotBuilder, StateHandle, StateMachine};
pub use store::{Store, StoreOpenError, StoreOptions};
pub use types::{
    Entry, GuardNode, LeaderId, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig, Verdicts, Vote,
};
pub use wal::WalOptions;
