//! openraft's messages to and from ours. A change of openraft's own types never changes the wire.

use crate::raft::LocalNode;
use interlock_proto::raft as wire;
use interlock_store::codec;
use interlock_store::{Entry, LogId, TypeConfig, Vote};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use tonic::Status;

fn missing(field: &'static str) -> Status {
    Status::invalid_argument(format!("field {field} is missing"))
}

pub(super) fn sender(local: LocalNode, target: u64) -> wire::Sender {
    wire::Sender {
        cluster_id: local.cluster.0.to_vec(),
        node_id: local.node_id,
        incarnation: local.incarnation.to_vec(),
        target,
        founders: local.founders,
    }
}

pub(super) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.is_committed() }
}

pub(super) fn vote_from_wire(vote: Option<wire::Vote>) -> Result<Vote, Status> {
    let vote = vote.ok_or_else(|| missing("vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    })
}

pub(super) fn log_id_to_wire(log_id: &LogId) -> wire::LogId {
    wire::LogId { term: log_id.leader_id.term, node_id: log_id.leader_id.node_id, index: log_id.index }
}

pub(super) fn log_id_from_wire(log_id: wire::LogId) -> LogId {
    LogId::new(interlock_store::LeaderId { term: log_id.term, node_id: log_id.node_id }, log_id.index)
}

fn log_id_option_to_wire(log_id: Option<&LogId>) -> Option<wire::LogId> {
    log_id.map(log_id_to_wire)
}

fn log_id_option_from_wire(log_id: Option<wire::LogId>) -> Option<LogId> {
    log_id.map(log_id_from_wire)
}

pub(super) fn append_to_wire(
    local: LocalNode,
    target: u64,
    request: &AppendEntriesRequest<TypeConfig>,
) -> wire::AppendRequest {
    wire::AppendRequest {
        sender: Some(sender(local, target)),
        vote: Some(vote_to_wire(&request.vote)),
        previous: log_id_option_to_wire(request.prev_log_id.as_ref()),
        entries: request.entries.iter().map(codec::encode_entry).collect(),
        leader_commit: log_id_option_to_wire(request.leader_commit.as_ref()),
    }
}

pub(super) fn append_from_wire(
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entries: Result<Vec<Entry>, Status> = request
        .entries
        .iter()
        .map(|bytes| {
            codec::decode_entry(bytes)
                .map_err(|error| Status::invalid_argument(format!("log entry: {error}")))
        })
        .collect();
    Ok(AppendEntriesRequest {
        vote: vote_from_wire(request.vote)?,
        prev_log_id: log_id_option_from_wire(request.previous),
        entries: entries?,
        leader_commit: log_id_option_from_wire(request.leader_commit),
    })
}

pub(super) fn append_response_to_wire(
    local: LocalNode,
    response: &AppendEntriesResponse<TypeConfig>,
) -> wire::AppendResponse {
    use wire::append_response::Outcome;
    let outcome = match response {
        AppendEntriesResponse::Success => Outcome::Success(wire::Empty {}),
        AppendEntriesResponse::PartialSuccess(matching) => Outcome::PartialSuccess(wire::PartialSuccess {
            matching: log_id_option_to_wire(matching.as_ref()),
        }),
        AppendEntriesResponse::Conflict => Outcome::Conflict(wire::Empty {}),
        AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote_to_wire(vote)),
    };
    wire::AppendResponse { outcome: Some(outcome), incarnation: local.incarnation.to_vec() }
}

pub(super) fn append_response_from_wire(
    response: wire::AppendResponse,
) -> Result<AppendEntriesResponse<TypeConfig>, Status> {
    use wire::append_response::Outcome;
    Ok(match response.outcome.ok_or_else(|| missing("outcome"))? {
        Outcome::Success(_) => AppendEntriesResponse::Success,
        Outcome::PartialSuccess(partial) => {
            AppendEntriesResponse::PartialSuccess(log_id_option_from_wire(partial.matching))
        }
        Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
        Outcome::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_wire(Some(vote))?),
    })
}

pub(super) fn vote_request_to_wire(
    local: LocalNode,
    target: u64,
    request: &VoteRequest<TypeConfig>,
) -> wire::VoteRequest {
    wire::VoteRequest {
        sender: Some(sender(local, target)),
        vote: Some(vote_to_wire(&request.vote)),
        last_log: log_id_option_to_wire(request.last_log_id.as_ref()),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request_from_wire(request: wire::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
    let vote = vote_from_wire(request.vote)?;
    let mut parsed = VoteRequest::new(vote, log_id_option_from_wire(request.last_log));
    parsed.leadership_transfer = request.leadership_transfer;
    Ok(parsed)
}

pub(super) fn vote_response_to_wire(
    local: LocalNode,
    response: &VoteResponse<TypeConfig>,
) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last_log: log_id_option_to_wire(response.last_log_id.as_ref()),
        incarnation: local.incarnation.to_vec(),
    }
}

pub(super) fn vote_response_from_wire(
    response: wire::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, Status> {
    let vote = vote_from_wire(response.vote)?;
    Ok(VoteResponse::new(vote, log_id_option_from_wire(response.last_log), response.granted))
}

pub(super) fn transfer_to_wire(
    local: LocalNode,
    target: u64,
    request: &TransferLeaderRequest<TypeConfig>,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        sender: Some(sender(local, target)),
        from: Some(vote_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last_log: log_id_option_to_wire(request.last_log_id()),
    }
}

pub(super) fn transfer_from_wire(
    request: wire::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, Status> {
    let from = vote_from_wire(request.from)?;
    Ok(TransferLeaderRequest::new(from, request.to, log_id_option_from_wire(request.last_log)))
}
