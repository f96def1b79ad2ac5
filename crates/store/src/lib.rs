//! What a guard node keeps: write-ahead log, snapshots, audit segments and their index.
//!
//! Only this crate and the node know openraft; only this crate knows sled. Every durable byte goes through
//! `interlock-disk`. Invariant (S5): nothing is acknowledged before it is synced, and a failed write is never
//! retried: it stops the process.

pub mod batch;
pub mod snapshot;
pub mod types;

pub use batch::{Batch, BatchError};
pub use snapshot::SnapshotData;
pub use types::{
    Entry, GuardNode, LeaderId, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig,
    Verdicts, Vote,
};
