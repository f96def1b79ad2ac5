//! From request to reply: what the node that asked makes of the answer.

use crate::build::{CHAIN, chain_id, nil, parse_proposal, parse_vote, precommit, prevote, proposal};
use interlock_chains::cometbft::{ERROR_TEXT_MAX_BYTES, ReplyError, RequestKind, VoteToSign, error_reply};
use interlock_core::cometbft::{CometbftClaim, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, Approval, ChainIdentity, Claim, ClusterId, Command, Epoch, Holder, Incarnation, Intent, KeyName,
    LogPosition, Policy, Position, PublicKey, SignerId, State, Verdict,
};
use interlock_privval::{
    BlockId, MAX_RESPONSE_BYTES, Message, PartSetHeader, PubKeyRequest, SignVoteRequest, SignedVoteResponse,
    Vote, proposal_sign_bytes, vote_extension_sign_bytes, vote_sign_bytes,
};
use sha2::{Digest as _, Sha512};

/// Stands in for a signature: 64 bytes that fit these bytes and no others. Keys are not this crate's business.
fn sign(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

fn answer(to_sign: &VoteToSign, timestamp: Timestamp) -> SignedVoteResponse {
    let signature = sign(to_sign.sign_bytes(timestamp).as_bytes());
    let extension = to_sign.extension_sign_bytes().map(|bytes| sign(bytes.as_bytes()));
    to_sign.reply(&signature, extension.as_ref().map(<[u8; 64]>::as_slice), timestamp).unwrap()
}

/// What a node does with an answer: takes signature, extension signature and timestamp into its own vote and verifies.
fn node_accepts(asked: &Vote, answer: &SignedVoteResponse) -> bool {
    let vote = Vote { timestamp: answer.vote.timestamp, ..asked.clone() };
    let expected_extension = if vote.needs_extension_signature() {
        sign(&vote_extension_sign_bytes(CHAIN, &vote)).to_vec()
    } else {
        Vec::new()
    };
    answer.error.is_none()
        && answer.vote.signature == sign(&vote_sign_bytes(CHAIN, &vote))
        && answer.vote.extension_signature == expected_extension
}

#[test]
fn a_node_accepts_the_signed_vote() {
    for vote in [prevote(), nil(prevote()), nil(precommit(b"")), precommit(b""), precommit(b"price=3")] {
        let to_sign = parse_vote(vote.clone()).unwrap();
        let answer = answer(&to_sign, to_sign.cometbft_intent().timestamp);
        assert!(node_accepts(&vote, &answer), "{vote:?}");
        assert!(!node_accepts(&Vote { round: 5, ..vote.clone() }, &answer), "the check can fail");
    }
}

#[test]
fn a_node_accepts_the_signed_proposal() {
    let to_sign = parse_proposal(proposal()).unwrap();
    let reply = to_sign.reply(&sign(to_sign.sign_bytes().as_bytes())).unwrap();
    assert_eq!(reply.error, None);
    assert_eq!(reply.proposal.signature, sign(&proposal_sign_bytes(CHAIN, &proposal())));
}

/// An extension is signed exactly for precommits for a block, even when it is empty.
#[test]
fn extension_bytes_exist_exactly_when_a_node_wants_them() {
    let cases = [
        (prevote(), false),
        (nil(prevote()), false),
        (nil(precommit(b"")), false),
        (precommit(b""), true),
        (precommit(b"x"), true),
    ];
    for (vote, needed) in cases {
        let to_sign = parse_vote(vote).unwrap();
        assert_eq!(to_sign.extension_sign_bytes().is_some(), needed);
        let time = to_sign.cometbft_intent().timestamp;
        let wrong = if needed { None } else { Some([1; 64].as_slice()) };
        let error = to_sign.reply(&[1; 64], wrong, time).unwrap_err();
        assert_eq!(error, ReplyError::ExtensionSignature { needed, given: !needed });
    }
}

#[test]
fn a_signature_of_no_or_absurd_length_makes_no_reply() {
    let to_sign = parse_vote(precommit(b"")).unwrap();
    let time = to_sign.cometbft_intent().timestamp;
    for len in [0, 4097] {
        let expected = ReplyError::SignatureLength { len };
        assert_eq!(to_sign.reply(&vec![1; len], Some(&[1; 64]), time).unwrap_err(), expected);
        assert_eq!(to_sign.reply(&[1; 64], Some(&vec![1; len]), time).unwrap_err(), expected);
        assert_eq!(parse_proposal(proposal()).unwrap().reply(&vec![1; len]).unwrap_err(), expected);
    }
}

/// Bytes of everything in a vote whose length varies.
fn size(vote: &Vote) -> usize {
    let block_id = vote.block_id.hash.len() + vote.block_id.part_set_header.hash.len();
    let signatures = vote.signature.len() + vote.extension_signature.len();
    block_id + signatures + vote.validator_address.len() + vote.extension.len()
}

/// The largest request there can be gets an answer that a node reads.
#[test]
fn a_reply_echoes_nothing_big() {
    let big = Vote {
        extension: vec![1; 1024 * 1024],
        validator_address: vec![2; 100_000],
        signature: vec![3; 100_000],
        extension_signature: vec![4; 100_000],
        ..precommit(b"")
    };
    let to_sign = parse_vote(big.clone()).unwrap();
    let answer = answer(&to_sign, to_sign.cometbft_intent().timestamp);
    assert!(node_accepts(&big, &answer));
    assert!(answer.vote.extension.is_empty());
    assert!(size(&answer.vote) < MAX_RESPONSE_BYTES / 2, "{} bytes", size(&answer.vote));
    assert_eq!((answer.vote.height, answer.vote.validator_index), (big.height, big.validator_index));
}

/// The vote of CometBFT's own privval vectors. Another program encoded the expected bytes, from the specification.
#[test]
fn a_golden_vote_gives_golden_bytes_and_digests() {
    let hash = |text| hex::decode(text).unwrap();
    let part_set_header = PartSetHeader {
        total: 1_000_000,
        hash: hash("72db3d959635dff1bb567bedaa70573392c5159666a3f8caf11e413aac52207a"),
    };
    let block_hash = hash("8b01023386c371778ecb6368573e539afc3cc860ec3a2f614e54fe5652f4fc80");
    let vote = Vote {
        height: 3,
        round: 2,
        block_id: BlockId { hash: block_hash, part_set_header },
        timestamp: Some(interlock_privval::Timestamp { seconds: 1_570_983_284, nanos: 0 }),
        ..precommit(b"extension")
    };
    let to_sign = parse_vote(vote).unwrap();
    assert_eq!(to_sign.position().to_string(), "height 3 round 2 precommit");
    let intent = to_sign.cometbft_intent();
    assert_eq!(hex::encode(to_sign.sign_bytes(intent.timestamp).as_bytes()), GOLDEN_SIGN_BYTES);
    assert_eq!(hex::encode(to_sign.extension_sign_bytes().unwrap().as_bytes()), GOLDEN_EXTENSION_BYTES);
    let payload = "7bd1c9ebf6dbfda05e1a27e043be6baa0940b2734fee0af87fc94d124c75961d";
    assert_eq!(intent.payload.to_string(), payload, "changing this forgets what was approved");
    let block = "94b4394418d4d105e48f5e83bc5ad0eb86e130226e367d1a8b555a1e861b833f";
    assert_eq!(intent.block.unwrap().to_string(), block, "changing this forgets what was locked");
}

const GOLDEN_SIGN_BYTES: &str = "710802110300000000000000190200000000000000224a0a208b01023386c371778ecb6368573e539afc3c\
    c860ec3a2f614e54fe5652f4fc80122608c0843d122072db3d959635dff1bb567bedaa70573392c5159666a3f8caf11e413aac52207a2a0608\
    f49a8ded053207636861696e2d37";
const GOLDEN_EXTENSION_BYTES: &str =
    "260a09657874656e73696f6e1103000000000000001902000000000000002207636861696e2d37";

fn state_with_lease() -> (State, Command) {
    let cluster = ClusterId([1; 16]);
    let alpha = SignerId::parse("alpha").unwrap();
    let add = AddKey {
        name: KeyName::parse("val").unwrap(),
        chain: ChainIdentity::Cometbft(chain_id()),
        public_key: PublicKey::new(&[9; 32]).unwrap(),
        signers: vec![alpha.clone()],
        claim: Claim::Cometbft(CometbftClaim::floor(40)),
        policy: Policy::default(),
    }
    .into_command(cluster);
    let holder = Holder { signer: alpha, incarnation: Incarnation([1; 16]) };
    let acquire = Action::Acquire { holder: holder.clone(), expected_epoch: Epoch(0) };
    let acquire = Command { cluster, key: add.key, action: acquire };
    let mut state = State::genesis(cluster);
    for (log_index, command) in [(1, &add), (2, &acquire)] {
        assert!(!state.apply(LogPosition { log_index, item: 0 }, command).is_denied());
    }
    let intent = parse_vote(prevote()).unwrap().intent();
    (state, Command { cluster, key: add.key, action: Action::Approve { holder, epoch: Epoch(1), intent } })
}

fn ask(state: &mut State, template: &Command, intent: Intent) -> Verdict {
    let mut command = template.clone();
    if let Action::Approve { intent: asked, .. } = &mut command.action {
        *asked = intent;
    }
    let log_index = state.applied().unwrap().log_index + 1;
    state.apply(LogPosition { log_index, item: 0 }, &command)
}

/// A node that restarts asks with a new time and another extension, and gets a signature over the very same bytes.
#[test]
fn a_repeat_signs_the_same_bytes() {
    let (mut state, template) = state_with_lease();
    let mut signed = Vec::new();
    for (seconds, extension, approval) in
        [(100, b"one", Approval::Fresh), (200, b"two", Approval::Repeat), (50, b"six", Approval::Repeat)]
    {
        let time = interlock_privval::Timestamp { seconds, nanos: 0 };
        let vote = Vote { timestamp: Some(time), ..precommit(extension) };
        let to_sign = parse_vote(vote.clone()).unwrap();
        let Verdict::Approved(approved) = ask(&mut state, &template, to_sign.intent()) else {
            panic!("denied")
        };
        let position = Position::Cometbft(to_sign.position());
        assert_eq!((approved.approval, approved.position), (approval, position));
        let timestamp = approved.timestamp.unwrap();
        assert!(node_accepts(&vote, &answer(&to_sign, timestamp)));
        signed.push(to_sign.sign_bytes(timestamp));
    }
    assert!(signed.iter().all(|bytes| *bytes == signed[0]));
    let other = parse_vote(nil(precommit(b""))).unwrap();
    assert!(ask(&mut state, &template, other.intent()).is_denied(), "nil where a block was approved");
}

#[test]
fn error_replies_match_the_request_and_stay_short() {
    let long = "ü".repeat(ERROR_TEXT_MAX_BYTES);
    for kind in [RequestKind::PublicKey, RequestKind::Vote, RequestKind::Proposal] {
        let error = match (kind, error_reply(kind, &long)) {
            (RequestKind::PublicKey, Message::PubKeyResponse(reply)) => {
                assert_eq!(reply.pub_key.kind, None);
                reply.error
            }
            (RequestKind::Vote, Message::SignedVoteResponse(reply)) => {
                assert_eq!(size(&reply.vote), 0);
                reply.error
            }
            (RequestKind::Proposal, Message::SignedProposalResponse(reply)) => {
                assert!(reply.proposal.signature.is_empty());
                reply.error
            }
            (kind, reply) => panic!("{kind:?} is answered with {}", reply.name()),
        };
        assert_eq!(error.unwrap().description, "ü".repeat(ERROR_TEXT_MAX_BYTES / 2));
    }
    let short = error_reply(RequestKind::Vote, "R11 NoConflict: double sign");
    let Message::SignedVoteResponse(reply) = short else { panic!("another kind") };
    assert_eq!(reply.error.unwrap().description, "R11 NoConflict: double sign");
}

#[test]
fn requests_know_their_kind() {
    let request = SignVoteRequest { vote: Some(prevote()), chain_id: CHAIN.into() };
    assert_eq!(RequestKind::of(&Message::SignVoteRequest(request)), Some(RequestKind::Vote));
    assert_eq!(
        RequestKind::of(&Message::PubKeyRequest(PubKeyRequest::default())),
        Some(RequestKind::PublicKey)
    );
    assert_eq!(RequestKind::of(&error_reply(RequestKind::Vote, "")), None);
}
