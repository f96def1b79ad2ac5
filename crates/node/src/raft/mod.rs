//! openraft over gRPC: our wire types, one long-lived channel per purpose and peer, deadlines on every call.

mod admission;
mod chain;
mod network;
mod peers;
mod rules;
mod service;
mod snapshot_in;
mod snapshot_out;
mod tasks;
mod wire;

pub(crate) use chain::ChainAsker;
pub(crate) use network::PeerNetwork;
pub(crate) use peers::Peers;
pub(crate) use rules::RulesAsker;
pub(crate) use service::PeerService;
pub(crate) use tasks::{follow_addresses, join, save_marks};

use interlock_core::ClusterId;
use std::time::Duration;

/// Largest message between nodes, bytes: a full append (see `MAX_PAYLOAD_ENTRIES`) or a snapshot chunk.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Snapshot chunk, bytes.
const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;
/// Longest time to connect to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// What every request between nodes carries about its sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalNode {
    pub(crate) cluster: ClusterId,
    pub(crate) node_id: u64,
    pub(crate) incarnation: [u8; 16],
    /// Identity of this process, random.
    pub(crate) run: u64,
    /// Digest of the founding members; [`JOINED_LATER`] for a node that joined later.
    pub(crate) founders: u64,
}

/// Instead of a digest: this node founded nothing, so it cannot be a part of a second half.
pub(crate) const JOINED_LATER: u64 = 0;

/// Digest of the founding members' ids (FNV-1a, 64 bit): it tells mistakes apart, not attackers, whom TLS keeps out.
#[must_use]
pub fn founders_digest(ids: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = ids.into_iter().flat_map(u64::to_be_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
