//! The toy chain against signers that are honest, dishonest, silent or wrong.

#![allow(clippy::unwrap_used, reason = "a test whose set-up fails must fail there")]

mod support;

use ed25519_dalek::SigningKey;
use interlock_privval::{Address, decode_canonical_vote};
use interlock_toychain::{
    Chain, ChainConfig, DoubleSignError, DoubleSignOutcome, Event, NodeError, StartError, Step,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{
    Behaviour, DEADLINE, TestSigner, begin_with, patient_config, validator_key, wait_for, wait_past,
};

#[tokio::test]
async fn two_nodes_with_one_validator_and_signers_that_coordinate() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = patient_config(2);
    config.listen[1] = Address::Unix { path: directory.path().join("node-b.sock") };
    let memory = Behaviour::honest();
    let (chain, _signers) = begin_with(config, &[memory.clone(), memory]).await;
    let mut events = chain.events();
    for wanted in [0, 1] {
        let got_one =
            |event: &Event| matches!(event, Event::Signed { node, .. } if *node == wanted).then_some(());
        wait_for(&mut events, got_one).await;
    }
    wait_past(&mut events, 12).await;
    let records = chain.signatures();
    let report = chain.stop().await;

    assert!(report.heights >= 12 && report.signed == report.heights, "{report:?}");
    assert_eq!((report.missed, report.invalid, report.conflicts.len()), (0, 0, 0));
    assert!(report.signatures as usize >= records.len() && records.len() >= 2 * 12);
    let proposed: Vec<i64> =
        records.iter().filter(|record| record.step == Step::Proposal).map(|record| record.height).collect();
    assert!([4, 8, 12].iter().all(|height| proposed.contains(height)), "{proposed:?}");
    // The second node to ask gets the first one's signature, with the first one's time.
    let mut times = BTreeMap::new();
    for record in records.iter().filter(|record| record.step != Step::Proposal) {
        let vote = decode_canonical_vote(&record.sign_bytes).unwrap();
        assert_eq!(vote.chain_id, "toy-1");
        let first = times.entry((vote.height, vote.msg_type)).or_insert(vote.timestamp);
        assert_eq!(*first, vote.timestamp);
    }
}

#[tokio::test]
async fn two_signers_that_do_not_coordinate_are_caught() {
    let (chain, _signers) = begin_with(patient_config(2), &[Behaviour::honest(), Behaviour::honest()]).await;
    let mut events = chain.events();
    // Votes of one height name one block; it is the two proposals with different times that conflict.
    let (height, step) = wait_for(&mut events, |event| match event {
        Event::Conflict { height, step } => Some((*height, *step)),
        _ => None,
    })
    .await;
    assert_eq!((height % 4, step), (0, Step::Proposal));
    let report = chain.stop().await;
    let conflict = &report.conflicts[0];
    assert_ne!(conflict.first.node, conflict.second.node);
    assert_ne!(conflict.first.sign_bytes, conflict.second.sign_bytes);
}

#[tokio::test]
async fn an_attempted_double_sign_is_refused_by_an_honest_signer() {
    let memory = Behaviour::honest();
    let (chain, _signers) = begin_with(patient_config(2), &[memory.clone(), memory]).await;
    wait_past(&mut chain.events(), 2).await;
    for node in [0, 1] {
        let outcome = chain.attempt_double_sign(node).await.unwrap();
        let DoubleSignOutcome::Refused { description, .. } = outcome else { panic!("signed: {outcome:?}") };
        assert!(description.contains("conflict") || description.contains("regression"), "{description}");
    }
    let report = chain.stop().await;
    assert_eq!((report.refused_double_signs, report.conflicts.len()), (2, 0));
}

#[tokio::test]
async fn an_attempted_double_sign_that_succeeds_is_a_conflict() {
    let (chain, _signers) = begin_with(patient_config(1), &[Behaviour::SignsAnything]).await;
    let mut events = chain.events();
    wait_past(&mut events, 2).await;
    let outcome = chain.attempt_double_sign(0).await.unwrap();
    let DoubleSignOutcome::Signed { height, step } = outcome else { panic!("refused: {outcome:?}") };
    wait_for(&mut events, |event| (*event == Event::Conflict { height, step }).then_some(())).await;
    let report = chain.stop().await;
    assert_eq!((report.conflicts.len(), report.refused_double_signs), (1, 0));
    let conflict = &report.conflicts[0];
    let (first, second) = (&conflict.first.sign_bytes, &conflict.second.sign_bytes);
    assert_ne!(
        decode_canonical_vote(first).unwrap().block_id,
        decode_canonical_vote(second).unwrap().block_id
    );
}

#[tokio::test]
async fn before_anything_is_signed_there_is_nothing_to_conflict_with() {
    let chain = Chain::start(patient_config(1)).await.unwrap();
    let _signer = TestSigner::spawn(&chain.addresses()[0], Behaviour::honest());
    chain.wait_until_connected(DEADLINE).await.unwrap();
    assert!(matches!(chain.attempt_double_sign(0).await, Err(DoubleSignError::NothingSigned)));
}

#[tokio::test]
async fn a_refusal_is_final_for_its_step_and_the_chain_goes_on() {
    let mut config = patient_config(1);
    config.precommit_wait_ms = 0;
    let (chain, signers) = begin_with(config, &[Behaviour::Refuses]).await;
    let mut events = chain.events();
    let description = wait_for(&mut events, |event| match event {
        Event::Refused { description, .. } => Some(description.clone()),
        _ => None,
    })
    .await;
    assert!(description.contains("R7"));
    wait_past(&mut events, 6).await;
    let report = chain.stop().await;
    assert_eq!((report.signed, report.signatures), (0, 0));
    assert!(report.missed >= 6 && report.refused >= 1);
    let mut asked = signers[0].seen.borrow().asked.clone();
    let total = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), total, "no step is asked for twice");
}

#[tokio::test]
async fn a_silent_signer_costs_its_heights_and_its_connection() {
    let mut config = patient_config(1);
    config.precommit_wait_ms = 0;
    config.answer_timeout_ms = 50;
    let (chain, signers) = begin_with(config, &[Behaviour::Stalls]).await;
    let mut events = chain.events();
    let reason = wait_for(&mut events, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert!(reason.contains("no answer within 50 ms"), "{reason}");
    wait_for(&mut events, |event| matches!(event, Event::HeightMissed { .. }).then_some(())).await;
    wait_for(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    assert!(signers[0].seen.borrow().connections >= 2);
    assert_eq!(chain.stop().await.signatures, 0);
}

#[tokio::test]
async fn a_step_that_got_no_answer_is_asked_for_again() {
    let mut config = patient_config(1);
    config.answer_timeout_ms = 1_000;
    let chain = Chain::start(config).await.unwrap();
    let mut events = chain.events();
    let signer = TestSigner::spawn(&chain.addresses()[0], Behaviour::StallsOnce(Arc::default()));
    chain.wait_until_connected(DEADLINE).await.unwrap();
    chain.begin().await;
    wait_past(&mut events, 1).await;
    let asked = signer.seen.borrow().asked.clone();
    assert_eq!(asked[..3], [(1, 1), (1, 1), (1, 2)], "prevote unanswered, prevote again, precommit");
    assert_eq!(chain.stop().await.missed, 0);
}

#[tokio::test]
async fn a_signer_with_another_key_is_sent_away() {
    let chain = Chain::start(patient_config(1)).await.unwrap();
    let mut events = chain.events();
    let stranger = SigningKey::from_bytes(&[66; 32]);
    let signer = TestSigner::spawn_with_key(&chain.addresses()[0], Behaviour::honest(), stranger);
    wait_for(&mut events, |event| matches!(event, Event::WrongKey { node: 0, .. }).then_some(())).await;
    let error = chain.wait_until_connected(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.nodes, [0]);
    drop(signer);
    let _right = TestSigner::spawn(&chain.addresses()[0], Behaviour::honest());
    chain.wait_until_connected(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn unusable_answers_are_counted_and_never_as_signatures() {
    for (behaviour, step, words) in [
        (Behaviour::SignsGarbage, Step::Prevote, "does not verify"),
        (Behaviour::ForgetsExtensions, Step::Precommit, "without extension signature"),
    ] {
        let mut config = patient_config(1);
        config.precommit_wait_ms = 0;
        let chain = Chain::start(config).await.unwrap();
        let mut events = chain.events();
        let _signer = TestSigner::spawn(&chain.addresses()[0], behaviour);
        chain.wait_until_connected(DEADLINE).await.unwrap();
        chain.begin().await;
        let reason = wait_for(&mut events, |event| match event {
            Event::Invalid { step: found, reason, .. } if *found == step => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert!(reason.contains(words), "{reason}");
        assert!(chain.signatures().iter().all(|record| record.step != step));
        let report = chain.stop().await;
        assert!(report.invalid >= 1 && report.signed == 0, "{report:?}");
    }
}

#[tokio::test]
async fn a_killed_node_asks_no_more_and_the_other_goes_on() {
    let memory = Behaviour::honest();
    let (chain, signers) = begin_with(patient_config(2), &[memory.clone(), memory]).await;
    let mut events = chain.events();
    wait_past(&mut events, 2).await;
    let killed_at = Instant::now();
    chain.stop_node(0).await.unwrap();
    let killed_height = chain.height();
    let next = chain.first_signature_elsewhere(0, killed_at, DEADLINE).await.unwrap();
    assert!(next.node == 1 && next.at > killed_at);
    wait_past(&mut events, chain.height() + 3).await;
    assert!(signers[0].seen.borrow().asked.iter().all(|(height, _)| *height <= killed_height));
    assert!(matches!(chain.stop_node(0).await, Err(NodeError::Stopped { node: 0 })));
    assert!(matches!(chain.drop_connection(0).await, Err(NodeError::Stopped { node: 0 })));
    assert!(matches!(chain.start_node(1).await, Err(NodeError::Running { node: 1 })));
    assert!(matches!(chain.start_node(5).await, Err(NodeError::NoSuchNode { node: 5, count: 2 })));

    chain.start_node(0).await.unwrap();
    chain.wait_until_connected(DEADLINE).await.unwrap();
    let back_at = Instant::now();
    let from_zero = chain.first_signature_elsewhere(1, back_at, DEADLINE).await.unwrap();
    assert_eq!(from_zero.node, 0);
    assert_eq!(chain.last_signature(0).unwrap().node, 0);
    let report = chain.stop().await;
    assert_eq!((report.missed, report.conflicts.len()), (0, 0));
}

#[tokio::test]
async fn a_cut_connection_is_dialed_again_and_no_height_is_lost() {
    let (chain, signers) = begin_with(patient_config(1), &[Behaviour::honest()]).await;
    let mut events = chain.events();
    for _ in 0..3 {
        chain.drop_connection(0).await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
        wait_for(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    }
    wait_past(&mut events, chain.height() + 2).await;
    assert!(signers[0].seen.borrow().connections >= 4);
    let report = chain.stop().await;
    assert_eq!((report.missed, report.conflicts.len()), (0, 0));
}

#[tokio::test]
async fn an_idle_node_pings() {
    let mut config = patient_config(1);
    config.ping_interval_ms = 5;
    let chain = Chain::start(config).await.unwrap();
    let mut signer = TestSigner::spawn(&chain.addresses()[0], Behaviour::honest());
    let pinged = signer.seen.wait_for(|seen| seen.pings >= 3);
    tokio::time::timeout(DEADLINE, pinged).await.unwrap().unwrap();
    assert_eq!(chain.report().heights, 0, "no height passes before it is told to");
}

#[tokio::test]
async fn configurations_that_cannot_work() {
    let none = ChainConfig::new("toy-1", validator_key().verifying_key(), Vec::new());
    assert!(matches!(Chain::start(none).await, Err(StartError::NoNodes)));
    let mut no_time = patient_config(1);
    no_time.block_interval_ms = 0;
    assert!(matches!(Chain::start(no_time).await, Err(StartError::NoBlockInterval)));
    let mut nowhere = patient_config(1);
    nowhere.listen = vec!["unix:///nonexistent/node.sock".parse().unwrap()];
    assert!(matches!(Chain::start(nowhere).await, Err(StartError::Bind(_))));
}

#[tokio::test]
async fn a_paused_chain_stands_and_goes_on() {
    let (chain, _signers) = begin_with(patient_config(1), &[Behaviour::honest()]).await;
    wait_past(&mut chain.events(), 2).await;
    chain.pause().await;
    let standing_at = chain.height();
    let mut events = chain.events();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(chain.height(), standing_at);
    assert!(events.try_recv().is_err(), "nothing happens while it stands");
    chain.resume();
    wait_past(&mut events, standing_at).await;
    assert!(chain.stop().await.heights > 2);
}

/// On one thread the clock sees nothing of the resume between the two pauses.
#[tokio::test]
async fn a_pause_right_after_a_resume_returns() {
    let (chain, _signers) = begin_with(patient_config(1), &[Behaviour::honest()]).await;
    wait_past(&mut chain.events(), 1).await;
    chain.pause().await;
    chain.resume();
    tokio::time::timeout(DEADLINE, chain.pause()).await.expect("the chain stands already");
    let mut events = chain.events();
    chain.resume();
    wait_past(&mut events, chain.height()).await;
}

#[tokio::test]
async fn pausing_a_chain_that_did_not_begin_returns() {
    let config = patient_config(1);
    let chain = Chain::start(config).await.unwrap();
    tokio::time::timeout(DEADLINE, chain.pause()).await.unwrap();
}
