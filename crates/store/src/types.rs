//! The types that openraft is instantiated with, and the names the rest of the workspace uses for them.
//!
//! Invariant: nothing here defines a byte on disk or on the wire. Disk encodings live in `codec`, and a change of
//! openraft's own serde never changes them.

use std::fmt;

use interlock_core::Verdict;

use crate::batch::Batch;

openraft::declare_raft_types!(
    /// openraft's configuration for a guard node.
    ///
    /// The advanced leader id is used because upstream's fuzzer runs in that mode; a log id then also names the node
    /// that proposed the entry.
    pub TypeConfig:
        D = Batch,
        R = Verdicts,
        NodeId = u64,
        Node = GuardNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>,
);

/// A member's record: where it is reached, and which ids were used. Addresses are `host:port`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardNode {
    /// Where other guard nodes reach it (Raft).
    pub peer_address: String,
    /// Where signers and operators reach it.
    pub client_address: String,
    /// Highest id of any member, past or present, when this record was written. Every record has it, so that it
    /// outlives each of them: ids are never used again.
    pub ids_used_to: u64,
}

impl fmt::Display for GuardNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peers {} clients {}", self.peer_address, self.client_address)
    }
}

/// What applying one log entry answers: one verdict for each command of its batch, in order. Empty for an entry
/// without commands (a blank entry or a membership change).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts(pub Vec<Verdict>);

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} verdicts", self.0.len())
    }
}

/// Identity of a log entry: leader (term and node) and index.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// The leader part of a [`LogId`] and of a [`Vote`].
pub type LeaderId = openraft::type_config::alias::LeaderIdOf<TypeConfig>;
/// A vote, or the leadership that a quorum granted.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// One log entry.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// What one log entry carries.
pub type Payload = openraft::type_config::alias::PayloadOf<TypeConfig>;
/// Voters, learners and their addresses.
pub type Membership = openraft::Membership<u64, GuardNode>;
/// A membership with the log id that stored it.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot as openraft passes it around.
pub type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, crate::snapshot::SnapshotData>;
