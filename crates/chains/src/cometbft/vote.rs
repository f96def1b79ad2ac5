//! Prevotes and precommits.
//!
//! Keeps: the intent's payload is the digest of the very bytes that [`VoteToSign::sign_bytes`] gives, but for the
//! timestamp.

use super::check;
use super::error::RequestError;
use super::reply::{ADDRESS_BYTES, ReplyError, check_signature};
use super::sign_bytes::{ExtensionSignBytes, SignBytes};
use super::time;
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::{ChainId, Intent, NodeName};
use interlock_privval::{
    SignVoteRequest, SignedMsgType, SignedVoteResponse, Vote, vote_extension_sign_bytes, vote_sign_bytes,
};

/// A vote that a node asked for, checked and ready to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteToSign {
    chain_id: ChainId,
    vote: Vote,
    intent: CometbftIntent,
}

/// Reads a vote request for the key of chain `chain_id`, asked by `node`.
///
/// # Errors
/// When it is for another chain or malformed.
pub fn parse_sign_vote(
    chain_id: &ChainId,
    request: SignVoteRequest,
    node: &NodeName,
) -> Result<VoteToSign, RequestError> {
    check::check_chain(chain_id, &request.chain_id)?;
    let vote = request.vote.ok_or(RequestError::Missing { field: "vote" })?;
    let step = step_of(vote.msg_type)?;
    let position = check::position(vote.height, vote.round, step)?;
    let block = check::block_digest(&vote.block_id)?;
    let timestamp = check::timestamp(vote.timestamp, "vote timestamp")?;
    if !vote.extension.is_empty() && !vote.needs_extension_signature() {
        let what = if step == Step::Prevote { "prevote" } else { "precommit for nil" };
        return Err(RequestError::UnexpectedExtension { what, extension_len: vote.extension.len() });
    }
    let payload = check::sha256(&sign_bytes_at(chain_id, &vote, ZERO));
    let timestamp = time::to_core(timestamp);
    let intent = CometbftIntent { position, block, payload, timestamp, node: node.clone() };
    Ok(VoteToSign { chain_id: chain_id.clone(), vote, intent })
}

/// Stands in for the timestamp where it must not count.
const ZERO: Timestamp = Timestamp { seconds: 0, nanos: 0 };

fn step_of(msg_type: i32) -> Result<Step, RequestError> {
    match SignedMsgType::try_from(msg_type) {
        Ok(SignedMsgType::Prevote) => Ok(Step::Prevote),
        Ok(SignedMsgType::Precommit) => Ok(Step::Precommit),
        _ => Err(RequestError::WrongType { found: msg_type, expected: "prevote (1) or precommit (2)" }),
    }
}

fn sign_bytes_at(chain_id: &ChainId, vote: &Vote, timestamp: Timestamp) -> Vec<u8> {
    // Only what is signed: an extension may be large.
    let signed_parts = Vote {
        msg_type: vote.msg_type,
        height: vote.height,
        round: vote.round,
        block_id: vote.block_id.clone(),
        timestamp: Some(time::to_wire(timestamp)),
        ..Vote::default()
    };
    vote_sign_bytes(chain_id.as_str(), &signed_parts)
}

impl VoteToSign {
    /// What the guard is asked to approve.
    #[must_use]
    pub fn intent(&self) -> Intent {
        Intent::Cometbft(self.intent.clone())
    }

    /// Height, round and step.
    #[must_use]
    pub fn position(&self) -> Position {
        self.intent.position
    }

    /// The intent in the terms of this chain.
    #[must_use]
    pub fn cometbft_intent(&self) -> &CometbftIntent {
        &self.intent
    }

    /// The bytes to sign with the timestamp that the verdict gives: on a repeat it is not the one that was asked for.
    #[must_use]
    pub fn sign_bytes(&self, timestamp: Timestamp) -> SignBytes {
        SignBytes::new(sign_bytes_at(&self.chain_id, &self.vote, timestamp))
    }

    /// The bytes of the extension: for every precommit for a block, even when it is empty, and for no other vote.
    #[must_use]
    pub fn extension_sign_bytes(&self) -> Option<ExtensionSignBytes> {
        let bytes = || vote_extension_sign_bytes(self.chain_id.as_str(), &self.vote);
        self.vote.needs_extension_signature().then(|| ExtensionSignBytes::new(bytes()))
    }

    /// The answer with the signatures over [`Self::sign_bytes`] of this timestamp and [`Self::extension_sign_bytes`].
    ///
    /// It leaves the extension out: the node has it, and a long one would not fit into the answers that a node reads.
    ///
    /// # Errors
    /// When the signature is empty or too long, or the extension signature is not there exactly when it must be: the
    /// node would panic.
    pub fn reply(
        &self,
        signature: &[u8],
        extension_signature: Option<&[u8]>,
        timestamp: Timestamp,
    ) -> Result<SignedVoteResponse, ReplyError> {
        check_signature(signature)?;
        let needed = self.vote.needs_extension_signature();
        if extension_signature.is_some() != needed {
            return Err(ReplyError::ExtensionSignature { needed, given: extension_signature.is_some() });
        }
        extension_signature.map_or(Ok(()), check_signature)?;
        let mut validator_address = self.vote.validator_address.clone();
        validator_address.truncate(ADDRESS_BYTES);
        Ok(SignedVoteResponse::signed(Vote {
            msg_type: self.vote.msg_type,
            height: self.vote.height,
            round: self.vote.round,
            block_id: self.vote.block_id.clone(),
            timestamp: Some(time::to_wire(timestamp)),
            validator_address,
            validator_index: self.vote.validator_index,
            signature: signature.to_vec(),
            extension: Vec::new(),
            extension_signature: extension_signature.unwrap_or_default().to_vec(),
        }))
    }
}
