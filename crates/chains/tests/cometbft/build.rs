//! Requests as a v0.38 node sends them.

use interlock_chains::cometbft::{
    ProposalToSign, RequestError, VoteToSign, parse_sign_proposal, parse_sign_vote,
};
use interlock_core::{ChainId, NodeName};
use interlock_privval::{
    BlockId, PartSetHeader, Proposal, SignProposalRequest, SignVoteRequest, SignedMsgType, Timestamp, Vote,
};

pub(crate) const CHAIN: &str = "chain-7";
pub(crate) const STAMP: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 };

pub(crate) fn chain_id() -> ChainId {
    ChainId::parse(CHAIN).unwrap()
}

pub(crate) fn node() -> NodeName {
    NodeName::parse("node-a").unwrap()
}

pub(crate) fn block(number: u8) -> BlockId {
    BlockId { hash: vec![number; 32], part_set_header: PartSetHeader { total: 3, hash: vec![!number; 32] } }
}

fn vote(msg_type: SignedMsgType, block_id: BlockId) -> Vote {
    Vote {
        msg_type: msg_type.into(),
        height: 42,
        round: 1,
        block_id,
        timestamp: Some(STAMP),
        validator_address: vec![5; 20],
        validator_index: 3,
        ..Vote::default()
    }
}

pub(crate) fn prevote() -> Vote {
    vote(SignedMsgType::Prevote, block(1))
}

pub(crate) fn precommit(extension: &[u8]) -> Vote {
    Vote { extension: extension.to_vec(), ..vote(SignedMsgType::Precommit, block(1)) }
}

pub(crate) fn nil(vote: Vote) -> Vote {
    Vote { block_id: BlockId::default(), ..vote }
}

pub(crate) fn proposal() -> Proposal {
    Proposal {
        msg_type: SignedMsgType::Proposal.into(),
        height: 42,
        round: 1,
        pol_round: -1,
        block_id: block(1),
        timestamp: Some(STAMP),
        signature: Vec::new(),
    }
}

pub(crate) fn parse_vote(vote: Vote) -> Result<VoteToSign, RequestError> {
    parse_sign_vote(&chain_id(), SignVoteRequest { vote: Some(vote), chain_id: CHAIN.into() }, &node())
}

pub(crate) fn parse_proposal(proposal: Proposal) -> Result<ProposalToSign, RequestError> {
    let request = SignProposalRequest { proposal: Some(proposal), chain_id: CHAIN.into() };
    parse_sign_proposal(&chain_id(), request, &node())
}
