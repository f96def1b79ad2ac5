//! Tests of the messages: CometBFT's own wire vectors, and what other dialects send.

use super::*;
use prost::Message as _;

const STAMP: Timestamp = Timestamp { seconds: 1_570_983_284, nanos: 0 };

fn bytes(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).unwrap()
}

fn example_block_id() -> BlockId {
    use sha2::{Digest, Sha256};
    BlockId {
        hash: Sha256::digest(b"blockID_hash").to_vec(),
        part_set_header: PartSetHeader {
            total: 1_000_000,
            hash: Sha256::digest(b"blockID_part_set_header_hash").to_vec(),
        },
    }
}

fn example_vote() -> Vote {
    Vote {
        msg_type: SignedMsgType::Precommit.into(),
        height: 3,
        round: 2,
        block_id: example_block_id(),
        timestamp: Some(STAMP),
        validator_address: bytes("6af1f4111082efb388211bc72c55bcd61e9ac3d5"),
        validator_index: 56_789,
        extension: b"extension".to_vec(),
        ..Vote::default()
    }
}

fn example_proposal() -> Proposal {
    Proposal {
        msg_type: 1,
        height: 3,
        round: 2,
        pol_round: 2,
        block_id: example_block_id(),
        timestamp: Some(STAMP),
        signature: b"it's a signature".to_vec(),
    }
}

fn example_error() -> RemoteSignerError {
    RemoteSignerError { code: 1, description: "it's a error".into() }
}

const VOTE_HEX: &str = "080210031802224a0a208b01023386c371778ecb6368573e539afc3cc860ec3a2f614e54fe5652f4fc801226\
                        08c0843d122072db3d959635dff1bb567bedaa70573392c5159666a3f8caf11e413aac52207a2a0608f49a8d\
                        ed0532146af1f4111082efb388211bc72c55bcd61e9ac3d538d5bb034a09657874656e73696f6e";
const PROPOSAL_HEX: &str = "08011003180220022a4a0a208b01023386c371778ecb6368573e539afc3cc860ec3a2f614e54fe5652f4fc80\
                            122608c0843d122072db3d959635dff1bb567bedaa70573392c5159666a3f8caf11e413aac52207a320608f4\
                            9a8ded053a10697427732061207369676e6174757265";

/// The wire vectors of CometBFT's own privval tests (`TestPrivvalVectors`).
#[test]
fn golden_wire_vectors() {
    let key: [u8; 32] =
        bytes("556a436f1218d30942efe798420f51dc9b6a311b929c578257457d05c5fcf230").try_into().unwrap();
    let vote = example_vote();
    let proposal = example_proposal();
    let cases = [
        (Message::PingRequest(PingRequest {}), "3a00".to_owned()),
        (Message::PingResponse(PingResponse {}), "4200".to_owned()),
        (Message::PubKeyRequest(PubKeyRequest::default()), "0a00".to_owned()),
        (
            Message::PubKeyResponse(PubKeyResponse::found(PublicKey::ed25519(key))),
            "12240a220a20556a436f1218d30942efe798420f51dc9b6a311b929c578257457d05c5fcf230".to_owned(),
        ),
        (
            Message::PubKeyResponse(PubKeyResponse::refused(example_error())),
            "12140a0012100801120c697427732061206572726f72".to_owned(),
        ),
        (
            Message::SignVoteRequest(SignVoteRequest { vote: Some(vote.clone()), chain_id: String::new() }),
            format!("1a81010a7f{VOTE_HEX}"),
        ),
        (
            Message::SignedVoteResponse(SignedVoteResponse { vote, error: None }),
            format!("2281010a7f{VOTE_HEX}"),
        ),
        (
            Message::SignedVoteResponse(SignedVoteResponse::refused(example_error())),
            "22250a11220212002a0b088092b8c398feffffff0112100801120c697427732061206572726f72".to_owned(),
        ),
        (
            Message::SignProposalRequest(SignProposalRequest {
                proposal: Some(proposal.clone()),
                chain_id: String::new(),
            }),
            format!("2a700a6e{PROPOSAL_HEX}"),
        ),
        (
            Message::SignedProposalResponse(SignedProposalResponse::signed(proposal)),
            format!("32700a6e{PROPOSAL_HEX}"),
        ),
        (
            Message::SignedProposalResponse(SignedProposalResponse::refused(example_error())),
            "32250a112a021200320b088092b8c398feffffff0112100801120c697427732061206572726f72".to_owned(),
        ),
    ];
    for (message, expected) in cases {
        let envelope = Envelope { message: Some(message) };
        assert_eq!(hex::encode(envelope.encode_to_vec()), expected);
        assert_eq!(Envelope::decode(bytes(&expected).as_slice()).unwrap(), envelope);
    }
}

#[test]
fn fields_of_newer_dialects_are_skipped() {
    // v1's skip_extension_signing (3), v2's vote fields 11 and 12, and a key kind we do not know.
    let envelope = Envelope::decode(bytes("1a070a001201631801").as_slice()).unwrap();
    let Some(Message::SignVoteRequest(request)) = envelope.message else { panic!("not a vote request") };
    assert_eq!(request.chain_id, "c");
    assert_eq!(request.vote, Some(Vote::default()));

    let vote = Vote::decode(bytes("10055a026869620130").as_slice()).unwrap();
    assert_eq!(vote.height, 5);
    let key = PublicKey::decode(bytes("1a0100").as_slice()).unwrap();
    assert_eq!(key.kind, None);
}

#[test]
fn an_unknown_member_of_the_oneof_is_none() {
    assert_eq!(Envelope::decode(bytes("4a00").as_slice()).unwrap().message, None);
}

#[test]
fn an_absent_timestamp_stays_absent() {
    assert_eq!(Vote::decode(bytes("1005").as_slice()).unwrap().timestamp, None);
    assert_eq!(Vote::decode(bytes("2a00").as_slice()).unwrap().timestamp, Some(Timestamp::default()));
}

#[test]
fn extension_signature_is_for_precommits_of_a_block_only() {
    let vote = example_vote();
    assert!(vote.needs_extension_signature());
    assert!(!Vote { msg_type: 1, ..vote.clone() }.needs_extension_signature());
    assert!(!Vote { block_id: BlockId::default(), ..vote.clone() }.needs_extension_signature());
    assert!(SignedVoteResponse::signed(vote).vote.extension.is_empty());
}
