//! Why a request is refused before any rule sees it.

use interlock_core::ChainId;

/// Characters kept of a text that a request brought, for errors.
pub const REQUEST_TEXT_MAX_CHARS: usize = 64;

/// Why a sign request is malformed or misdirected. Nothing was asked of the guard and nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A part that every node sends is absent; reading it as empty or zero could sign something else.
    #[error("the request has no {field}; it is not from a CometBFT node of v0.34 to v0.40")]
    Missing {
        /// Which part.
        field: &'static str,
    },
    /// The node runs another chain than the key is for.
    #[error(
        "the node asks for chain {asked:?}, this key signs for chain \"{ours}\"; check priv_validator_laddr"
    )]
    WrongChain {
        /// The key's chain.
        ours: ChainId,
        /// The request's, cut to [`REQUEST_TEXT_MAX_CHARS`].
        asked: String,
    },
    /// The type inside the message does not go with the request.
    #[error("the message is of type {found}, expected {expected}")]
    WrongType {
        /// As it came.
        found: i32,
        /// What the request may hold.
        expected: &'static str,
    },
    /// Heights begin at 1.
    #[error("height {height} is not positive")]
    HeightNotPositive {
        /// As it came.
        height: i64,
    },
    /// Rounds begin at 0.
    #[error("round {round} is negative")]
    NegativeRound {
        /// As it came.
        round: i32,
    },
    /// Not a round, and not -1 for none.
    #[error("proof-of-lock round {pol_round} is below -1")]
    BadPolRound {
        /// As it came.
        pol_round: i32,
    },
    /// Neither a whole block id nor the empty one.
    #[error(
        "the block id has a hash of {hash_len} bytes, {total} parts and a parts hash of {parts_hash_len} bytes; \
         expected 32, at least 1, 32, or for a nil vote all zero"
    )]
    MalformedBlockId {
        /// Length of the block hash, bytes.
        hash_len: usize,
        /// Number of parts.
        total: u32,
        /// Length of the hash over the parts, bytes.
        parts_hash_len: usize,
    },
    /// A proposal proposes a block.
    #[error("the proposal names no block")]
    ProposalWithoutBlock,
    /// Not a moment that protobuf can express.
    #[error("the timestamp ({seconds} s, {nanos} ns) is outside the years 1 to 9999")]
    BadTimestamp {
        /// Seconds since the Unix epoch.
        seconds: i64,
        /// Nanoseconds within the second.
        nanos: i32,
    },
    /// Only a precommit for a block carries an extension; a signature over another one makes the node panic.
    #[error("a {what} carries an extension of {extension_len} bytes; only a precommit for a block may")]
    UnexpectedExtension {
        /// Which vote.
        what: &'static str,
        /// Length of the extension, bytes.
        extension_len: usize,
    },
}
