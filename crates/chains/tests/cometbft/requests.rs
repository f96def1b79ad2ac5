//! Every way in which a request can be malformed, and that each is named with what came.

use crate::build::{
    CHAIN, block, chain_id, nil, node, parse_proposal, parse_vote, precommit, prevote, proposal,
};
use interlock_chains::cometbft::{
    REQUEST_TEXT_MAX_CHARS, RequestError, parse_sign_proposal, parse_sign_vote,
};
use interlock_core::cometbft::{Position, Step};
use interlock_privval::{
    BlockId, PartSetHeader, Proposal, SignProposalRequest, SignVoteRequest, Timestamp, Vote,
};

fn block_id(hash_len: usize, total: u32, parts_hash_len: usize) -> BlockId {
    BlockId {
        hash: vec![1; hash_len],
        part_set_header: PartSetHeader { total, hash: vec![2; parts_hash_len] },
    }
}

fn malformed(hash_len: usize, total: u32, parts_hash_len: usize) -> RequestError {
    RequestError::MalformedBlockId { hash_len, total, parts_hash_len }
}

#[test]
fn well_formed_requests_are_placed() {
    let at = |step| Position { height: 42, round: 1, step };
    assert_eq!(parse_vote(prevote()).unwrap().position(), at(Step::Prevote));
    assert_eq!(parse_vote(nil(precommit(b""))).unwrap().position(), at(Step::Precommit));
    assert_eq!(parse_proposal(proposal()).unwrap().position(), at(Step::Proposal));
    let first = parse_vote(Vote { height: 1, round: 0, ..prevote() }).unwrap();
    assert_eq!(first.position(), Position { height: 1, round: 0, step: Step::Prevote });
    let last = parse_vote(Vote { height: i64::MAX, round: i32::MAX, ..prevote() }).unwrap();
    assert_eq!((last.position().height, last.position().round), (i64::MAX as u64, i32::MAX as u32));
    assert_eq!(last.cometbft_intent().node, node());
}

#[test]
fn malformed_votes_are_named() {
    let wrong_type = |found| RequestError::WrongType { found, expected: "prevote (1) or precommit (2)" };
    let stamp = |seconds, nanos| Vote { timestamp: Some(Timestamp { seconds, nanos }), ..prevote() };
    let cases = [
        (Vote { msg_type: 0, ..prevote() }, wrong_type(0)),
        (Vote { msg_type: 3, ..prevote() }, wrong_type(3)),
        (Vote { msg_type: 32, ..prevote() }, wrong_type(32)),
        (Vote { msg_type: -1, ..prevote() }, wrong_type(-1)),
        (Vote { height: 0, ..prevote() }, RequestError::HeightNotPositive { height: 0 }),
        (Vote { height: -7, ..prevote() }, RequestError::HeightNotPositive { height: -7 }),
        (Vote { height: i64::MIN, ..prevote() }, RequestError::HeightNotPositive { height: i64::MIN }),
        (Vote { round: -1, ..prevote() }, RequestError::NegativeRound { round: -1 }),
        (Vote { block_id: block_id(31, 1, 32), ..prevote() }, malformed(31, 1, 32)),
        (Vote { block_id: block_id(33, 1, 32), ..prevote() }, malformed(33, 1, 32)),
        (Vote { block_id: block_id(32, 1, 20), ..prevote() }, malformed(32, 1, 20)),
        (Vote { block_id: block_id(32, 0, 32), ..prevote() }, malformed(32, 0, 32)),
        (Vote { block_id: block_id(32, 1, 0), ..prevote() }, malformed(32, 1, 0)),
        // Almost nil: each part alone.
        (Vote { block_id: block_id(32, 0, 0), ..prevote() }, malformed(32, 0, 0)),
        (Vote { block_id: block_id(0, 1, 0), ..prevote() }, malformed(0, 1, 0)),
        (Vote { block_id: block_id(0, 0, 32), ..prevote() }, malformed(0, 0, 32)),
        (Vote { timestamp: None, ..prevote() }, RequestError::Missing { field: "vote timestamp" }),
        (stamp(0, -1), RequestError::BadTimestamp { seconds: 0, nanos: -1 }),
        (stamp(0, 1_000_000_000), RequestError::BadTimestamp { seconds: 0, nanos: 1_000_000_000 }),
        (stamp(253_402_300_800, 0), RequestError::BadTimestamp { seconds: 253_402_300_800, nanos: 0 }),
        (stamp(-62_135_596_801, 0), RequestError::BadTimestamp { seconds: -62_135_596_801, nanos: 0 }),
        (
            Vote { extension: vec![1; 9], ..prevote() },
            RequestError::UnexpectedExtension { what: "prevote", extension_len: 9 },
        ),
        (
            nil(precommit(b"xyz")),
            RequestError::UnexpectedExtension { what: "precommit for nil", extension_len: 3 },
        ),
    ];
    for (vote, expected) in cases {
        assert_eq!(parse_vote(vote.clone()).unwrap_err(), expected, "{vote:?}");
    }
}

#[test]
fn malformed_proposals_are_named() {
    let wrong_type = |found| RequestError::WrongType { found, expected: "proposal (32)" };
    let cases = [
        (Proposal { msg_type: 0, ..proposal() }, wrong_type(0)),
        (Proposal { msg_type: 1, ..proposal() }, wrong_type(1)),
        (Proposal { height: 0, ..proposal() }, RequestError::HeightNotPositive { height: 0 }),
        (Proposal { round: -3, ..proposal() }, RequestError::NegativeRound { round: -3 }),
        (Proposal { pol_round: -2, ..proposal() }, RequestError::BadPolRound { pol_round: -2 }),
        (Proposal { block_id: BlockId::default(), ..proposal() }, RequestError::ProposalWithoutBlock),
        (Proposal { block_id: block_id(32, 1, 31), ..proposal() }, malformed(32, 1, 31)),
        (Proposal { timestamp: None, ..proposal() }, RequestError::Missing { field: "proposal timestamp" }),
    ];
    for (proposal, expected) in cases {
        assert_eq!(parse_proposal(proposal.clone()).unwrap_err(), expected, "{proposal:?}");
    }
}

#[test]
fn requests_without_their_message_are_refused() {
    let vote = SignVoteRequest { vote: None, chain_id: CHAIN.into() };
    let expected = RequestError::Missing { field: "vote" };
    assert_eq!(parse_sign_vote(&chain_id(), vote, &node()).unwrap_err(), expected);
    let proposal = SignProposalRequest { proposal: None, chain_id: CHAIN.into() };
    let expected = RequestError::Missing { field: "proposal" };
    assert_eq!(parse_sign_proposal(&chain_id(), proposal, &node()).unwrap_err(), expected);
}

#[test]
fn another_chain_is_refused_with_both_names() {
    for asked in ["", "chain-70", "Chain-7", "chain-7 "] {
        let request = SignVoteRequest { vote: Some(prevote()), chain_id: asked.into() };
        let error = parse_sign_vote(&chain_id(), request, &node()).unwrap_err();
        assert_eq!(error, RequestError::WrongChain { ours: chain_id(), asked: asked.into() });
        let request = SignProposalRequest { proposal: Some(proposal()), chain_id: asked.into() };
        let error = parse_sign_proposal(&chain_id(), request, &node()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("{asked:?}")) && error.to_string().contains("\"chain-7\"")
        );
    }
}

/// A name of two megabytes must not fill a log or an answer.
#[test]
fn a_long_chain_name_is_cut_in_the_error() {
    let request = SignVoteRequest { vote: Some(prevote()), chain_id: "é".repeat(1_000_000) };
    let RequestError::WrongChain { asked, .. } = parse_sign_vote(&chain_id(), request, &node()).unwrap_err()
    else {
        panic!("another error")
    };
    assert_eq!(asked.chars().count(), REQUEST_TEXT_MAX_CHARS);
}

/// A block whose hash is all zero bytes is a block, not nil.
#[test]
fn nil_is_the_empty_block_id_only() {
    let zero_hash = BlockId { hash: vec![0; 32], ..block(1) };
    assert!(parse_vote(Vote { block_id: zero_hash, ..prevote() }).unwrap().cometbft_intent().block.is_some());
    assert_eq!(parse_vote(nil(prevote())).unwrap().cometbft_intent().block, None);
}
