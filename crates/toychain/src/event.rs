//! What happens on the chain, as it happens: for a live screen and for tests.

use std::fmt;

/// A step of a round that a validator signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Propose a block.
    Proposal,
    /// First vote.
    Prevote,
    /// Second vote.
    Precommit,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Proposal => "proposal",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        })
    }
}

/// One thing that happened. `node` is the index of the node in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node has its signer, and the signer has the right key.
    Connected {
        /// Which node.
        node: usize,
    },
    /// A node lost its signer, or gave it up.
    Disconnected {
        /// Which node.
        node: usize,
        /// Why.
        reason: String,
    },
    /// A signer came with a key that is not the validator's, or with none, and was sent away.
    WrongKey {
        /// Which node.
        node: usize,
        /// What it answered.
        answer: String,
    },
    /// A node was killed.
    NodeStopped {
        /// Which node.
        node: usize,
    },
    /// A node was started again.
    NodeStarted {
        /// Which node.
        node: usize,
    },
    /// A height began.
    HeightStarted {
        /// Which height.
        height: i64,
    },
    /// The chain went on; our precommit was in time.
    HeightSigned {
        /// Which height.
        height: i64,
    },
    /// The chain went on without our precommit.
    HeightMissed {
        /// Which height.
        height: i64,
    },
    /// A valid signature came out.
    Signed {
        /// To which node.
        node: usize,
        /// For which height.
        height: i64,
        /// For which step.
        step: Step,
        /// From sending the request to having the answer.
        latency_us: u64,
    },
    /// A signer refused, finally for that node and step.
    Refused {
        /// Which node asked.
        node: usize,
        /// For which height.
        height: i64,
        /// For which step.
        step: Step,
        /// The signer's words.
        description: String,
    },
    /// An answer that a node cannot use: a wrong signature, or an extension signature missing or too many.
    Invalid {
        /// Which node asked.
        node: usize,
        /// For which height.
        height: i64,
        /// For which step.
        step: Step,
        /// What is wrong with it.
        reason: String,
    },
    /// Two conflicting signatures exist.
    Conflict {
        /// At which height.
        height: i64,
        /// At which step.
        step: Step,
    },
}
