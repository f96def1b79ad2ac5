//! What signers and operators call. Each handler parses, checks the caller, proposes or reads, and maps the answer;
//! no rule is decided here.

mod answer;
mod audit;
mod backup;
mod guard;
mod keys;
mod membership;
mod operator;
mod rules;
mod session;

pub(crate) use guard::GuardService;
pub(crate) use membership::MembershipService;
pub(crate) use operator::OperatorService;

use crate::config::Failover;
use crate::proposer::Proposer;
use crate::raft::{LocalNode, RulesAsker};
use crate::sessions::Sessions;
use interlock_proto::{NotCommitted, not_committed};
use interlock_store::{AuditReader, StateHandle, StateMachine, TypeConfig};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;

/// Longest wait for the confirmation that a read needs.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// What the services share.
pub(crate) struct Shared {
    pub(crate) local: LocalNode,
    pub(crate) raft: openraft::Raft<TypeConfig, StateMachine>,
    pub(crate) state: StateHandle,
    pub(crate) audit: AuditReader,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) proposer: Proposer,
    pub(crate) rules: RulesAsker,
    pub(crate) settings: Failover,
    pub(crate) started_at: Instant,
    /// Becomes true when the node stops: sessions end then.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// The leader as this node sees it.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// Waits until reading this node's state is linearizable. Only the leader can; a read commits nothing, so every
    /// failure is `NotCommitted`.
    pub(crate) async fn linearizable(&self) -> Result<(), Status> {
        let read = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        let (leader, message) = match tokio::time::timeout(READ_TIMEOUT, read).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                (forward.leader_id, "this node is not the leader".to_owned())
            }
            Ok(Err(error)) => (None, error.to_string()),
            Err(_) => (None, format!("no majority answered within {READ_TIMEOUT:?}")),
        };
        Err(not_committed(&NotCommitted { leader, message }))
    }
}
