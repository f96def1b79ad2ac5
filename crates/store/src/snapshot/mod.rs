//! Snapshots: the whole state at one log id, as bytes, and the files that keep the newest one.
//!
//! Invariants: a snapshot is verified before it replaces anything (checksum, format, cluster, rule version); it is
//! synced, renamed and its directory synced before it is announced; a snapshot that was durable and does not read is
//! refused, never skipped.

mod data;
mod files;
mod inbox;

use interlock_core::book::RULES_NEWEST;
use interlock_core::{AuditChain, ClusterId, State};
use interlock_disk::{checksummed, verify_checksum};
use thiserror::Error;

use crate::codec;
use crate::types::{LogId, SnapshotMeta};
pub use data::SnapshotData;
pub use files::SnapshotOpenError;
pub(crate) use files::{SnapshotFiles, create};
pub use inbox::{SnapshotInbox, TransferError, TransferId};

/// First bytes of a snapshot.
const MAGIC: [u8; 8] = *b"INTLKSNP";
/// Version of the layout.
const FORMAT_VERSION: u32 = 1;
/// magic 8, version 4, length of the log id 4, length of the membership 4, cluster 16.
const HEADER_BYTES: usize = 36;
/// Largest snapshot that is read.
pub const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const SUFFIX: &str = ".snapshot";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Why bytes are not a snapshot for this node.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// Checksum, lengths or encoding do not fit.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// Written by a newer release.
    #[error("the snapshot has format {found}, this program reads {known}; upgrade it")]
    NewerVersion {
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Made under rules that this program does not have: its verdicts would differ.
    #[error("the snapshot was made under rule version {found}, this program has {known}; upgrade it")]
    NewerRules {
        /// Rule version found.
        found: u32,
        /// Rule version known.
        known: u32,
    },
    /// The state of another cluster.
    #[error("the snapshot belongs to cluster {found}, this node to {ours}")]
    OtherCluster {
        /// Cluster in the snapshot.
        found: ClusterId,
        /// This node's cluster.
        ours: ClusterId,
    },
    /// It is not what its sender announced.
    #[error("the snapshot covers {found:?}, {announced:?} was announced")]
    NotAsAnnounced {
        /// What it covers.
        found: Option<LogId>,
        /// What was announced.
        announced: Option<LogId>,
    },
    /// It holds another history than this node's.
    #[error(
        "the snapshot has audit chain {found} at log index {log_index}, this node {ours}: one of the two nodes differs \
         from the others"
    )]
    OtherChain {
        /// Where both are known.
        log_index: u64,
        /// This node's value.
        ours: AuditChain,
        /// The snapshot's.
        found: AuditChain,
    },
    /// Installing it would forget what was applied (S4).
    #[error(
        "the snapshot covers {found:?}, but this node has applied {applied:?}; the state never goes back"
    )]
    GoesBack {
        /// What it covers.
        found: Option<LogId>,
        /// What was applied.
        applied: Option<LogId>,
    },
}

/// Encodes the state that `meta` describes, in about `size_hint` bytes.
pub(crate) fn encode(meta: &SnapshotMeta, state: &State, size_hint: usize) -> Result<Vec<u8>, SnapshotError> {
    let log_id = codec::encode_log_id(meta.last_log_id.as_ref());
    let membership = codec::encode_stored_membership(&meta.last_membership);
    let mut bytes = Vec::with_capacity(size_hint.max(HEADER_BYTES + log_id.len() + membership.len()));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    // Both are a few bytes per member.
    bytes.extend_from_slice(&(log_id.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&state.cluster().0);
    bytes.extend_from_slice(&log_id);
    bytes.extend_from_slice(&membership);
    minicbor::encode(state, &mut bytes).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    Ok(checksummed(bytes))
}

/// Verifies a snapshot and takes it apart.
pub(crate) fn decode(data: &SnapshotData, ours: ClusterId) -> Result<(SnapshotMeta, State), SnapshotError> {
    let bytes = data.read_all().map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    let body = verify_checksum(&bytes).map_err(SnapshotError::Damaged)?;
    decode_body(body, ours)
}

fn decode_body(body: &[u8], ours: ClusterId) -> Result<(SnapshotMeta, State), SnapshotError> {
    let damaged = |reason: &str| SnapshotError::Damaged(reason.to_owned());
    let header = body.first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("it is too short"))?;
    if header[..8] != MAGIC {
        return Err(damaged("it does not begin as a snapshot"));
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(8) != FORMAT_VERSION {
        return Err(SnapshotError::NewerVersion { found: number(8), known: FORMAT_VERSION });
    }
    let mut cluster = ClusterId([0; 16]);
    cluster.0.copy_from_slice(&header[20..]);
    if cluster != ours {
        return Err(SnapshotError::OtherCluster { found: cluster, ours });
    }
    let rest = &body[HEADER_BYTES..];
    let (log_id, rest) = rest.split_at_checked(number(12) as usize).ok_or_else(|| damaged("cut short"))?;
    let (membership, rest) =
        rest.split_at_checked(number(16) as usize).ok_or_else(|| damaged("cut short"))?;
    let last_log_id = codec::decode_log_id(log_id).map_err(SnapshotError::Damaged)?;
    let last_membership = codec::decode_stored_membership(membership).map_err(SnapshotError::Damaged)?;
    let state: State = minicbor::decode(rest).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    if state.rule_version() > RULES_NEWEST {
        return Err(SnapshotError::NewerRules { found: state.rule_version(), known: RULES_NEWEST });
    }
    if state.cluster() != ours {
        return Err(SnapshotError::OtherCluster { found: state.cluster(), ours });
    }
    // Fields of a later release decode, and would be lost without a word.
    if !minicbor::to_vec(&state).is_ok_and(|known| known == rest) {
        return Err(SnapshotError::Damaged("the state is not as this release writes it".to_owned()));
    }
    Ok((SnapshotMeta { last_log_id, last_membership }, state))
}
