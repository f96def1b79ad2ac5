//! Tests of the canonical forms: CometBFT's own vectors, vectors encoded by hand from the specification, strict
//! decoding.

use super::*;
use crate::messages::PartSetHeader;
use proptest::prelude::*;

const STAMP: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 };

fn block_id() -> BlockId {
    BlockId { hash: vec![0xaa; 32], part_set_header: PartSetHeader { total: 7, hash: vec![0xbb; 32] } }
}

fn precommit() -> Vote {
    Vote {
        msg_type: SignedMsgType::Precommit.into(),
        height: 42,
        round: 1,
        block_id: block_id(),
        timestamp: Some(STAMP),
        extension: b"price=3".to_vec(),
        // None of these is signed.
        validator_address: vec![1; 20],
        validator_index: 3,
        signature: vec![2; 64],
        extension_signature: vec![3; 64],
    }
}

fn proposal(round: i32, pol_round: i32) -> Proposal {
    Proposal {
        msg_type: SignedMsgType::Proposal.into(),
        height: 42,
        round,
        pol_round,
        block_id: block_id(),
        timestamp: Some(STAMP),
        signature: vec![2; 64],
    }
}

const BLOCK_HEX: &str = "480a20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa122408071220bbbbbbbbbbbbbbbb\
                         bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const STAMP_HEX: &str = "0b0880e2cfaa0610959aef3a";
const CHAIN_HEX: &str = "07636861696e2d37";

/// The vectors of CometBFT's `TestVoteSignBytesTestVectors`: (type, height, round, chain id, sign bytes).
#[test]
fn upstream_vote_vectors() {
    let cases: [(i32, i64, i32, &str, &str); 5] = [
        (0, 0, 0, "", "0d2a0b088092b8c398feffffff01"),
        (2, 1, 1, "", "2108021101000000000000001901000000000000002a0b088092b8c398feffffff01"),
        (1, 1, 1, "", "2108011101000000000000001901000000000000002a0b088092b8c398feffffff01"),
        (0, 1, 1, "", "1f1101000000000000001901000000000000002a0b088092b8c398feffffff01"),
        (
            0,
            1,
            1,
            "test_chain_id",
            "2e1101000000000000001901000000000000002a0b088092b8c398feffffff01320d746573745f636861696e5f6964",
        ),
    ];
    for (msg_type, height, round, chain_id, expected) in cases {
        // The extension takes no part, and an absent timestamp is Go's zero time.
        let vote = Vote { msg_type, height, round, extension: b"extension".to_vec(), ..Vote::default() };
        assert_eq!(hex::encode(vote_sign_bytes(chain_id, &vote)), expected);
    }
}

#[test]
fn a_vote_for_a_block() {
    let expected =
        format!("740802112a0000000000000019010000000000000022{BLOCK_HEX}2a{STAMP_HEX}32{CHAIN_HEX}");
    assert_eq!(hex::encode(vote_sign_bytes("chain-7", &precommit())), expected);
}

#[test]
fn a_vote_for_no_block_in_round_zero_leaves_both_fields_out() {
    let vote = Vote { msg_type: 1, round: 0, block_id: BlockId::default(), ..precommit() };
    let expected = format!("210801112a000000000000002a{STAMP_HEX}32{CHAIN_HEX}");
    assert_eq!(hex::encode(vote_sign_bytes("chain-7", &vote)), expected);
}

#[test]
fn a_proposal_without_and_with_a_locked_round() {
    let none = format!(
        "7f0820112a0000000000000019010000000000000020ffffffffffffffffff012a{BLOCK_HEX}32{STAMP_HEX}3a{CHAIN_HEX}"
    );
    assert_eq!(hex::encode(proposal_sign_bytes("chain-7", &proposal(1, -1))), none);
    let locked =
        format!("760820112a0000000000000019030000000000000020022a{BLOCK_HEX}32{STAMP_HEX}3a{CHAIN_HEX}");
    assert_eq!(hex::encode(proposal_sign_bytes("chain-7", &proposal(3, 2))), locked);
}

#[test]
fn the_type_of_a_proposal_is_never_taken_from_the_request() {
    let mut disguised = proposal(1, -1);
    disguised.msg_type = SignedMsgType::Prevote.into();
    assert_eq!(proposal_sign_bytes("chain-7", &disguised), proposal_sign_bytes("chain-7", &proposal(1, -1)));
}

#[test]
fn an_extension_empty_or_not() {
    let full = format!("240a0770726963653d33112a0000000000000019010000000000000022{CHAIN_HEX}");
    assert_eq!(hex::encode(vote_extension_sign_bytes("chain-7", &precommit())), full);
    let empty = Vote { extension: Vec::new(), ..precommit() };
    let expected = format!("1b112a0000000000000019010000000000000022{CHAIN_HEX}");
    assert_eq!(hex::encode(vote_extension_sign_bytes("chain-7", &empty)), expected);
}

#[test]
fn sign_bytes_read_back() {
    let vote = decode_canonical_vote(&vote_sign_bytes("chain-7", &precommit())).unwrap();
    assert_eq!(
        vote,
        CanonicalVote {
            msg_type: SignedMsgType::Precommit,
            height: 42,
            round: 1,
            block_id: Some(block_id()),
            timestamp: STAMP,
            chain_id: "chain-7".into(),
        }
    );
    let read = decode_canonical_proposal(&proposal_sign_bytes("chain-7", &proposal(1, -1))).unwrap();
    assert_eq!(
        read,
        CanonicalProposal {
            height: 42,
            round: 1,
            pol_round: -1,
            block_id: Some(block_id()),
            timestamp: STAMP,
            chain_id: "chain-7".into(),
        }
    );
}

#[test]
fn one_kind_is_never_taken_for_another() {
    let vote = vote_sign_bytes("c", &precommit());
    let proposed = proposal_sign_bytes("c", &proposal(1, -1));
    assert!(matches!(decode_canonical_proposal(&vote), Err(SignBytesError::Malformed(_))));
    assert!(matches!(decode_canonical_vote(&proposed), Err(SignBytesError::Malformed(_))));
    let untyped = vote_sign_bytes("c", &Vote { msg_type: 0, ..precommit() });
    assert!(matches!(decode_canonical_vote(&untyped), Err(SignBytesError::WrongType { found: 0, .. })));
    let as_proposal = vote_sign_bytes("c", &Vote { msg_type: 32, ..precommit() });
    assert!(matches!(decode_canonical_vote(&as_proposal), Err(SignBytesError::WrongType { found: 32, .. })));
}

#[test]
fn anything_but_the_canonical_form_is_an_error() {
    let good = vote_sign_bytes("c", &precommit());
    let mut trailing = good.clone();
    trailing.push(0);
    assert!(matches!(decode_canonical_vote(&trailing), Err(SignBytesError::NotCanonical { .. })));
    let mut unknown_field = good.clone();
    unknown_field[0] += 2;
    unknown_field.extend([0x78, 0x01]);
    assert!(matches!(decode_canonical_vote(&unknown_field), Err(SignBytesError::NotCanonical { .. })));
    assert!(matches!(decode_canonical_vote(&good[..good.len() - 1]), Err(SignBytesError::Malformed(_))));
    assert!(matches!(
        decode_canonical_vote(&[]),
        Err(SignBytesError::Malformed(_) | SignBytesError::WrongType { .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if decode_canonical_vote(&bytes).is_ok() {
            prop_assert!(decode_canonical_proposal(&bytes).is_err());
        }
    }

    #[test]
    fn any_vote_reads_back(height: i64, round: i32, seconds: i64, nanos: i32, hash: Vec<u8>, chain_id: String) {
        let vote = Vote {
            msg_type: SignedMsgType::Prevote.into(),
            height,
            round,
            block_id: BlockId { hash: hash.clone(), part_set_header: PartSetHeader::default() },
            timestamp: Some(Timestamp { seconds, nanos }),
            ..Vote::default()
        };
        let read = decode_canonical_vote(&vote_sign_bytes(&chain_id, &vote)).unwrap();
        prop_assert_eq!((read.height, read.round, read.chain_id), (height, i64::from(round), chain_id));
        prop_assert_eq!(read.timestamp, Timestamp { seconds, nanos });
        prop_assert_eq!(read.block_id.is_none(), hash.is_empty());
    }
}
