//! Three guard nodes, as their callers see them.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_core::ClusterId;
use interlock_node::config::Storage;
use interlock_node::{StartError, format, start};
use interlock_proto::v1::get_key_request::Selector;
use interlock_proto::{Identity, Role, not_committed_of, v1};
use support::signer::{Signer, add_key, add_key_request, approved, committed, denied_rule, prevote};
use support::{Authority, Cluster, eventually, remove_data};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_are_given_once_repeated_and_refused_by_rule() {
    let cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    let first = approved(alpha.approve(&cluster, epoch, &prevote(5, 1, 100)).await);
    assert!(!first.repeat);
    let again = approved(alpha.approve(&cluster, epoch, &prevote(5, 1, 200)).await);
    assert!(again.repeat);
    assert_eq!(again.timestamp.unwrap().seconds, 100, "a repeat carries the recorded timestamp");
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 11);
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(4, 1, 100)).await), 10);
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch + 1, &prevote(6, 1, 100)).await), 5);
    let beta = Signer::connect(&cluster, "beta", 2, &key).await;
    assert_eq!(denied_rule(&beta.approve(&cluster, epoch, &prevote(6, 1, 100)).await), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_signer_is_replaced_and_its_watermark_binds_the_successor() {
    let cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let first_epoch = alpha.wait_for_lease(1).await;
    approved(alpha.approve(&cluster, first_epoch, &prevote(5, 1, 100)).await);
    let mut beta = Signer::connect(&cluster, "beta", 2, &key).await;
    beta.heartbeat(5).await;
    let ghost = Signer {
        sessions: Vec::new(),
        key: key.clone(),
        ..Signer::connect(&cluster, "alpha", 1, &key).await
    };
    drop(alpha);
    let epoch = beta.wait_for_lease(5).await;
    assert!(epoch > first_epoch);
    assert_eq!(denied_rule(&beta.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 11);
    assert!(approved(beta.approve(&cluster, epoch, &prevote(5, 1, 300)).await).repeat);
    assert_eq!(denied_rule(&ghost.approve(&cluster, first_epoch, &prevote(6, 1, 100)).await), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_survives_the_leader_and_a_restart_of_all() {
    let mut cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    approved(alpha.approve(&cluster, epoch, &prevote(5, 1, 100)).await);
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    alpha.heartbeat(5).await;
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 11);
    approved(alpha.approve(&cluster, epoch, &prevote(6, 1, 100)).await);
    drop(alpha);
    for index in (0..3).filter(|index| *index != leader) {
        cluster.stop(index).await;
    }
    for index in 0..3 {
        cluster.start(index).await;
    }
    let mut alpha = Signer::connect(&cluster, "alpha", 2, &key).await;
    let epoch = alpha.wait_for_lease(6).await;
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(6, 3, 100)).await), 11);
    approved(alpha.approve(&cluster, epoch, &prevote(7, 1, 100)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_promises_that_nothing_was_committed_and_names_the_leader() {
    let cluster = Cluster::running().await;
    // A leader may change between two calls; then the question is asked again.
    eventually("a follower that names the leader", async || {
        let leader = cluster.leader().await;
        let status = cluster.operator((leader + 1) % 3).add_key(add_key_request()).await.err()?;
        let promise = not_committed_of(&status)?;
        (promise.leader == Some(leader as u64 + 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_commits_nothing_and_grants_nothing() {
    let mut cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let leader = cluster.leader().await;
    for index in (0..3).filter(|index| *index != leader) {
        cluster.stop(index).await;
    }
    let selector = Some(Selector::KeyId(key));
    let status = cluster.operator(leader).show_key(v1::GetKeyRequest { selector }).await.unwrap_err();
    assert!(not_committed_of(&status).is_some(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_enforced() {
    let cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let leader = cluster.leader().await;
    let mut as_signer = interlock_proto::v1::operator_client::OperatorClient::new(
        cluster.channel(leader, &Identity::new("alpha", Role::Signer).unwrap()),
    );
    assert_eq!(as_signer.add_key(add_key_request()).await.unwrap_err().code(), Code::PermissionDenied);
    let mut as_viewer = interlock_proto::v1::operator_client::OperatorClient::new(
        cluster.channel(leader, &Identity::new("eve", Role::Viewer).unwrap()),
    );
    committed(async || {
        let viewer = cluster.channel(cluster.leader().await, &Identity::new("eve", Role::Viewer).unwrap());
        interlock_proto::v1::operator_client::OperatorClient::new(viewer)
            .list_keys(v1::ListKeysRequest {})
            .await
    })
    .await;
    assert_eq!(as_viewer.add_key(add_key_request()).await.unwrap_err().code(), Code::PermissionDenied);
    let selector = Some(Selector::KeyId(key.clone()));
    let status = eventually("a refusal", async || {
        let leader = cluster.leader().await;
        let request = v1::GetKeyRequest { selector: selector.clone() };
        let status = cluster.signer(leader, "gamma").get_key(request).await.unwrap_err();
        not_committed_of(&status).is_none().then_some(status)
    });
    assert_eq!(status.await.code(), Code::PermissionDenied, "a signer sees only its own keys");
    let gamma = Signer { name: "gamma", incarnation: vec![3; 16], key, sessions: Vec::new() };
    let status = eventually("a refusal", async || {
        // A leader of a moment ago may not have applied yet that the key exists; then the rule book answers.
        let status = gamma.ask(&cluster, cluster.leader().await, 1, &prevote(1, 1, 100)).await.err()?;
        not_committed_of(&status).is_none().then_some(status)
    });
    assert_eq!(status.await.code(), Code::PermissionDenied, "a signer asks for its own keys only");
    let stranger = tempfile::TempDir::new().unwrap();
    let files = Authority::new(stranger.path()).issue(&Identity::new("ops", Role::Operator).unwrap());
    let channel = cluster.channel_with(leader, cluster.configs[leader].listen.clients, &files);
    let mut of_another_authority = interlock_proto::v1::operator_client::OperatorClient::new(channel);
    let status = of_another_authority.node_status(v1::NodeStatusRequest {}).await.unwrap_err();
    let refused_by_tls = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
    assert!(refused_by_tls, "TLS itself closes the connection, before any answer: {status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_for_another_cluster_is_refused() {
    let cluster = Cluster::running().await;
    let signer = Signer { name: "alpha", incarnation: vec![1; 16], key: vec![1; 32], sessions: Vec::new() };
    let status = signer.session(&mut cluster.signer(0, "alpha"), ClusterId([0; 16])).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains(&cluster.id.to_string()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_moves_a_lease_and_hears_why_not() {
    let cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    let request = |to: &str| v1::FailoverRequest {
        name: "val".into(),
        to: Some(to.into()),
        force: false,
        reason: "drill".into(),
    };
    let refused = async |request: v1::FailoverRequest| {
        eventually("a refusal", async || {
            alpha.heartbeat(1).await;
            let leader = cluster.leader().await;
            let status = cluster.operator(leader).failover(request.clone()).await.unwrap_err();
            not_committed_of(&status).is_none().then(|| status.message().to_owned())
        })
        .await
    };
    assert!(refused(request("gamma")).await.contains("not registered"));
    assert!(refused(request("beta")).await.contains("not connected"));
    assert!(refused(request("alpha")).await.contains("holds the lease already"));
    assert!(refused(v1::FailoverRequest { reason: " ".into(), ..request("beta") }).await.contains("reason"));
    let idle = Signer::connect(&cluster, "beta", 9, &[0; 32]).await;
    let forced = v1::FailoverRequest { force: true, ..request("beta") };
    assert!(
        refused(forced).await.contains("not connected with this key"),
        "force needs a process that has the key"
    );
    drop(idle);
    let beta = Signer::connect(&cluster, "beta", 2, &key).await;
    let granted = eventually("a healthy beta", async || {
        alpha.heartbeat(1).await;
        beta.heartbeat(1).await;
        let leader = cluster.leader().await;
        let response = cluster.operator(leader).failover(request("beta")).await.ok()?.into_inner();
        Some(response.outcome.unwrap())
    })
    .await;
    let v1::failover_response::Outcome::Lease(lease) = granted else { panic!("{granted:?}") };
    assert_eq!((lease.holder.unwrap().signer, lease.epoch > epoch), ("beta".to_owned(), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_directories_are_not_mixed_up() {
    let mut cluster = Cluster::formatted();
    let again = format(&cluster.configs[0], Some(cluster.id)).unwrap_err().to_string();
    assert!(again.contains(&cluster.configs[0].data_dir.display().to_string()), "{again}");
    cluster.start(0).await;
    let Err(second) = start(cluster.configs[0].clone()).await else {
        panic!("two processes on one directory")
    };
    assert!(matches!(second, StartError::Open(_)), "{second}");
    let mut of_another_node = cluster.configs[1].clone();
    of_another_node.data_dir = cluster.configs[2].data_dir.clone();
    let Err(wrong) = start(of_another_node).await else { panic!("a directory of another node") };
    assert!(matches!(wrong, StartError::Open(_)), "{wrong}");
    let mut never_formatted = cluster.configs[1].clone();
    never_formatted.data_dir = cluster.configs[1].data_dir.join("nowhere");
    let Err(missing) = start(never_formatted).await else { panic!("started without state") };
    assert!(missing.to_string().contains("format"), "{missing}");
    let mut of_another_cluster = cluster.configs[1].clone();
    of_another_cluster.cluster_id = Some(ClusterId([1; 16]).to_string());
    let Err(other) = start(of_another_cluster).await else { panic!("started on another cluster's data") };
    assert!(other.to_string().contains(&cluster.id.to_string()), "{other}");
    let mut foreign_certificate = cluster.configs[1].clone();
    foreign_certificate.tls = cluster.configs[2].tls.clone();
    let Err(foreign) = start(foreign_certificate).await else {
        panic!("started under another's certificate")
    };
    assert!(foreign.to_string().contains("node 3"), "{foreign}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_must_be_a_node_of_this_cluster_and_who_it_says() {
    use interlock_proto::raft::raft_client::RaftClient;
    let cluster = Cluster::running().await;
    let founders = interlock_node::founders_digest([1, 2, 3]);
    let presence = interlock_proto::raft::Presence {
        incarnation: vec![0; 16],
        run: 1,
        opened: Some(interlock_proto::raft::Mark::default()),
        flushed: Some(interlock_proto::raft::Mark::default()),
    };
    let vote_of =
        async |caller: Identity, cluster_id: ClusterId, node_id: u64, target: u64, founders: u64| {
            let sender = interlock_proto::raft::Sender {
                cluster_id: cluster_id.0.to_vec(),
                node_id,
                target,
                founders,
                presence: Some(presence.clone()),
                refusal: None,
            };
            let vote = interlock_proto::raft::Vote { term: 1_000_000, node_id, committed: false };
            let request = interlock_proto::raft::VoteRequest {
                sender: Some(sender),
                vote: Some(vote),
                last_log: None,
                leadership_transfer: false,
            };
            RaftClient::new(cluster.peer_channel(0, &caller)).vote(request).await.unwrap_err()
        };
    let vote = async |caller, cluster_id, node_id, target| {
        vote_of(caller, cluster_id, node_id, target, founders).await
    };
    let node_2 = Identity::node(2);
    let other_cluster = vote(node_2.clone(), ClusterId([1; 16]), 2, 1).await;
    assert_eq!(other_cluster.code(), Code::FailedPrecondition, "{other_cluster:?}");
    let other_target = vote(node_2.clone(), cluster.id, 2, 3).await;
    assert_eq!(other_target.code(), Code::FailedPrecondition, "{other_target:?}");
    let other_sender = vote(node_2, cluster.id, 3, 1).await;
    assert_eq!(other_sender.code(), Code::PermissionDenied, "{other_sender:?}");
    let other_founders = vote_of(Identity::node(2), cluster.id, 2, 1, founders + 1).await;
    assert!(other_founders.message().contains("founding members"), "{other_founders:?}");
    cluster.leader().await;
    let other_data = vote(Identity::node(2), cluster.id, 2, 1).await;
    assert!(other_data.message().contains("lost its data"), "{other_data:?}");
    let no_node = vote(Identity::new("alpha", Role::Signer).unwrap(), cluster.id, 2, 1).await;
    assert_eq!(no_node.code(), Code::PermissionDenied, "{no_node:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_what_the_log_no_longer_holds_catches_up_by_snapshot() {
    let mut cluster = Cluster::formatted();
    for config in &mut cluster.configs {
        config.storage = Storage { snapshot_every_entries: 20, keep_entries: 5, ..Storage::default() };
    }
    for index in 0..3 {
        cluster.start(index).await;
    }
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    let behind = (cluster.leader().await + 1) % 3;
    let status = async |cluster: &Cluster, index: usize| {
        cluster.operator(index).node_status(v1::NodeStatusRequest {}).await.unwrap().into_inner()
    };
    let applied_before = status(&cluster, behind).await.applied_index;
    cluster.stop(behind).await;
    for height in 2..=100 {
        alpha.heartbeat(height).await;
        approved(alpha.approve(&cluster, epoch, &prevote(height, 1, 100)).await);
    }
    cluster.start(behind).await;
    eventually("the same state on all nodes", async || {
        let leader = status(&cluster, cluster.leader().await).await;
        let caught_up = status(&cluster, behind).await;
        (caught_up.applied_index > applied_before + 90 && caught_up.audit_chain == leader.audit_chain)
            .then_some(())
    })
    .await;
    let request = v1::AuditTailRequest { count: 1000, key_id: None };
    let records = cluster.operator(behind).audit_tail(request).await.unwrap().into_inner().records;
    assert!(
        !records.iter().any(|record| record.log_index == applied_before + 10),
        "what a snapshot brought was not applied entry by entry"
    );
    cluster.stop(behind).await;
    cluster.start(behind).await;
    cluster.stop((behind + 1) % 3).await;
    alpha.heartbeat(100).await;
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(100, 2, 100)).await), 11);
}

/// A voter that lost its disk and was formatted again under its old id could elect a leader that never heard of an
/// acknowledged approval. Neither its votes nor its acknowledgements count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_that_is_formatted_again_under_its_old_id_counts_for_nothing() {
    let mut cluster = Cluster::running().await;
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    approved(alpha.approve(&cluster, epoch, &prevote(5, 1, 100)).await);
    let leader = cluster.leader().await;
    let (wiped, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.stop(wiped).await;
    remove_data(&cluster.configs[wiped].data_dir).await;
    format(&cluster.configs[wiped], Some(cluster.id)).unwrap();
    cluster.start(wiped).await;
    let reason = cluster.refused(wiped).await;
    assert!(reason.contains("lost its data"), "{reason}");
    approved(alpha.approve(&cluster, epoch, &prevote(6, 1, 100)).await);
    cluster.start(wiped).await;
    cluster.stop(other).await;
    let selector = Some(Selector::KeyId(key));
    for _ in 0..3 {
        let request = v1::GetKeyRequest { selector: selector.clone() };
        let of_leader = cluster.operator(leader).show_key(request.clone()).await.unwrap_err();
        assert!(not_committed_of(&of_leader).is_some(), "the wiped voter makes no majority: {of_leader:?}");
        cluster.operator(wiped).show_key(request).await.unwrap_err();
    }
    cluster.refused(wiped).await;
    cluster.start(other).await;
    alpha.heartbeat(6).await;
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(6, 2, 100)).await), 11);
}
