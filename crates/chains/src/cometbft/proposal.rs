//! Proposals.
//!
//! Keeps: the intent's payload is the digest of the very bytes that [`ProposalToSign::sign_bytes`] gives, timestamp
//! included: a node copies back the signature alone, so another timestamp is another message.

use super::check;
use super::error::RequestError;
use super::reply::{ReplyError, check_signature};
use super::sign_bytes::SignBytes;
use super::time;
use interlock_core::cometbft::{CometbftIntent, Position, Step};
use interlock_core::{ChainId, Intent, NodeName};
use interlock_privval::{
    Proposal, SignProposalRequest, SignedMsgType, SignedProposalResponse, proposal_sign_bytes,
};

/// What a proposal says when no earlier round locked its block.
const NO_POL_ROUND: i32 = -1;

/// A proposal that a node asked for, checked and ready to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalToSign {
    chain_id: ChainId,
    proposal: Proposal,
    intent: CometbftIntent,
}

/// Reads a proposal request for the key of chain `chain_id`, asked by `node`.
///
/// # Errors
/// When it is for another chain or malformed.
pub fn parse_sign_proposal(
    chain_id: &ChainId,
    request: SignProposalRequest,
    node: &NodeName,
) -> Result<ProposalToSign, RequestError> {
    check::check_chain(chain_id, &request.chain_id)?;
    let proposal = request.proposal.ok_or(RequestError::Missing { field: "proposal" })?;
    if proposal.msg_type != i32::from(SignedMsgType::Proposal) {
        return Err(RequestError::WrongType { found: proposal.msg_type, expected: "proposal (32)" });
    }
    let position = check::position(proposal.height, proposal.round, Step::Proposal)?;
    if proposal.pol_round < NO_POL_ROUND {
        return Err(RequestError::BadPolRound { pol_round: proposal.pol_round });
    }
    let block = check::block_digest(&proposal.block_id)?.ok_or(RequestError::ProposalWithoutBlock)?;
    let timestamp = time::to_core(check::timestamp(proposal.timestamp, "proposal timestamp")?);
    let payload = check::sha256(&proposal_sign_bytes(chain_id.as_str(), &proposal));
    let intent = CometbftIntent { position, block: Some(block), payload, timestamp, node: node.clone() };
    Ok(ProposalToSign { chain_id: chain_id.clone(), proposal, intent })
}

impl ProposalToSign {
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

    /// The bytes to sign. A repeat has the same timestamp, or it would not be a repeat.
    #[must_use]
    pub fn sign_bytes(&self) -> SignBytes {
        SignBytes::new(proposal_sign_bytes(self.chain_id.as_str(), &self.proposal))
    }

    /// The answer with the signature over [`Self::sign_bytes`].
    ///
    /// # Errors
    /// When the signature is empty or too long.
    pub fn reply(&self, signature: &[u8]) -> Result<SignedProposalResponse, ReplyError> {
        check_signature(signature)?;
        Ok(SignedProposalResponse::signed(Proposal {
            signature: signature.to_vec(),
            ..self.proposal.clone()
        }))
    }
}
