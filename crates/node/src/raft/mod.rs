//! openraft over gRPC: our wire types, one long-lived channel per purpose and peer, deadlines on every call.

mod network;
mod service;
mod wire;

pub(crate) use network::PeerNetwork;
pub(crate) use service::PeerService;

use interlock_core::ClusterId;
use std::time::Duration;

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
    pub(crate) incarnation: u128,
}
