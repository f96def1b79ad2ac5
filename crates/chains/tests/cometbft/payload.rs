//! Which messages are one payload: the whole of what keeps a double sign from passing for a repeat.

use crate::build::{
    CHAIN, STAMP, block, nil, node, parse_proposal, parse_vote, precommit, prevote, proposal,
};
use interlock_chains::cometbft::parse_sign_vote;
use interlock_core::{ChainId, Digest};
use interlock_privval::{
    Proposal, SignVoteRequest, SignedMsgType, Timestamp, Vote, decode_canonical_vote, vote_sign_bytes,
};
use proptest::prelude::*;

fn payload(vote: Vote) -> Digest {
    parse_vote(vote).unwrap().cometbft_intent().payload
}

fn proposal_payload(proposal: Proposal) -> Digest {
    parse_proposal(proposal).unwrap().cometbft_intent().payload
}

const LATER: Timestamp = Timestamp { seconds: STAMP.seconds + 1, nanos: 0 };

#[test]
fn what_does_not_conflict_is_the_same_payload() {
    let base = precommit(b"one");
    let same = [
        Vote { timestamp: Some(LATER), ..base.clone() },
        Vote { extension: b"two".to_vec(), ..base.clone() },
        Vote { extension: Vec::new(), ..base.clone() },
        Vote { validator_index: 9, validator_address: vec![6; 20], ..base.clone() },
        Vote { signature: vec![1; 64], extension_signature: vec![2; 64], ..base.clone() },
    ];
    for vote in same {
        assert_eq!(payload(vote.clone()), payload(base.clone()), "{vote:?}");
    }
}

#[test]
fn what_conflicts_or_stands_elsewhere_is_another_payload() {
    let base = precommit(b"");
    let mut total = base.clone();
    total.block_id.part_set_header.total += 1;
    let mut parts = base.clone();
    parts.block_id.part_set_header.hash[31] ^= 1;
    let others = [
        Vote { block_id: block(2), ..base.clone() },
        total,
        parts,
        nil(base.clone()),
        Vote { height: 43, ..base.clone() },
        Vote { round: 2, ..base.clone() },
        Vote { msg_type: SignedMsgType::Prevote.into(), ..base.clone() },
    ];
    let mut payloads: Vec<_> = others.iter().map(|vote| payload(vote.clone())).collect();
    payloads.push(payload(base));
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), others.len() + 1, "all differ from each other");
}

#[test]
fn the_chain_is_part_of_the_payload() {
    let on = |name: &str| {
        let request = SignVoteRequest { vote: Some(prevote()), chain_id: name.into() };
        parse_sign_vote(&ChainId::parse(name).unwrap(), request, &node()).unwrap().cometbft_intent().payload
    };
    assert_ne!(on("chain-7"), on("chain-8"));
}

/// The block digest tells blocks apart by everything in their id, and is the same in every step.
#[test]
fn block_digests_follow_the_block_id() {
    let of = |vote: Vote| parse_vote(vote).unwrap().cometbft_intent().block;
    let mut other_parts = prevote();
    other_parts.block_id.part_set_header.total += 1;
    assert_eq!(of(prevote()), of(precommit(b"x")));
    assert_eq!(of(prevote()), parse_proposal(proposal()).unwrap().cometbft_intent().block);
    assert_ne!(of(prevote()), of(other_parts));
    assert_ne!(of(prevote()), of(Vote { block_id: block(2), ..prevote() }));
}

#[test]
fn every_byte_of_a_proposal_counts_except_its_signature() {
    let others = [
        Proposal { timestamp: Some(LATER), ..proposal() },
        Proposal { pol_round: 0, ..proposal() },
        Proposal { block_id: block(2), ..proposal() },
        Proposal { height: 43, ..proposal() },
        Proposal { round: 2, ..proposal() },
    ];
    for other in others {
        assert_ne!(proposal_payload(other.clone()), proposal_payload(proposal()), "{other:?}");
    }
    assert_eq!(
        proposal_payload(Proposal { signature: vec![1; 64], ..proposal() }),
        proposal_payload(proposal())
    );
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (1_i32..3, 1_i64..3, 0_i32..2, 0_u8..3, 0_i64..3, 0_i32..2).prop_map(
        |(msg_type, height, round, block_number, seconds, nanos)| {
            let vote =
                Vote { msg_type, height, round, timestamp: Some(Timestamp { seconds, nanos }), ..prevote() };
            if block_number == 0 { nil(vote) } else { Vote { block_id: block(block_number), ..vote } }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Upstream's own comparison: decode both sign bytes, make the times equal, compare.
    #[test]
    fn payloads_are_equal_exactly_when_only_the_timestamps_may_differ(one in any_vote(), two in any_vote()) {
        let timeless = |vote: &Vote| {
            let mut form = decode_canonical_vote(&vote_sign_bytes(CHAIN, vote)).unwrap();
            form.timestamp = STAMP;
            form
        };
        prop_assert_eq!(payload(one.clone()) == payload(two.clone()), timeless(&one) == timeless(&two));
    }

    /// The payload that was approved is the payload that is signed, whatever timestamp the verdict gives.
    #[test]
    fn the_bytes_to_sign_are_those_of_the_request(vote in any_vote(), seconds in 0_i64..9) {
        let to_sign = parse_vote(vote.clone()).unwrap();
        let given = interlock_core::cometbft::Timestamp { seconds, nanos: 7 };
        let expected = Vote { timestamp: Some(Timestamp { seconds, nanos: 7 }), ..vote.clone() };
        let bytes = to_sign.sign_bytes(given);
        prop_assert_eq!(bytes.as_bytes().to_vec(), vote_sign_bytes(CHAIN, &expected));
        let asked = to_sign.sign_bytes(to_sign.cometbft_intent().timestamp);
        prop_assert_eq!(asked.as_bytes().to_vec(), vote_sign_bytes(CHAIN, &vote));
    }
}
