//! From request to reply: what the node that asked makes of the answer.

use crate::build::{CHAIN, chain_id, nil, node, parse_proposal, parse_vote, precommit, prevote, proposal};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _};
use interlock_chains::cometbft::{
    ERROR_TEXT_MAX_BYTES, ReplyError, RequestKind, VoteToSign, error_reply, parse_sign_vote,
};
use interlock_core::cometbft::Timestamp;
use interlock_core::command::AddKey;
use interlock_core::{
    Action, Approval, ChainIdentity, ClusterId, Command, Epoch, Holder, Incarnation, Intent, KeyName,
    LogPosition, Policy, PublicKey, SignerId, State, Verdict,
};
use interlock_privval::{
    MAX_RESPONSE_BYTES, Message, PubKeyRequest, SignVoteRequest, SignedVoteResponse, Vote,
    proposal_sign_bytes, vote_extension_sign_bytes, vote_sign_bytes,
};
use prost::Message as _;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn answer(to_sign: &VoteToSign, timestamp: Timestamp) -> SignedVoteResponse {
    let signature = key().sign(to_sign.sign_bytes(timestamp).as_bytes()).to_bytes();
    let extension = to_sign.extension_sign_bytes().map(|bytes| key().sign(bytes.as_bytes()).to_bytes());
    to_sign.reply(&signature, extension.as_ref().map(<[u8; 64]>::as_slice), timestamp).unwrap()
}

/// What a node does with an answer: takes signature, extension signature and timestamp into its own vote and verifies.
fn node_accepts(asked: &Vote, answer: &SignedVoteResponse) -> bool {
    let vote = Vote { timestamp: answer.vote.timestamp, ..asked.clone() };
    let verify = |bytes: &[u8], signature: &[u8]| {
        Signature::from_slice(signature)
            .is_ok_and(|signature| key().verifying_key().verify(bytes, &signature).is_ok())
    };
    let extension_bytes = vote_extension_sign_bytes(CHAIN, &vote);
    let extension_is_right = if vote.needs_extension_signature() {
        verify(&extension_bytes, &answer.vote.extension_signature)
    } else {
        answer.vote.extension_signature.is_empty()
    };
    answer.error.is_none()
        && extension_is_right
        && verify(&vote_sign_bytes(CHAIN, &vote), &answer.vote.signature)
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
    let signature = key().sign(to_sign.sign_bytes().as_bytes());
    let reply = to_sign.reply(&signature.to_bytes()).unwrap();
    assert_eq!(reply.error, None);
    let signature = Signature::from_slice(&reply.proposal.signature).unwrap();
    key().verifying_key().verify(&proposal_sign_bytes(CHAIN, &proposal()), &signature).unwrap();
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
    assert!(answer.encoded_len() < MAX_RESPONSE_BYTES / 2, "{} bytes", answer.encoded_len());
    assert_eq!((answer.vote.height, answer.vote.validator_index), (big.height, big.validator_index));
}

/// The vote of CometBFT's own wire vectors, as bytes from the wire.
#[test]
fn the_upstream_wire_vector_is_understood() {
    let wire = "0a7f080210031802224a0a208b01023386c371778ecb6368573e539afc3cc860ec3a2f614e54fe5652f4fc801226\
                08c0843d122072db3d959635dff1bb567bedaa70573392c5159666a3f8caf11e413aac52207a2a0608f49a8ded05\
                32146af1f4111082efb388211bc72c55bcd61e9ac3d538d5bb034a09657874656e73696f6e";
    let mut request = SignVoteRequest::decode(hex::decode(wire).unwrap().as_slice()).unwrap();
    request.chain_id = CHAIN.into();
    let vote = request.vote.clone().unwrap();
    let to_sign = parse_sign_vote(&chain_id(), request, &node()).unwrap();
    assert_eq!(to_sign.position().to_string(), "height 3 round 2 precommit");
    let stamp = to_sign.cometbft_intent().timestamp;
    assert_eq!(to_sign.sign_bytes(stamp).as_bytes(), vote_sign_bytes(CHAIN, &vote));
    assert_eq!(to_sign.extension_sign_bytes().unwrap().as_bytes(), vote_extension_sign_bytes(CHAIN, &vote));
    assert!(node_accepts(&vote, &answer(&to_sign, stamp)));
}

fn state_with_lease() -> (State, Command) {
    let cluster = ClusterId([1; 16]);
    let alpha = SignerId::parse("alpha").unwrap();
    let add = AddKey {
        name: KeyName::parse("val").unwrap(),
        chain: ChainIdentity::Cometbft(chain_id()),
        public_key: PublicKey::new(key().verifying_key().as_bytes()).unwrap(),
        signers: vec![alpha.clone()],
        floor_height: 40,
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
        assert_eq!((approved.approval, approved.position), (approval, to_sign.position()));
        assert!(node_accepts(&vote, &answer(&to_sign, approved.timestamp)));
        signed.push(to_sign.sign_bytes(approved.timestamp));
    }
    assert!(signed.iter().all(|bytes| *bytes == signed[0]));
    let other = parse_vote(nil(precommit(b""))).unwrap();
    assert!(ask(&mut state, &template, other.intent()).is_denied(), "nil where a block was approved");
}

#[test]
fn error_replies_match_the_request_and_stay_short() {
    let long = "ü".repeat(ERROR_TEXT_MAX_BYTES);
    for kind in [RequestKind::PublicKey, RequestKind::Vote, RequestKind::Proposal] {
        let (error, len) = match (kind, error_reply(kind, &long)) {
            (RequestKind::PublicKey, Message::PubKeyResponse(reply)) => {
                (reply.error.clone(), reply.encoded_len())
            }
            (RequestKind::Vote, Message::SignedVoteResponse(reply)) => {
                assert!(reply.vote.signature.is_empty());
                (reply.error.clone(), reply.encoded_len())
            }
            (RequestKind::Proposal, Message::SignedProposalResponse(reply)) => {
                assert!(reply.proposal.signature.is_empty());
                (reply.error.clone(), reply.encoded_len())
            }
            (kind, reply) => panic!("{kind:?} is answered with {}", reply.name()),
        };
        assert_eq!(error.unwrap().description, "ü".repeat(ERROR_TEXT_MAX_BYTES / 2));
        assert!(len < MAX_RESPONSE_BYTES);
    }
    let short = error_reply(RequestKind::Vote, "R9 NoConflict: double sign");
    let Message::SignedVoteResponse(reply) = short else { panic!("another kind") };
    assert_eq!(reply.error.unwrap().description, "R9 NoConflict: double sign");
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
