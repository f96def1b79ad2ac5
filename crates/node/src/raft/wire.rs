//! openraft's messages to and from ours. A change of openraft's own types never changes the wire.

use interlock_proto::raft as wire;
use interlock_store::codec;
use interlock_store::{Entry, LogId, Mark, PeerMark, Presence, TypeConfig, Vote};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use tonic::Status;

fn missing(field: &'static str) -> Status {
    Status::invalid_argument(format!("field {field} is missing"))
}

pub(super) fn mark_to_wire(mark: Mark) -> wire::Mark {
    let Mark { term, node_id, committed, next_index } = mark;
    wire::Mark { term, node_id, committed, next_index }
}

fn mark_from_wire(mark: Option<wire::Mark>, field: &'static str) -> Result<Mark, Status> {
    let wire::Mark { term, node_id, committed, next_index } = mark.ok_or_else(|| missing(field))?;
    Ok(Mark { term, node_id, committed, next_index })
}

fn incarnation_from_wire(bytes: &[u8]) -> Result<u128, Status> {
    let bytes = bytes.try_into();
    bytes.map(u128::from_be_bytes).map_err(|_| Status::invalid_argument("field incarnation has not 16 bytes"))
}

pub(super) fn presence_from_wire(presence: Option<&wire::Presence>) -> Result<Presence, Status> {
    let presence = presence.ok_or_else(|| missing("presence"))?;
    Ok(Presence {
        incarnation: incarnation_from_wire(&presence.incarnation)?,
        run: presence.run,
        opened: mark_from_wire(presence.opened, "presence.opened")?,
        flushed: mark_from_wire(presence.flushed, "presence.flushed")?,
    })
}

pub(super) fn peer_mark_to_wire(node_id: u64, peer: &PeerMark) -> wire::PeerMark {
    let incarnation = peer.incarnation.to_be_bytes().to_vec();
    wire::PeerMark { node_id, incarnation, run: peer.run, mark: Some(mark_to_wire(peer.mark)) }
}

pub(super) fn peer_mark_from_wire(peer: &wire::PeerMark) -> Result<PeerMark, Status> {
    let incarnation = incarnation_from_wire(&peer.incarnation)?;
    Ok(PeerMark { incarnation, run: peer.run, mark: mark_from_wire(peer.mark, "peers.mark")? })
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
    sender: wire::Sender,
    request: &AppendEntriesRequest<TypeConfig>,
    peers: Vec<wire::PeerMark>,
) -> wire::AppendRequest {
    wire::AppendRequest {
        sender: Some(sender),
        vote: Some(vote_to_wire(&request.vote)),
        previous: log_id_option_to_wire(request.prev_log_id.as_ref()),
        entries: request.entries.iter().map(codec::encode_entry).collect(),
        leader_commit: log_id_option_to_wire(request.leader_commit.as_ref()),
        peers,
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
    presence: wire::Presence,
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
    wire::AppendResponse { outcome: Some(outcome), presence: Some(presence) }
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
    sender: wire::Sender,
    request: &VoteRequest<TypeConfig>,
) -> wire::VoteRequest {
    wire::VoteRequest {
        sender: Some(sender),
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
    presence: wire::Presence,
    response: &VoteResponse<TypeConfig>,
) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last_log: log_id_option_to_wire(response.last_log_id.as_ref()),
        presence: Some(presence),
    }
}

pub(super) fn vote_response_from_wire(
    response: wire::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, Status> {
    let vote = vote_from_wire(response.vote)?;
    Ok(VoteResponse::new(vote, log_id_option_from_wire(response.last_log), response.granted))
}

pub(super) fn transfer_to_wire(
    sender: wire::Sender,
    request: &TransferLeaderRequest<TypeConfig>,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        sender: Some(sender),
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
