//! openraft over gRPC: our wire types, one long-lived channel per purpose and peer, deadlines on every call.

mod network;
mod rules;
mod service;
mod wire;

pub(crate) use network::PeerNetwork;
pub(crate) use rules::RulesAsker;
pub(crate) use service::PeerService;

use interlock_core::ClusterId;
use interlock_store::PeerBook;
use std::time::Duration;
use tonic::Status;

/// Largest message between nodes, bytes: a full append (see `MAX_PAYLOAD_ENTRIES`) or a snapshot chunk.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Snapshot chunk, bytes.
const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;
/// Largest snapshot accepted from a peer, bytes.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest time to connect to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// What every request between nodes carries about its sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalNode {
    pub(crate) cluster: ClusterId,
    pub(crate) node_id: u64,
    pub(crate) incarnation: [u8; 16],
    pub(crate) founders: u64,
}

/// Digest of the founding members' ids (FNV-1a, 64 bit): it tells mistakes apart, not attackers, whom TLS keeps out.
#[must_use]
pub fn founders_digest(ids: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = ids.into_iter().flat_map(u64::to_be_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a peer still has the data that it had when it was first heard. One that has not counts for nothing: neither
/// its questions nor its answers.
fn check_data(peers: &PeerBook, node_id: u64, incarnation: &[u8]) -> Result<(), Status> {
    let bytes: [u8; 16] =
        incarnation.try_into().map_err(|_| Status::invalid_argument("field incarnation has not 16 bytes"))?;
    peers.check(node_id, u128::from_be_bytes(bytes)).map_err(|refused| {
        tracing::error!(node_id, "{refused}");
        Status::failed_precondition(refused.to_string())
    })
}
