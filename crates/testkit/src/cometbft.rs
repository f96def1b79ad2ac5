//! Real CometBFT networks on loopback: installing the node, laying out homes, starting, killing, asking over RPC.
//!
//! The network has four equal validators. Validator 0 is the guarded one: two full nodes, `node0a` and `node0b`, may
//! carry its identity. Neither holds its key on disk, so neither can sign by itself.

mod config;
mod install;
mod network;
mod rpc;

pub use config::{ConfigError, set_value};
pub use install::{InstallError, VERSION, go_is_there, install};
pub use network::{
    GUARDED_NODES, Identity, Layout, LayoutError, Network, NetworkError, NodeHome, PLAIN_NODES,
};
pub use rpc::{CommitVote, Rpc, RpcError, Status, VoteFlag};
