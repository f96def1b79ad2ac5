//! The answering side. Every request is checked before openraft sees it: the certificate is a node's, the cluster is
//! ours, the target is us, the sender is who its certificate says, and it still has its data.

use crate::caller::caller;
use crate::raft::{LocalNode, SNAPSHOT_BYTES_MAX, check_data, wire};
use interlock_core::ClusterId;
use interlock_core::book::RULES_NEWEST;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_server::Raft;
use interlock_proto::{Role, cluster_id};
use interlock_store::{PeerBook, Snapshot, SnapshotData, StateMachine, TypeConfig, codec};
use openraft::errors::RaftError;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves the consensus RPCs.
pub(crate) struct PeerService {
    local: LocalNode,
    raft: openraft::Raft<TypeConfig, StateMachine>,
    peers: Arc<PeerBook>,
}

impl PeerService {
    pub(crate) fn new(
        local: LocalNode,
        raft: openraft::Raft<TypeConfig, StateMachine>,
        peers: Arc<PeerBook>,
    ) -> Self {
        Self { local, raft, peers }
    }

    fn check(&self, owner: u64, sender: Option<&proto::Sender>) -> Result<(), Status> {
        let sender = sender.ok_or_else(|| Status::invalid_argument("field sender is missing"))?;
        let cluster: ClusterId =
            cluster_id(&sender.cluster_id).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if cluster != self.local.cluster {
            let ours = self.local.cluster;
            return Err(Status::failed_precondition(format!(
                "this node belongs to cluster {ours}, the sender to {cluster}"
            )));
        }
        if sender.founders != self.local.founders {
            return Err(Status::failed_precondition(format!(
                "node {owner} was formatted with other founding members than this node: format it anew, under a new \
                 id, with the members that this cluster was founded with"
            )));
        }
        if sender.target != self.local.node_id {
            let (target, ours) = (sender.target, self.local.node_id);
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
        check_data(&self.peers, owner, &sender.incarnation)
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
        let parsed = wire::append_from_wire(request.into_inner())?;
        let response = self.raft.append_entries(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::append_response_to_wire(self.local, &response)))
    }

    async fn vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let parsed = wire::vote_request_from_wire(request.into_inner())?;
        let response = self.raft.vote(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::vote_response_to_wire(self.local, &response)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        self.check(calling_node(&request)?, request.get_ref().sender.as_ref())?;
        let parsed = wire::vote_request_from_wire(request.into_inner())?;
        let response = self.raft.pre_vote(parsed).await.map_err(|error| raft_error(&error))?;
        Ok(Response::new(wire::vote_response_to_wire(self.local, &response)))
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
        let meta = codec::decode_snapshot_meta(&header.meta)
            .map_err(|error| Status::invalid_argument(format!("snapshot meta: {error}")))?;
        let data = receive_data(&mut chunks, header.total_bytes).await?;
        let data = SnapshotData::from_bytes(data);
        let covers = data.verify(self.local.cluster).map_err(|error| {
            Status::failed_precondition(format!("the snapshot is not for this node: {error}"))
        })?;
        if covers != meta {
            return Err(Status::invalid_argument("the snapshot does not cover what its header says"));
        }
        let snapshot = Snapshot { meta, snapshot: data };
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(fatal)?;
        Ok(Response::new(proto::SnapshotResponse {
            vote: Some(wire::vote_to_wire(&response.vote)),
            incarnation: self.local.incarnation.to_vec(),
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
        let incarnation = self.local.incarnation.to_vec();
        Ok(Response::new(proto::KnownRulesResponse { newest: RULES_NEWEST, incarnation }))
    }
}

async fn receive_data(
    chunks: &mut Streaming<proto::SnapshotChunk>,
    total_bytes: u64,
) -> Result<Vec<u8>, Status> {
    if total_bytes > SNAPSHOT_BYTES_MAX {
        return Err(Status::out_of_range(format!(
            "a snapshot of {total_bytes} bytes is over the limit of {SNAPSHOT_BYTES_MAX}"
        )));
    }
    let mut data = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        let Some(proto::snapshot_chunk::Kind::Data(bytes)) = chunk.kind else {
            return Err(Status::invalid_argument("only data follows a snapshot's header"));
        };
        data.extend_from_slice(&bytes);
        if data.len() as u64 > total_bytes {
            return Err(Status::invalid_argument("the snapshot is longer than its header says"));
        }
    }
    if data.len() as u64 == total_bytes {
        return Ok(data);
    }
    let received = data.len();
    Err(Status::data_loss(format!("the snapshot ended after {received} of {total_bytes} bytes")))
}
