//! Taking one step: what the leader sees, the step, and what became of it.

use crate::membership::plan::{Goal, Refused, Stage, Step, View, next_step};
use crate::service::Shared;
use interlock_proto::{MembersRefusal, NotCommitted, not_committed};
use interlock_store::{LogId, Payload, StateMachine, TypeConfig};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::{Instant as _, RaftMetrics};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tonic::{Code, Status};

/// Longest wait for a step to be committed. Afterwards its outcome is unknown; asking again shows it.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// A member that was silent for longer than this many election timeouts is not counted as heard.
const HEARD_ELECTION_TIMEOUTS: u32 = 2;

type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// What the leader sees, and the log id of the membership that it sees. `None` while a membership waits for its commit.
pub(crate) fn view(raft: &Raft) -> Option<(View, Option<LogId>)> {
    let metrics = raft.metrics().borrow_watched().clone();
    let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
    if effective.log_id() != committed.log_id() {
        return None;
    }
    let membership = effective.membership().clone();
    let patience =
        Duration::from_millis(raft.config().election_timeout_max).saturating_mul(HEARD_ELECTION_TIMEOUTS);
    let heard = silence(&metrics).into_iter().filter(|(_, silent)| *silent <= patience).map(|(id, _)| id);
    let heard: BTreeSet<u64> = heard.chain([metrics.id]).collect();
    let view = View { membership, behind: behind(&metrics), heard };
    Some((view, *effective.log_id()))
}

/// How long each other member has been silent, where the leader has heard it at all.
pub(crate) fn silence(metrics: &RaftMetrics<TypeConfig>) -> BTreeMap<u64, Duration> {
    let heartbeats = metrics.heartbeat.iter().flatten();
    heartbeats.filter_map(|(id, heard)| heard.map(|heard| (*id, heard.elapsed()))).collect()
}

/// Entries that each other member lacks.
pub(crate) fn behind(metrics: &RaftMetrics<TypeConfig>) -> BTreeMap<u64, u64> {
    let end = metrics.last_log_index.map_or(0, |index| index + 1);
    let matched = metrics.replication.iter().flatten();
    matched.map(|(id, log_id)| (*id, end.saturating_sub(log_id.map_or(0, |id| id.index + 1)))).collect()
}

/// Takes one step towards the goal, and says what is committed now.
pub(crate) async fn step(shared: &Shared, goal: &Goal) -> Result<Stage, Status> {
    shared.linearizable().await?;
    let own = shared.local.node_id;
    let Some((view, seen)) = view(&shared.raft) else {
        return Err(retry(own, "a change of members is being committed"));
    };
    let step = next_step(&view, goal).map_err(|refused| refusal(&refused))?;
    let stage = match &step {
        Step::Stay(stage) => return Ok(*stage),
        Step::Nodes(_, stage) | Step::Voters(_, stage) => *stage,
    };
    tracing::info!(?step, "changing the members");
    match tokio::time::timeout(STEP_TIMEOUT, commit(&shared.raft, step, seen)).await {
        Ok(Ok(())) => Ok(stage),
        Ok(Err(error)) => Err(failure(own, error)),
        Err(_) => Err(Status::new(Code::Unknown, format!("not committed within {STEP_TIMEOUT:?}"))),
    }
}

/// Commits one entry, if the membership is still the one that was seen.
pub(crate) async fn commit(
    raft: &Raft,
    step: Step,
    seen: Option<LogId>,
) -> Result<(), RaftError<TypeConfig, ClientWriteError<TypeConfig>>> {
    let unchanged = [Precondition::LastMembershipLogId { last_membership_log_id: seen }];
    match step {
        Step::Stay(_) => Ok(()),
        Step::Nodes(changes, _) => raft.change_membership_if(changes, true, unchanged).await.map(drop),
        Step::Voters(members, _) => {
            raft.append_membership(members, Payload::Blank, unchanged).await.map(drop)
        }
    }
}

fn retry(leader: u64, message: &str) -> Status {
    not_committed(&NotCommitted { leader: Some(leader), message: message.to_owned() })
}

fn refusal(refused: &Refused) -> Status {
    let kind = match refused {
        Refused::IdUsed { .. } => MembersRefusal::IdUsed,
        Refused::UnknownMember { .. } => MembersRefusal::UnknownMember,
        Refused::QuorumAtRisk { .. } | Refused::LastVoter { .. } => MembersRefusal::QuorumAtRisk,
        Refused::ChangeInProgress { .. } => MembersRefusal::ChangeInProgress,
        Refused::OtherAddress { .. } | Refused::AddressTaken { .. } => MembersRefusal::Address,
    };
    kind.status(&refused.to_string())
}

/// Only what openraft names as refused before it was appended is promised not to be committed.
fn failure(own: u64, error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Status {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            let message = "this node is not the leader".to_owned();
            not_committed(&NotCommitted { leader: forward.leader_id, message })
        }
        RaftError::APIError(
            error @ (ClientWriteError::PreconditionFailed(_)
            | ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
            )),
        ) => retry(own, &error.to_string()),
        error => Status::new(Code::Unknown, error.to_string()),
    }
}
