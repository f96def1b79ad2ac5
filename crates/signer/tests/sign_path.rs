//! Requests of a node, over the real wire, against a guard with the real rule book.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod rig;

use interlock_client::fake_guard::Answer;
use interlock_core::Incarnation;
use interlock_privval::{
    Message, PingRequest, PubKeyRequest, PublicKeyKind, Timestamp, proposal_sign_bytes,
    vote_extension_sign_bytes, vote_sign_bytes,
};
use rig::{CHAIN, FLOOR, Node, Rig, precommit, prevote, proposal};
use std::time::{Duration, Instant};

#[tokio::test]
async fn proposals_and_votes_are_signed_and_recorded() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;

    let asked = proposal(5, 1);
    let signed = node.proposal(asked.clone()).await.unwrap();
    rig.verify(&proposal_sign_bytes(CHAIN, &asked), &signed.signature);

    let asked = prevote(5, 1);
    let signed = node.vote(asked.clone()).await.unwrap();
    rig.verify(&vote_sign_bytes(CHAIN, &asked), &signed.signature);
    assert!(signed.extension_signature.is_empty(), "a node panics on one");

    let asked = precommit(5, 1, b"extension");
    let signed = node.vote(asked.clone()).await.unwrap();
    rig.verify(&vote_sign_bytes(CHAIN, &asked), &signed.signature);
    rig.verify(&vote_extension_sign_bytes(CHAIN, &asked), &signed.extension_signature);

    let kinds: Vec<_> = rig.tap("alpha").iter().map(|line| line["kind"].clone()).collect();
    assert_eq!(kinds, ["proposal", "vote", "vote", "extension"]);
    let last = &rig.tap("alpha")[2];
    assert_eq!(last["sign_bytes"], hex::encode(vote_sign_bytes(CHAIN, &asked)));
    assert_eq!(last["signature"], hex::encode(&signed.signature));
    assert_eq!((last["signer"].as_str(), last["height"].as_u64()), (Some("alpha"), Some(5)));
}

#[tokio::test]
async fn an_empty_extension_is_signed_too_and_nil_votes_have_none() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    let asked = precommit(5, 1, b"");
    let signed = node.vote(asked.clone()).await.unwrap();
    rig.verify(&vote_extension_sign_bytes(CHAIN, &asked), &signed.extension_signature);

    let nil = interlock_privval::Vote { block_id: Default::default(), ..precommit(6, 1, b"") };
    let signed = node.vote(nil.clone()).await.unwrap();
    rig.verify(&vote_sign_bytes(CHAIN, &nil), &signed.signature);
    assert!(signed.extension_signature.is_empty());
}

#[tokio::test]
async fn a_repeat_with_another_time_gives_the_same_bytes() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    let first = node.vote(prevote(5, 1)).await.unwrap();
    let mut later = prevote(5, 1);
    later.timestamp = Some(Timestamp { seconds: 1_700_000_009, nanos: 0 });
    let second = node.vote(later).await.unwrap();
    assert_eq!(first.timestamp, second.timestamp);
    assert_eq!(first.signature, second.signature);
    assert_eq!(rig.tap("alpha")[0]["sign_bytes"], rig.tap("alpha")[1]["sign_bytes"]);
}

#[tokio::test]
async fn a_double_sign_and_a_step_back_are_refused_by_the_second_veto() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    node.vote(prevote(6, 1)).await.unwrap();
    let asked_of_guard = rig.guard.shared.inner().asked.len();

    let error = node.vote(prevote(6, 2)).await.unwrap_err();
    assert!(error.starts_with("S7 local watermark: double sign"), "{error}");
    let error = node.vote(prevote(5, 1)).await.unwrap_err();
    assert!(error.starts_with("S7 local watermark: height 5 round 0 prevote is below"), "{error}");
    let error = node.proposal(proposal(6, 1)).await.unwrap_err();
    assert!(error.contains("is below height 6"), "{error}");
    assert_eq!(rig.guard.shared.inner().asked.len(), asked_of_guard, "the guard was not even asked");
    node.vote(prevote(7, 1)).await.unwrap();
}

#[tokio::test]
async fn the_guard_refuses_what_the_local_watermark_cannot_know() {
    let rig = Rig::new().await;
    let beta_node = Node::bind().await;
    let beta = rig.start("beta", &beta_node.address()).await;
    let (_alpha, mut alpha_node) = rig.start_holder("alpha").await;
    alpha_node.vote(precommit(5, 1, b"")).await.unwrap();

    rig.grant("beta", beta.holder().incarnation);
    let mut beta_node = beta_node;
    beta_node.accept().await;
    let error = beta_node.vote(precommit(5, 2, b"")).await.unwrap_err();
    assert!(error.starts_with("R11 NoConflict: double sign"), "{error}");
    let error = beta_node.vote(prevote(5, 2)).await.unwrap_err();
    assert!(error.starts_with("R10 NoRegression"), "{error}");
    // The denials were final, so neither of them left a mark.
    let repeat = beta_node.vote(precommit(5, 1, b"")).await.unwrap();
    assert_eq!(hex::encode(repeat.signature), rig.tap("alpha")[0]["signature"]);
    let error = beta_node.vote(prevote(FLOOR as i64, 1)).await.unwrap_err();
    assert!(error.starts_with("S7"), "{error}");
}

#[tokio::test]
async fn a_standby_holds_a_request_and_signs_it_on_a_grant() {
    let rig = Rig::new().await;
    let mut node = Node::bind().await;
    let beta = rig.start("beta", &node.address()).await;
    rig.grant("alpha", Incarnation([9; 16]));
    node.accept().await;
    let granting = async {
        // The request is on its way once the guard hears of it in a heartbeat.
        rig.guard
            .wait("the request", |inner| {
                let heard =
                    |keys: &[interlock_proto::v1::KeyHealth]| keys.iter().any(|key| key.asked.is_some());
                inner.sessions.values().any(|(_, keys)| heard(keys)).then_some(())
            })
            .await;
        rig.grant("beta", beta.holder().incarnation);
    };
    let (signed, ()) = tokio::join!(node.vote(prevote(5, 1)), granting);
    rig.verify(&vote_sign_bytes(CHAIN, &prevote(5, 1)), &signed.unwrap().signature);
}

#[tokio::test]
async fn a_standby_refuses_after_the_hold_and_names_the_holder() {
    let rig = Rig::new().await;
    let mut node = Node::bind().await;
    let mut config = rig.config("beta", &node.address());
    config.timing.hold_ms = 300;
    let _beta = rig.start_with("beta", &config).await;
    rig.grant("alpha", Incarnation([9; 16]));
    node.accept().await;
    let started = Instant::now();
    let error = node.vote(prevote(5, 1)).await.unwrap_err();
    assert!(error.starts_with("R4 HolderMatches: alpha/09090909 holds the lease of epoch 1"), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(rig.tap("beta").is_empty());
    assert!(rig.guard.shared.inner().asked.is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_never_signs_and_stays_in_force() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.script(1, Answer::Cut { commit: true });
    rig.guard.set_leader(None);
    let started = Instant::now();
    let error = node.vote(prevote(5, 1)).await.unwrap_err();
    assert!(error.contains("unknown"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(4_900), "answered before the node gives up");
    assert!(rig.tap("alpha").is_empty());

    rig.guard.set_leader(Some(1));
    let error = node.vote(prevote(5, 2)).await.unwrap_err();
    assert!(error.starts_with("S7 local watermark: double sign"), "{error}");
    node.vote(prevote(5, 1)).await.unwrap();
    assert_eq!(rig.tap("alpha").len(), 1);
}

#[tokio::test]
async fn a_denial_after_a_lost_attempt_keeps_the_mark() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.script(1, Answer::Cut { commit: false });
    rig.guard.script(2, Answer::Deny);
    let error = node.vote(prevote(6, 1)).await.unwrap_err();
    assert!(error.contains("an attempt was lost, then R10"), "{error}");
    let error = node.vote(prevote(6, 2)).await.unwrap_err();
    assert!(error.starts_with("S7 local watermark: double sign"), "{error}");
    node.vote(prevote(6, 1)).await.unwrap();
}

#[tokio::test]
async fn a_definite_denial_leaves_no_mark() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.script(1, Answer::Deny);
    let error = node.vote(prevote(6, 1)).await.unwrap_err();
    assert!(error.starts_with("R10 "), "{error}");
    node.vote(prevote(6, 2)).await.unwrap();
}

#[tokio::test]
async fn a_frozen_key_signs_nothing() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.freeze(rig.key_id);
    let error = node.vote(prevote(5, 1)).await.unwrap_err();
    assert!(error.starts_with("R3 KeyActive"), "{error}");
    assert!(rig.tap("alpha").is_empty());
}

#[tokio::test]
async fn an_unavailable_guard_refuses_and_leaves_no_mark() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    node.vote(prevote(5, 1)).await.unwrap();
    rig.guard.set_leader(None);
    let error = node.vote(prevote(6, 1)).await.unwrap_err();
    assert!(error.starts_with("the guard is not available"), "{error}");
    rig.guard.set_leader(Some(2));
    node.vote(prevote(6, 2)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_echo_signs_nothing() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.script(1, Answer::Change(|approved| approved.payload = vec![9; 32]));
    let error = node.vote(prevote(5, 1)).await.unwrap_err();
    assert!(error.contains("payload"), "{error}");
    assert!(rig.tap("alpha").is_empty());
}

#[tokio::test]
async fn a_paused_leader_costs_one_attempt_and_not_the_vote() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    rig.guard.script(1, Answer::Hang { commit: false });
    let voting = node.vote(prevote(5, 1));
    let electing = async {
        rig.guard.wait("the attempt", |inner| (!inner.asked.is_empty()).then_some(())).await;
        rig.guard.set_leader(Some(3));
    };
    let (signed, ()) = tokio::join!(voting, electing);
    signed.unwrap();
}

#[tokio::test]
async fn wrong_chains_and_malformed_requests_get_the_protocols_own_error() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    let request = PubKeyRequest { chain_id: "chain-2".to_owned() };
    let Message::PubKeyResponse(reply) = node.ask(Message::PubKeyRequest(request)).await else { panic!() };
    let error = reply.error.unwrap().description;
    assert!(error.contains("chain-2") && error.contains(CHAIN), "{error}");
    assert_eq!(reply.pub_key.kind, None);

    let request =
        interlock_privval::SignVoteRequest { vote: Some(prevote(5, 1)), chain_id: "chain-2".to_owned() };
    let Message::SignedVoteResponse(reply) = node.ask(Message::SignVoteRequest(request)).await else {
        panic!()
    };
    let error = reply.error.unwrap().description;
    assert!(error.contains("chain-2") && error.contains(CHAIN), "{error}");

    let mut wrong_step = prevote(5, 1);
    wrong_step.msg_type = 32;
    assert!(node.vote(wrong_step).await.unwrap_err().contains("type 32"));
    assert!(node.vote(prevote(-5, 1)).await.unwrap_err().contains("height -5"));
    let nothing = interlock_privval::SignVoteRequest { vote: None, chain_id: CHAIN.to_owned() };
    let Message::SignedVoteResponse(reply) = node.ask(Message::SignVoteRequest(nothing)).await else {
        panic!()
    };
    assert!(reply.error.is_some());
    assert!(rig.tap("alpha").is_empty());
    node.vote(prevote(5, 1)).await.unwrap();
}

#[tokio::test]
async fn pings_and_public_keys_are_answered_without_the_guard() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    (1..=3).for_each(|id| rig.guard.set_up(id, false));
    let started = Instant::now();
    let pong = node.ask(Message::PingRequest(PingRequest {})).await;
    assert!(matches!(pong, Message::PingResponse(_)));
    let request = PubKeyRequest { chain_id: CHAIN.to_owned() };
    let Message::PubKeyResponse(reply) = node.ask(Message::PubKeyRequest(request)).await else { panic!() };
    let public = rig.key.verifying_key().to_bytes().to_vec();
    assert_eq!(reply.pub_key.kind, Some(PublicKeyKind::Ed25519(public)));
    assert!(started.elapsed() < Duration::from_millis(3_000));
}
