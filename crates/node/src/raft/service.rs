//! The answering side. Every request is checked before openraft sees it: the certificate is a node's, the cluster is
//! ours, the target is us, the sender is who its certificate says, and it still has its data.

use crate::caller::caller;
use crate::divergence::Heard;
use crate::raft::peers::Peers;
use crate::raft::{JOINED_LATER, snapshot_in, wire};
use interlock_core::ClusterId;
use interlock_core::book::RULES_NEWEST;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_server::Raft;
use interlock_proto::{Role, cluster_id};
use interlock_store::{SnapshotInbox, StateHandle, StateMachine, TypeConfig, codec};
use openraft::errors::RaftError;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves the consensus RPCs.
pub(crate) struct PeerService {
    raft: openraft::Raft<TypeConfig, StateMachine>,
    peers: Arc<Peers>,
    state: StateHandle,
    heard: Heard,
    inbox: SnapshotInbox,
}

impl PeerService {
    pub(crate) fn new(
        raft: openraft::Raft<TypeConfig, StateMachine>,
        peers: Arc<Peers>,
        state: StateHandle,
        heard: Heard,
        inbox: SnapshotInbox,
    ) -> Self {
        Self { raft, peers, state, heard, inbox }
    }

    /// For everything that consensus answers: the sender is listened to, and this node may take part.
    fn check(&self, owner: u64, sender: Option<&proto::Sender>) -> Result<(), Status> {
        self.check_sender(owner, sender)?;
        self.peers.admission.check()
    }

    fn check_sender(&self, owner: u64, sender: Option<&proto::Sender>) -> Result<(), Status> {
        let local = &self.peers.local;
        let sender = sender.ok_or_else(|| Status::invalid_argument("field sender is missing"))?;
        let cluster: ClusterId =
            cluster_id(&sender.cluster_id).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if cluster != local.cluster {
            let ours = local.cluster;
            return Err(Status::failed_precondition(format!(
                "this node belongs to cluster {ours}, the sender to {cluster}"
            )));
        }
        let founders = [sender.founders, local.founders];
        if founders[0] != founders[1] && !founders.contains(&JOINED_LATER) {
            return Err(Status::failed_precondition(format!(
                "node {owner} was formatted with other founding members than this node: format it anew, under a new \
                 id, with the members that this cluster was founded with"
            )));
        }
        if sender.target != local.node_id {
            let (target, ours) = (sender.target, local.node_id);
            return Err(Status::failed_precondition(format!(
                "this is node {ours}, the request is for {target}"
            )));
        }
        if sender.node_id != owner {
            let claimed = sender.node_id;
            return Err(Status::permission_denied(format!(
                "the certificate is of node {owner}, the request claims to come from {claimed}"
            )));
        }
        self.peers.hear(owner, sender.presence.as_ref())?;
        self.peers.obey(sender.refusal.as_ref())
    }
}

fn calling_node<T>(request: &Request<T>) -> Result<u64, Status> {
    let owner = caller(request, &[Role::Node])?;
    owner.node_id().ok_or_else(|| Status::unauthenticated(format!("{owner} has no node id")))
}

fn fatal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("consensus has stopped: {error}"))
}

fn raft_error(error: &RaftError<TypeConfig>) -> Status {
    fatal(error)
}

#[tonic::async_trait]
impl Raft for PeerService {
    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        self.peers.learn(&request.get_ref().peers)?;
        let parsed = wire::append_from_wire(request.into_inner())?;
        let response = self.raft.append_entries(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::append_response_to_wire(self.peers.presence(), &response)))
    }

    async fn vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let parsed = wire::vote_request_from_wire(request.into_inner())?;
        let response = self.raft.vote(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::vote_response_to_wire(self.peers.presence(), &response)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let parsed = wire::vote_request_from_wire(request.into_inner())?;
        let response = self.raft.pre_vote(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::vote_response_to_wire(self.peers.presence(), &response)))
    }

    async fn snapshot_offset(
        &self,
        request: Request<proto::SnapshotHeader>,
    ) -> Result<Response<proto::SnapshotOffsetResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let received = self.inbox.received(&snapshot_in::transfer_id(request.get_ref()));
        let presence = Some(self.peers.presence());
        Ok(Response::new(proto::SnapshotOffsetResponse { received, presence }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotResponse>, Status> {
        let owner = calling_node(&request)?;
        let mut chunks = request.into_inner();
        let header = match chunks.message().await?.and_then(|chunk| chunk.kind) {
            Some(proto::snapshot_chunk::Kind::Header(header)) => header,
            _ => return Err(Status::invalid_argument("a snapshot begins with its header")),
        };
        self.check(owner, header.sender.as_ref())?;
        let vote = wire::vote_from_wire(header.vote)?;
        let snapshot =
            snapshot_in::receive(&self.inbox, self.peers.local.cluster, &header, &mut chunks).await?;
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(fatal)?;
        Ok(Response::new(proto::SnapshotResponse {
            vote: Some(wire::vote_to_wire(&response.vote)),
            presence: Some(self.peers.presence()),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let parsed = wire::transfer_from_wire(request.into_inner())?;
        let answer = self.raft.handle_transfer_leader(parsed).await.map_err(fatal)?;
        let reason = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Ok(Response::new(proto::TransferLeaderResponse { accepted: answer.is_ok(), reason }))
    }

    async fn known_rules(
        &self,
        request: Request<proto::KnownRulesRequest>,
    ) -> Result<Response<proto::KnownRulesResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let presence = Some(self.peers.presence());
        Ok(Response::new(proto::KnownRulesResponse { newest: RULES_NEWEST, presence }))
    }

    /// Answered also while this node itself still asks: its memory of others is as good as ever.
    async fn introduce(
        &self,
        request: Request<proto::IntroduceRequest>,
    ) -> Result<Response<proto::IntroduceResponse>, Status> {
        self.check_sender(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        Ok(Response::new(proto::IntroduceResponse { presence: Some(self.peers.presence()) }))
    }

    async fn compare_chain(
        &self,
        request: Request<proto::ChainQuestion>,
    ) -> Result<Response<proto::ChainAnswer>, Status> {
        let asking = calling_node(&request)?;
        self.check(asking, request.get_ref().sender.as_ref())?;
        let log_index = request.get_ref().log_index;
        let theirs = codec::decode_chain(&request.get_ref().chain)
            .map_err(|error| Status::invalid_argument(format!("field chain: {error}")))?;
        self.heard.note(log_index, asking, theirs);
        let chain = self.state.read(|applied| applied.chains.at(log_index));
        let chain = chain.map(|chain| chain.as_bytes().to_vec());
        Ok(Response::new(proto::ChainAnswer { chain, presence: Some(self.peers.presence()) }))
    }
}
