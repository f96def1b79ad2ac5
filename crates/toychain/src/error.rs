//! What can go wrong when somebody outside controls the chain, and what an attempted double sign comes to.

use crate::event::Step;
use interlock_privval::BindError;

/// Why a chain could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address in the configuration.
    #[error("the chain has no nodes; give at least one address to listen on")]
    NoNodes,
    /// A height would take no time.
    #[error("the block interval is 0 ms; give at least 1")]
    NoBlockInterval,
    /// A node cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Why a node could not be controlled.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No node has this index.
    #[error("there is no node {node}; the chain has {count} nodes, counted from 0")]
    NoSuchNode {
        /// The index given.
        node: usize,
        /// How many there are.
        count: usize,
    },
    /// It is stopped.
    #[error("node {node} is stopped; start it first")]
    Stopped {
        /// Which one.
        node: usize,
    },
    /// It is running.
    #[error("node {node} is running already")]
    Running {
        /// Which one.
        node: usize,
    },
    /// It cannot listen again.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Some nodes have no signer yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "after {waited_ms} ms these nodes have no signer: {nodes:?}; are the signers running, with the right addresses?"
)]
pub struct NotConnected {
    /// Their indexes.
    pub nodes: Vec<usize>,
    /// How long was waited.
    pub waited_ms: u128,
}

/// What a signer did when it was asked for a conflicting vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoubleSignOutcome {
    /// It refused.
    Refused {
        /// The height of the vote.
        height: i64,
        /// The step of the vote.
        step: Step,
        /// The signer's words.
        description: String,
    },
    /// It signed, and the ledger has a conflict more.
    Signed {
        /// The height of the vote.
        height: i64,
        /// The step of the vote.
        step: Step,
    },
}

/// Why an attempted double sign has no outcome. None of these says that nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum DoubleSignError {
    /// There is no vote to conflict with.
    #[error("nothing was signed yet, so nothing can conflict")]
    NothingSigned,
    /// The node is not there.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No answer came.
    #[error("the signer gave no answer: {reason}")]
    NoAnswer {
        /// What came instead.
        reason: String,
    },
    /// The answer is neither a refusal nor a valid signature.
    #[error("the signer's answer is invalid: {reason}")]
    InvalidAnswer {
        /// What is wrong with it.
        reason: String,
    },
}
