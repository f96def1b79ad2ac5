//! A signer process as a node sees it, and what it asks for.

use super::{Cluster, eventually};
use interlock_core::cometbft::{CometbftClaim, CometbftIntent, Position, Step, Timestamp};
use interlock_core::{Claim, ClusterId, Digest, Intent, NodeName};
use interlock_proto::v1::approve_response::Outcome;
use interlock_proto::v1::guard_client::GuardClient;
use interlock_proto::v1::{session_event, session_request};
use interlock_proto::{claim_to_wire, intent_to_wire, not_committed_of, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

pub(crate) fn add_key_request() -> v1::AddKeyRequest {
    v1::AddKeyRequest {
        name: "val".into(),
        protocol: "cometbft".into(),
        chain_id: "test-chain".into(),
        public_key: vec![9; 32],
        signers: vec!["alpha".into(), "beta".into()],
        claim: Some(claim_to_wire(&Claim::Cometbft(CometbftClaim::floor(0)))),
        ..v1::AddKeyRequest::default()
    }
}

/// What a call gives once no node promises any more that nothing was committed: leaders may change at any time.
pub(crate) async fn committed<T>(
    mut call: impl AsyncFnMut() -> Result<tonic::Response<T>, tonic::Status>,
) -> T {
    let answer = eventually("a verdict", async || match call().await {
        Ok(response) => Some(Ok(response.into_inner())),
        Err(status) if not_committed_of(&status).is_some() => None,
        Err(status) => Some(Err(status)),
    });
    answer.await.unwrap()
}

pub(crate) async fn add_key(cluster: &Cluster) -> Vec<u8> {
    let response = committed(async || {
        let leader = cluster.leader().await;
        cluster.operator(leader).add_key(add_key_request()).await
    })
    .await;
    assert!(matches!(response.outcome, Some(v1::change_response::Outcome::Done(_))), "{response:?}");
    response.key_id
}

/// A signer process as a node sees it: a session with every running node, and its heartbeats.
pub(crate) struct Signer {
    pub(crate) name: &'static str,
    pub(crate) incarnation: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) sessions: Vec<(mpsc::Sender<v1::SessionRequest>, Streaming<v1::SessionEvent>)>,
}

impl Signer {
    pub(crate) async fn connect(cluster: &Cluster, name: &'static str, incarnation: u8, key: &[u8]) -> Self {
        let mut signer =
            Self { name, incarnation: vec![incarnation; 16], key: key.to_vec(), sessions: Vec::new() };
        for index in 0..cluster.nodes.len() {
            if cluster.nodes[index].is_some() {
                let session = signer.session(&mut cluster.signer(index, name), cluster.id).await.unwrap();
                signer.sessions.push(session);
            }
        }
        signer
    }

    pub(crate) async fn session(
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

    pub(crate) async fn heartbeat(&self, asked_height: u64) {
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
    pub(crate) async fn wait_for_lease(&mut self, asked_height: u64) -> u64 {
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

    pub(crate) async fn ask(
        &self,
        cluster: &Cluster,
        node: usize,
        epoch: u64,
        intent: &Intent,
    ) -> Result<tonic::Response<v1::ApproveResponse>, tonic::Status> {
        let request = v1::ApproveRequest {
            cluster_id: cluster.id.0.to_vec(),
            key_id: self.key.clone(),
            incarnation: self.incarnation.clone(),
            epoch,
            intent: Some(intent_to_wire(intent)),
        };
        cluster.signer(node, self.name).approve(request).await
    }

    pub(crate) async fn approve(&self, cluster: &Cluster, epoch: u64, intent: &Intent) -> Outcome {
        let answer = committed(async || self.ask(cluster, cluster.leader().await, epoch, intent).await);
        answer.await.outcome.unwrap()
    }
}

pub(crate) fn prevote(height: u64, payload: u8, seconds: i64) -> Intent {
    Intent::Cometbft(CometbftIntent {
        position: Position { height, round: 0, step: Step::Prevote },
        block: Some(Digest([payload; 32])),
        payload: Digest([payload; 32]),
        timestamp: Timestamp { seconds, nanos: 0 },
        node: NodeName::parse("node-a").unwrap(),
    })
}

pub(crate) fn denied_rule(outcome: &Outcome) -> u32 {
    let Outcome::Denied(denied) = outcome else { panic!("not denied: {outcome:?}") };
    denied.rule
}

pub(crate) fn approved(outcome: Outcome) -> v1::Approved {
    let Outcome::Approved(approved) = outcome else { panic!("not approved: {outcome:?}") };
    approved
}
