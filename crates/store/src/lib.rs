//! What a guard node keeps: write-ahead log, snapshots, audit segments and their index.
//!
//! Only this crate and the node know openraft; only this crate knows sled. Every durable byte goes through
//! `interlock-disk`. Invariant (S5): nothing is acknowledged before it is synced, and a failed write is never
//! retried: it stops the process.

pub mod batch;
mod codec;
pub mod fatal;
mod log_store;
mod log_view;
pub mod snapshot;
pub mod types;
pub mod wal;

pub use batch::{Batch, BatchError};
pub use fatal::{EXIT_STORAGE_FAILED, FatalError, FatalHook};
pub use log_store::{LogReader, LogStore};
pub use snapshot::SnapshotData;
pub use types::{
    Entry, GuardNode, LeaderId, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig, Verdicts, Vote,
};
