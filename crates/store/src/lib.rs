//! What a guard node keeps: write-ahead log, snapshots, audit segments and their index.
//!
//! Only this crate and the node know openraft; only this crate knows sled. Every durable byte goes through
//! `interlock-disk`. Invariant (S5): nothing is acknowledged before it is synced, and a failed write is never
//! retried: it stops the process.

pub mod audit;
pub mod backup;
pub mod batch;
mod chain_history;
pub mod codec;
mod divergence;
pub mod fatal;
pub mod flushed;
pub mod identity;
mod log_store;
mod log_view;
pub mod peers;
mod peers_format;
mod restore;
mod shadow;
pub mod snapshot;
pub mod state_machine;
mod store;
pub mod types;
pub mod wal;

#[cfg(test)]
mod tests;

pub use audit::{
    AuditOptions, AuditOptionsError, AuditPage, AuditReadError, AuditReader, AuditRecord, AuditSummary,
    Break, ChainCheck, ChainReport, Gap, IndexStatus, StoredRecord,
};
pub use backup::{Backup, BackupError, BackupLabel, BackupOrigin, write_backup};
pub use batch::{Batch, BatchError};
pub use chain_history::{CHAIN_HISTORY_ENTRIES, ChainHistory};
pub use divergence::DivergenceMark;
pub use fatal::{EXIT_DIVERGED, EXIT_STORAGE_FAILED, EXIT_TOO_OLD, FatalError, FatalHook};
pub use flushed::{Flushed, Mark};
pub use identity::{Expected, FormatError, FormatSpec, FoundingMember, Identity, IdentityError, format};
pub use interlock_disk::{Disk, DiskError, RealDisk};
pub use log_store::{LogReader, LogStore};
pub use peers::{PeerBook, PeerBookError, PeerMark, PeerRefused, Presence};
pub use restore::{FIRST_INDEX, RestoreError, Survivor, SurvivorError, read_survivor, restore};
pub use snapshot::{SnapshotData, SnapshotError, SnapshotInbox, TransferError, TransferId};
pub use state_machine::{Applied, AppliedEntry, SnapshotBuilder, StateHandle, StateMachine};
pub use store::{Store, StoreOpenError, StoreOptions};
pub use types::{
    Entry, GuardNode, LeaderId, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig, Verdicts, Vote,
};
pub use wal::WalOptions;
