//! The rules rise for the whole cluster, on the word of every voter and never without it.

#![allow(clippy::unwrap_used, dead_code)] // Helpers are test code too, and not all are used here.

mod support;

use interlock_proto::v1;
use interlock_proto::v1::change_response::Outcome;
use interlock_proto::v1::raise_rules_response::Outcome as Raised;
use support::signer::{add_key, committed};
use support::{Cluster, eventually};
use tonic::{Code, Status};

async fn raise(cluster: &Cluster) -> Result<v1::RulesInForce, Status> {
    let mut operator = cluster.operator(cluster.leader().await);
    match operator.raise_rules(v1::RaiseRulesRequest {}).await?.into_inner().outcome.unwrap() {
        Raised::InForce(rules) => Ok(rules),
        Raised::Denied(denied) => panic!("{denied:?}"),
    }
}

/// The rule that refused, or `None` when the window was allowed.
async fn allow_windows(cluster: &Cluster, key: &[u8]) -> Option<u32> {
    let mut operator = cluster.operator(cluster.leader().await);
    let policy = v1::Policy { max_jump_heights: Some(100), lock_rule: Some(true), window_heights: Some(4) };
    let request = v1::SetPolicyRequest {
        key_id: key.to_vec(),
        expected_version: 1,
        policy: Some(policy),
        reason: "windows".into(),
    };
    let answer = committed(async || operator.set_policy(request.clone()).await).await;
    match answer.outcome.unwrap() {
        Outcome::Done(_) => None,
        Outcome::Denied(denied) => Some(denied.rule),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_raised_when_every_voter_knows_them_and_not_before() {
    let mut cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    assert_eq!(allow_windows(&cluster, &key).await, Some(41), "windows need rules of version 2");
    let follower = (cluster.leader().await + 1) % 3;
    cluster.stop(follower).await;
    let refused = eventually("an answer of a leader", async || match raise(&cluster).await {
        Err(status) if status.code() == Code::FailedPrecondition => Some(status),
        Err(_) => None,
        Ok(rules) => panic!("raised without node {}: {rules:?}", follower + 1),
    })
    .await;
    let name = format!("node {} did not say which rules it knows", follower + 1);
    assert!(refused.message().contains(&name), "{refused}");
    assert_eq!(allow_windows(&cluster, &key).await, Some(41), "nothing was raised");

    cluster.start(follower).await;
    let raised = eventually("the rules of version 2", async || raise(&cluster).await.ok()).await;
    assert_eq!(raised.rules, 2);
    let again = eventually("an answer", async || raise(&cluster).await.ok()).await;
    assert_eq!(again, v1::RulesInForce { rules: 2, already: true });
    assert_eq!(allow_windows(&cluster, &key).await, None);
}
