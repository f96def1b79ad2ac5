//! The bytes that a validator signs: canonical forms of a vote, a proposal and a vote extension, length-delimited.
//!
//! Pure functions, both ways: encoding for whoever signs or verifies, decoding for whoever checks signatures afterwards
//! without trusting the signer. Decoding is strict: bytes that we would not have written ourselves are an error.

use crate::messages::{BlockId, Proposal, SignedMsgType, Timestamp, Vote};
use prost::Message as _;

#[derive(Clone, PartialEq, prost::Message)]
struct VoteForm {
    #[prost(int32, tag = "1")]
    msg_type: i32,
    #[prost(sfixed64, tag = "2")]
    height: i64,
    #[prost(sfixed64, tag = "3")]
    round: i64,
    #[prost(message, optional, tag = "4")]
    block_id: Option<BlockId>,
    #[prost(message, required, tag = "5")]
    timestamp: Timestamp,
    #[prost(string, tag = "6")]
    chain_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProposalForm {
    #[prost(int32, tag = "1")]
    msg_type: i32,
    #[prost(sfixed64, tag = "2")]
    height: i64,
    #[prost(sfixed64, tag = "3")]
    round: i64,
    // Unlike the two above, a varint: -1 takes ten bytes.
    #[prost(int64, tag = "4")]
    pol_round: i64,
    #[prost(message, optional, tag = "5")]
    block_id: Option<BlockId>,
    #[prost(message, required, tag = "6")]
    timestamp: Timestamp,
    #[prost(string, tag = "7")]
    chain_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExtensionForm {
    #[prost(bytes = "vec", tag = "1")]
    extension: Vec<u8>,
    #[prost(sfixed64, tag = "2")]
    height: i64,
    #[prost(sfixed64, tag = "3")]
    round: i64,
    #[prost(string, tag = "4")]
    chain_id: String,
}

/// The bytes to sign for `vote`. An absent timestamp is signed as [`Timestamp::GO_ZERO`].
pub fn vote_sign_bytes(chain_id: &str, vote: &Vote) -> Vec<u8> {
    VoteForm {
        msg_type: vote.msg_type,
        height: vote.height,
        round: i64::from(vote.round),
        block_id: canonical_block_id(&vote.block_id),
        timestamp: vote.timestamp.unwrap_or(Timestamp::GO_ZERO),
        chain_id: chain_id.to_owned(),
    }
    .encode_length_delimited_to_vec()
}

/// The bytes to sign for `proposal`; whatever type it claims, they say `Proposal`.
pub fn proposal_sign_bytes(chain_id: &str, proposal: &Proposal) -> Vec<u8> {
    ProposalForm {
        msg_type: SignedMsgType::Proposal.into(),
        height: proposal.height,
        round: i64::from(proposal.round),
        pol_round: i64::from(proposal.pol_round),
        block_id: canonical_block_id(&proposal.block_id),
        timestamp: proposal.timestamp.unwrap_or(Timestamp::GO_ZERO),
        chain_id: chain_id.to_owned(),
    }
    .encode_length_delimited_to_vec()
}

/// The bytes to sign for the extension of `vote`, empty or not. Meaningful only when
/// [`Vote::needs_extension_signature`].
pub fn vote_extension_sign_bytes(chain_id: &str, vote: &Vote) -> Vec<u8> {
    ExtensionForm {
        extension: vote.extension.clone(),
        height: vote.height,
        round: i64::from(vote.round),
        chain_id: chain_id.to_owned(),
    }
    .encode_length_delimited_to_vec()
}

fn canonical_block_id(block_id: &BlockId) -> Option<BlockId> {
    (!block_id.is_nil()).then(|| block_id.clone())
}

/// A vote read back from its sign bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalVote {
    /// `Prevote` or `Precommit`.
    pub msg_type: SignedMsgType,
    /// As signed.
    pub height: i64,
    /// As signed (64 bits in this form).
    pub round: i64,
    /// `None` for a vote for no block.
    pub block_id: Option<BlockId>,
    /// As signed.
    pub timestamp: Timestamp,
    /// As signed.
    pub chain_id: String,
}

/// A proposal read back from its sign bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalProposal {
    /// As signed.
    pub height: i64,
    /// As signed (64 bits in this form).
    pub round: i64,
    /// As signed; -1 for none.
    pub pol_round: i64,
    /// `None` when the proposal names no block.
    pub block_id: Option<BlockId>,
    /// As signed.
    pub timestamp: Timestamp,
    /// As signed.
    pub chain_id: String,
}

/// Why bytes are not the sign bytes that they were taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignBytesError {
    /// Not length-delimited protobuf of that form.
    #[error(
        "the sign bytes are not valid protobuf ({0}); check that they are whole and of the expected kind"
    )]
    Malformed(#[from] prost::DecodeError),
    /// The type inside is another one.
    #[error("the sign bytes are of type {found}, expected {expected}")]
    WrongType {
        /// The number inside.
        found: i32,
        /// What was asked for.
        expected: &'static str,
    },
    /// Valid protobuf, but with unknown fields, trailing bytes or another field order.
    #[error(
        "the sign bytes are not in canonical form: {given_len} bytes given, canonical form has {canonical_len}"
    )]
    NotCanonical {
        /// Length of what was given.
        given_len: usize,
        /// Length of the same content, canonically.
        canonical_len: usize,
    },
}

/// Reads vote sign bytes back.
///
/// # Errors
/// When they are malformed, of another type, or not exactly what [`vote_sign_bytes`] writes.
pub fn decode_canonical_vote(sign_bytes: &[u8]) -> Result<CanonicalVote, SignBytesError> {
    let form = VoteForm::decode_length_delimited(sign_bytes)?;
    let msg_type = match SignedMsgType::try_from(form.msg_type) {
        Ok(kind @ (SignedMsgType::Prevote | SignedMsgType::Precommit)) => kind,
        _ => {
            return Err(SignBytesError::WrongType {
                found: form.msg_type,
                expected: "prevote (1) or precommit (2)",
            });
        }
    };
    require_canonical(sign_bytes, &form.encode_length_delimited_to_vec())?;
    Ok(CanonicalVote {
        msg_type,
        height: form.height,
        round: form.round,
        block_id: form.block_id,
        timestamp: form.timestamp,
        chain_id: form.chain_id,
    })
}

/// Reads proposal sign bytes back.
///
/// # Errors
/// When they are malformed, of another type, or not exactly what [`proposal_sign_bytes`] writes.
pub fn decode_canonical_proposal(sign_bytes: &[u8]) -> Result<CanonicalProposal, SignBytesError> {
    let form = ProposalForm::decode_length_delimited(sign_bytes)?;
    if form.msg_type != i32::from(SignedMsgType::Proposal) {
        return Err(SignBytesError::WrongType { found: form.msg_type, expected: "proposal (32)" });
    }
    require_canonical(sign_bytes, &form.encode_length_delimited_to_vec())?;
    Ok(CanonicalProposal {
        height: form.height,
        round: form.round,
        pol_round: form.pol_round,
        block_id: form.block_id,
        timestamp: form.timestamp,
        chain_id: form.chain_id,
    })
}

fn require_canonical(given: &[u8], canonical: &[u8]) -> Result<(), SignBytesError> {
    if given == canonical {
        return Ok(());
    }
    Err(SignBytesError::NotCanonical { given_len: given.len(), canonical_len: canonical.len() })
}

#[cfg(test)]
#[path = "sign_bytes_tests.rs"]
mod tests;
