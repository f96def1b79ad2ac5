//! Three guard nodes, as their callers see them.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_core::ClusterId;
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::{Digest, Intent, NodeName};
use interlock_node::config::Storage;
use interlock_node::{StartError, format, start};
use interlock_proto::v1::approve_response::Outcome;
use interlock_proto::v1::guard_client::GuardClient;
use interlock_proto::v1::{get_key_request::Selector, session_event, session_request};
use interlock_proto::{Identity, Role, intent_to_wire, not_committed_of, v1};
use support::{Authority, Cluster, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

fn add_key_request() -> v1::AddKeyRequest {
    v1::AddKeyRequest {
        name: "val".into(),
        protocol: "cometbft".into(),
        chain_id: "test-chain".into(),
        public_key: vec![9; 32],
        signers: vec!["alpha".into(), "beta".into()],
        floor_height: 0,
        max_jump_heights: None,
        lock_rule: None,
    }
}

/// What a call gives once no node promises any more that nothing was committed: leaders may change at any time.
async fn committed<T>(mut call: impl AsyncFnMut() -> Result<tonic::Response<T>, tonic::Status>) -> T {
    let answer = eventually("a verdict", async || match call().await {
        Ok(response) => Some(Ok(response.into_inner())),
        Err(status) if not_committed_of(&status).is_some() => None,
        Err(status) => Some(Err(status)),
    });
    answer.await.unwrap()
}

async fn add_key(cluster: &Cluster) -> Vec<u8> {
    let response = committed(async || {
        let leader = cluster.leader().await;
        cluster.operator(leader).add_key(add_key_request()).await
    })
    .await;
    assert!(matches!(response.outcome, Some(v1::change_response::Outcome::Done(_))), "{response:?}");
    response.key_id
}

/// A signer process as a node sees it: a session with every running node, and its heartbeats.
struct Signer {
    name: &'static str,
    incarnation: Vec<u8>,
    key: Vec<u8>,
    sessions: Vec<(mpsc::Sender<v1::SessionRequest>, Streaming<v1::SessionEvent>)>,
}

impl Signer {
    async fn connect(cluster: &Cluster, name: &'static str, incarnation: u8, key: &[u8]) -> Self {
        let mut signer =
            Self { name, incarnation: vec![incarnation; 16], key: key.to_vec(), sessions: Vec::new() };
        for index in 0..3 {
            if cluster.nodes[index].is_some() {
                let session = signer.session(&mut cluster.signer(index, name), cluster.id).await.unwrap();
                signer.sessions.push(session);
            }
        }
        signer
    }

    async fn session(
        &self,
        guard: &mut GuardClient<Channel>,
        cluster: ClusterId,
    ) -> Result<(mpsc::Sender<v1::SessionRequest>, Streaming<v1::SessionEvent>), tonic::Status> {
        let (requests, stream) = mpsc::channel(16);
        let hello = v1::Hello {
            cluster_id: cluster.0.to_vec(),
            incarnation: self.incarnation.clone(),
            key_ids: vec![self.key.clone()],
        };
        let first = v1::SessionRequest { kind: Some(session_request::Kind::Hello(hello)) };
        requests.send(first).await.unwrap();
        let events = guard.session(ReceiverStream::new(stream)).await?.into_inner();
        Ok((requests, events))
    }

    async fn heartbeat(&self, asked_height: u64) {
        let asked = v1::CometbftPosition { height: asked_height, round: 0, step: v1::Step::Prevote.into() };
        let health = v1::KeyHealth {
            key_id: self.key.clone(),
            fit: true,
            node_connected: true,
            asked: Some(asked),
            signed: None,
        };
        let heartbeat = v1::Heartbeat { sequence: 1, keys: vec![health] };
        for (requests, _) in &self.sessions {
            let request =
                v1::SessionRequest { kind: Some(session_request::Kind::Heartbeat(heartbeat.clone())) };
            // A node that was stopped meanwhile needs no heartbeat.
            let _ = requests.send(request).await;
        }
    }

    /// Heartbeats until some node says that this process holds the lease; returns the epoch.
    async fn wait_for_lease(&mut self, asked_height: u64) -> u64 {
        eventually("a lease", async || {
            self.heartbeat(asked_height).await;
            for (_, events) in &mut self.sessions {
                let soon = std::time::Duration::from_millis(20);
                while let Ok(Ok(Some(event))) = tokio::time::timeout(soon, events.message()).await {
                    let Some(session_event::Kind::KeyUpdate(update)) = event.kind else { continue };
                    let lease = update.lease.unwrap();
                    if lease.holder.is_some_and(|holder| holder.incarnation == self.incarnation) {
                        return Some(lease.epoch);
                    }
                }
            }
            None
        })
        .await
    }

    async fn approve(&self, cluster: &Cluster, epoch: u64, intent: &Intent) -> Outcome {
        let request = v1::ApproveRequest {
            cluster_id: cluster.id.0.to_vec(),
            key_id: self.key.clone(),
            incarnation: self.incarnation.clone(),
            epoch,
            intent: Some(intent_to_wire(intent)),
        };
        let response = committed(async || {
            let leader = cluster.leader().await;
            cluster.signer(leader, self.name).approve(request.clone()).await
        });
        response.await.outcome.unwrap()
    }
}

fn prevote(height: u64, payload: u8, seconds: i64) -> Intent {
    Intent::Cometbft(CometbftIntent {
        position: Position { height, round: 0, step: Step::Prevote },
        block: Some(Digest([payload; 32])),
        payload: Digest([payload; 32]),
        timestamp: Timestamp { seconds, nanos: 0 },
        node: NodeName::parse("node-a").unwrap(),
    })
}

fn denied_rule(outcome: &Outcome) -> u32 {
    let Outcome::Denied(denied) = outcome else { panic!("not denied: {outcome:?}") };
    denied.rule
}

fn approved(outcome: Outcome) -> v1::Approved {
    let Outcome::Approved(approved) = outcome else { panic!("not approved: {outcome:?}") };
    approved
}

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
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 9);
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(4, 1, 100)).await), 8);
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
    assert_eq!(denied_rule(&beta.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 9);
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
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(5, 2, 100)).await), 9);
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
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(6, 3, 100)).await), 9);
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
    let stranger =
        Authority::new(&std::env::temp_dir().join(format!("interlock-stranger-{}", std::process::id())));
    let files = stranger.issue(&Identity::new("ops", Role::Operator).unwrap());
    let read = |path: &std::path::PathBuf| std::fs::read(path).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(read(&cluster.configs[leader].tls.ca)))
        .identity(tonic::transport::Identity::from_pem(read(&files.cert), read(&files.key)))
        .domain_name(Identity::node(leader as u64 + 1).dns_name());
    let uri = format!("https://{}", cluster.configs[leader].listen.clients);
    let channel =
        tonic::transport::Endpoint::from_shared(uri).unwrap().tls_config(tls).unwrap().connect_lazy();
    let mut of_another_authority = interlock_proto::v1::operator_client::OperatorClient::new(channel);
    of_another_authority.list_keys(v1::ListKeysRequest {}).await.unwrap_err();
    std::fs::remove_dir_all(files.ca.parent().unwrap()).unwrap();
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
    let vote_of =
        async |caller: Identity, cluster_id: ClusterId, node_id: u64, target: u64, founders: u64| {
            let sender = interlock_proto::raft::Sender {
                cluster_id: cluster_id.0.to_vec(),
                node_id,
                incarnation: vec![0; 16],
                target,
                founders,
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
        config.storage = Storage { snapshot_every_entries: 20, keep_entries: 5 };
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
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(100, 2, 100)).await), 9);
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
    std::fs::remove_dir_all(&cluster.configs[wiped].data_dir).unwrap();
    format(&cluster.configs[wiped], Some(cluster.id)).unwrap();
    cluster.start(wiped).await;
    approved(alpha.approve(&cluster, epoch, &prevote(6, 1, 100)).await);
    cluster.stop(other).await;
    let selector = Some(Selector::KeyId(key));
    for _ in 0..3 {
        let request = v1::GetKeyRequest { selector: selector.clone() };
        let of_leader = cluster.operator(leader).show_key(request.clone()).await.unwrap_err();
        assert!(not_committed_of(&of_leader).is_some(), "the wiped voter makes no majority: {of_leader:?}");
        cluster.operator(wiped).show_key(request).await.unwrap_err();
    }
    cluster.start(other).await;
    alpha.heartbeat(6).await;
    assert_eq!(denied_rule(&alpha.approve(&cluster, epoch, &prevote(6, 2, 100)).await), 9);
}
