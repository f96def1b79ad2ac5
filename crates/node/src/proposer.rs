//! From commands to verdicts: batches commands that wait together, and sorts what can go wrong into the two classes
//! that callers must tell apart.
//!
//! Keeps: an answer `NotCommitted` is given only when openraft says, by variant, that the entry was never appended.

use interlock_core::book::{NotUnderstood, RULES_NEWEST};
use interlock_core::{Action, Command, State, Verdict};
use interlock_store::{Batch, BatchError, StateHandle, StateMachine, TypeConfig};
use openraft::errors::{ClientWriteError, RaftError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Commands that may wait; beyond it callers are turned away at once.
const QUEUE_COMMANDS_MAX: usize = 32_768;
/// Commands in one batch. With about 300 bytes for an approval, well within the entry limit.
const BATCH_COMMANDS_MAX: usize = 1024;
/// Batches on their way at once. More arrive than fit while a flush is under way: those travel together.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// Longest wait for a verdict. Afterwards the outcome is unknown.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    /// Certainly not committed.
    #[error("not committed: {message}")]
    NotCommitted {
        /// The leader, when known.
        leader: Option<u64>,
        /// Why.
        message: String,
    },
    /// Perhaps committed.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

type Answer = oneshot::Sender<Result<Verdict, ProposeError>>;

struct Waiting {
    command: Command,
    answer: Answer,
}

/// Handle for proposing commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
    state: StateHandle,
}

impl Proposer {
    /// Starts the batching task; it ends with the last handle.
    pub(crate) fn start(raft: openraft::Raft<TypeConfig, StateMachine>, state: StateHandle) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_COMMANDS_MAX);
        tokio::spawn(run(raft, waiting));
        Self { queue, state }
    }

    /// Proposes one command and waits for its verdict. A command that this program does not understand never enters the
    /// log: it would stop every node that meets it there.
    pub(crate) async fn propose(&self, command: Command) -> Result<Verdict, ProposeError> {
        self.state.read(|applied| check_understood(&applied.state, &command))?;
        let (answer, verdict) = oneshot::channel();
        if self.queue.try_send(Waiting { command, answer }).is_err() {
            let message = format!("overloaded: {QUEUE_COMMANDS_MAX} commands are waiting; try again");
            return Err(ProposeError::NotCommitted { leader: None, message });
        }
        match tokio::time::timeout(VERDICT_TIMEOUT, verdict).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ProposeError::Unknown("the node is shutting down".into())),
            Err(_) => Err(ProposeError::Unknown(format!("no verdict within {VERDICT_TIMEOUT:?}"))),
        }
    }
}

fn check_understood(state: &State, command: &Command) -> Result<(), ProposeError> {
    let not_committed =
        |error: NotUnderstood| ProposeError::NotCommitted { leader: None, message: error.to_string() };
    // Stricter than the log has to be: whatever state it meets when it is applied, it must be understood.
    let understood = match command.action {
        Action::RaiseRules { rules, .. } if rules > RULES_NEWEST => Err(NotUnderstood { asked: rules }),
        _ => state.book().understands(command),
    };
    understood.map_err(not_committed)
}

async fn run(raft: openraft::Raft<TypeConfig, StateMachine>, mut waiting: mpsc::Receiver<Waiting>) {
    let in_flight = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
    let mut batch = Vec::new();
    loop {
        let Ok(slot) = Arc::clone(&in_flight).acquire_owned().await else { return };
        if waiting.recv_many(&mut batch, BATCH_COMMANDS_MAX).await == 0 {
            return;
        }
        tokio::spawn(send(raft.clone(), std::mem::take(&mut batch), slot));
    }
}

async fn send(
    raft: openraft::Raft<TypeConfig, StateMachine>,
    mut waiting: Vec<Waiting>,
    _slot: OwnedSemaphorePermit,
) {
    while !waiting.is_empty() {
        let (batch, answers, rest) = largest_batch(waiting);
        waiting = rest;
        let outcome = match batch {
            Ok(batch) => write(&raft, batch).await,
            Err(error) => Err(ProposeError::NotCommitted { leader: None, message: error.to_string() }),
        };
        answer_all(answers, outcome);
    }
}

/// Takes as many of the waiting commands, from the front, as fit into one entry.
fn largest_batch(mut waiting: Vec<Waiting>) -> (Result<Batch, BatchError>, Vec<Answer>, Vec<Waiting>) {
    let mut count = waiting.len();
    loop {
        let commands = waiting[..count].iter().map(|item| item.command.clone()).collect();
        let batch = Batch::new(commands);
        if count > 1 && matches!(batch, Err(BatchError::TooLarge { .. } | BatchError::TooMany { .. })) {
            count /= 2;
            continue;
        }
        let rest = waiting.split_off(count);
        return (batch, waiting.into_iter().map(|item| item.answer).collect(), rest);
    }
}

async fn write(
    raft: &openraft::Raft<TypeConfig, StateMachine>,
    batch: Batch,
) -> Result<Vec<Verdict>, ProposeError> {
    match raft.client_write(batch).await {
        Ok(response) => Ok(response.data.0),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            let message = match forward.leader_id {
                Some(leader) => format!("node {leader} is the leader"),
                None => "no leader is known".to_owned(),
            };
            Err(ProposeError::NotCommitted { leader: forward.leader_id, message })
        }
        Err(error) => Err(ProposeError::Unknown(error.to_string())),
    }
}

/// A caller that has gone needs no answer, so a closed channel is nothing to report.
fn answer_all(answers: Vec<Answer>, outcome: Result<Vec<Verdict>, ProposeError>) {
    match outcome {
        Ok(verdicts) => {
            assert_eq!(verdicts.len(), answers.len(), "one verdict for each command of a batch");
            for (answer, verdict) in answers.into_iter().zip(verdicts) {
                let _ = answer.send(Ok(verdict));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::{ClusterId, KeyId};

    #[test]
    fn what_this_program_does_not_understand_never_enters_the_log() {
        let cluster = ClusterId([1; 16]);
        let state = State::genesis(cluster);
        let raise = |rules| {
            let action = Action::RaiseRules { expected_rules: 1, rules };
            check_understood(&state, &Command { cluster, key: KeyId::of_cluster(cluster), action })
        };
        assert_eq!(raise(RULES_NEWEST), Ok(()));
        let refused = raise(RULES_NEWEST + 1).unwrap_err();
        assert!(matches!(refused, ProposeError::NotCommitted { .. }), "{refused}");
    }
}
