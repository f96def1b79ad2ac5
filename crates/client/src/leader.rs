//! Finding the leader, and what became of a call.
//!
//! Invariant: only the servers' own promise, or a request that never left this process, counts as not committed. A
//! timeout, a broken connection, any other status: unknown.

use crate::channels::{Channels, status_text};
use interlock_proto::not_committed_of;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// First pause between two attempts; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_millis(100);
/// Hints followed at once, before a pause: nodes that disagree about the leader must not make us spin.
const HINTS_AT_ONCE_MAX: u32 = 2;

/// When a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The call is harmless when it is applied twice: repeat it also when its outcome is unknown.
    Always,
    /// Repeat it only when it was certainly not committed.
    IfNotCommitted,
}

/// Bounds of one call, all attempts together.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Nothing is awaited beyond this moment.
    pub deadline: Instant,
    /// Longest that one node is waited for.
    pub attempt_timeout: Duration,
    /// When to try again.
    pub repeat: Repeat,
}

/// What became of a call.
#[derive(Debug)]
pub enum CallOutcome<T> {
    /// A node answered.
    Answered {
        /// Its answer.
        answer: T,
        /// An earlier attempt of this call may have been committed as well.
        after_unknown: bool,
    },
    /// Certainly not committed.
    NotCommitted {
        /// Why, of the last attempt.
        message: String,
    },
    /// A node refused the call itself (not allowed, malformed, not found).
    Rejected {
        /// As it came.
        status: Status,
        /// An earlier attempt of this call may have been committed.
        after_unknown: bool,
    },
    /// Perhaps committed.
    Unknown {
        /// Why, of the newest attempt of unknown outcome.
        message: String,
    },
}

enum Failure {
    NotCommitted { leader: Option<u64>, message: String },
    NeverSent { message: String },
    Rejected(Status),
    Unknown { message: String },
}

/// Calls the leader, whichever node that is. Cheap to clone; clones share what they learn.
#[derive(Debug, Clone)]
pub struct LeaderClient {
    channels: Channels,
    leader: Arc<Mutex<Option<u64>>>,
}

impl LeaderClient {
    /// A client that knows no leader yet.
    #[must_use]
    pub fn new(channels: Channels) -> Self {
        Self { channels, leader: Arc::default() }
    }

    /// The channels it calls through.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The node that was the leader when it was last heard of.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a node that says that it leads.
    pub(crate) fn remember(&self, leader: u64) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(leader);
    }

    fn forget(&self, node_id: u64) {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if *leader == Some(node_id) {
            *leader = None;
        }
    }

    /// Calls the leader until it answers or the deadline passes. `call` is given the channel of one node and is run
    /// once for each attempt; every attempt must ask for the same.
    pub async fn call<T, F, Fut>(&self, limits: CallLimits, call: F) -> CallOutcome<T>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut search = Search::new(self);
        let mut unknown: Option<String> = None;
        let mut not_committed = "no guard node was asked before the deadline".to_owned();
        loop {
            let Some((node_id, channel)) = search.next(limits).await else {
                return match unknown {
                    Some(message) => CallOutcome::Unknown { message },
                    None => CallOutcome::NotCommitted { message: not_committed },
                };
            };
            let until = limits.deadline.min(Instant::now() + limits.attempt_timeout);
            let failure = match tokio::time::timeout_at(until, call(channel)).await {
                Ok(Ok(response)) => {
                    self.remember(node_id);
                    let after_unknown = unknown.is_some();
                    return CallOutcome::Answered { answer: response.into_inner(), after_unknown };
                }
                Ok(Err(status)) => classify(node_id, status),
                Err(_) => {
                    Failure::Unknown { message: format!("guard node {node_id} did not answer in time") }
                }
            };
            tracing::debug!(node = node_id, outcome = failure.word(), "attempt failed");
            search.learn(node_id, &failure, limits.attempt_timeout);
            match failure {
                Failure::NotCommitted { message, .. } | Failure::NeverSent { message } => {
                    not_committed = message
                }
                Failure::Rejected(status) => {
                    return CallOutcome::Rejected { status, after_unknown: unknown.is_some() };
                }
                Failure::Unknown { message } if limits.repeat == Repeat::IfNotCommitted => {
                    return CallOutcome::Unknown { message };
                }
                Failure::Unknown { message } => unknown = Some(message),
            }
        }
    }
}

impl Failure {
    fn word(&self) -> &'static str {
        match self {
            Self::NotCommitted { .. } => "not committed",
            Self::NeverSent { .. } => "never sent",
            Self::Rejected(_) => "rejected",
            Self::Unknown { .. } => "unknown",
        }
    }
}

fn classify(node_id: u64, status: Status) -> Failure {
    if let Some(promise) = not_committed_of(&status) {
        let message = format!("guard node {node_id}: {}", promise.message);
        return Failure::NotCommitted { leader: promise.leader, message };
    }
    if never_sent(&status) {
        let message = format!("guard node {node_id} cannot be reached: {}", status_text(&status));
        return Failure::NeverSent { message };
    }
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Failure::Rejected(status),
        code => Failure::Unknown { message: format!("guard node {node_id}: {code:?}: {}", status.message()) },
    }
}

/// Whether there was no connection to send the request on. The connector's own error stands for exactly that.
fn never_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Which node to ask next, within one call.
struct Search<'a> {
    client: &'a LeaderClient,
    hint: Option<u64>,
    last: Option<u64>,
    /// Nodes that did not answer, and until when they are passed over.
    suspects: BTreeMap<u64, Instant>,
    hints_at_once: u32,
    backoff: Duration,
    pause: bool,
}

impl<'a> Search<'a> {
    fn new(client: &'a LeaderClient) -> Self {
        let hint = client.leader();
        Self {
            client,
            hint,
            last: None,
            suspects: BTreeMap::new(),
            hints_at_once: 0,
            backoff: BACKOFF_MIN,
            pause: false,
        }
    }

    /// The next node, after a pause if one is due; `None` when too little time is left or no node may be asked. What is
    /// broken off at the deadline is unknown, where stopping a moment earlier would have left it not committed.
    async fn next(&mut self, limits: CallLimits) -> Option<(u64, Channel)> {
        let deadline = match self.last {
            None => limits.deadline,
            Some(_) => limits.deadline - limits.attempt_timeout / 2,
        };
        if std::mem::take(&mut self.pause) {
            tokio::time::sleep_until(deadline.min(Instant::now() + self.backoff)).await;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        let now = Instant::now();
        if now >= deadline {
            return None;
        }
        self.suspects.retain(|_, until| *until > now);
        let channels = &self.client.channels;
        let usable: Vec<u64> = channels.node_ids().filter(|id| channels.is_usable(*id)).collect();
        let trusted = |id: &u64| usable.contains(id) && !self.suspects.contains_key(id);
        let hinted = self.hint.take().filter(trusted);
        let node_id = hinted.or_else(|| {
            // The nodes in a ring, from the one after the last that was asked.
            let start = usable.iter().position(|id| Some(*id) > self.last).unwrap_or(0);
            let ring = usable[start..].iter().chain(&usable[..start]);
            ring.clone().find(|id| trusted(id)).or_else(|| ring.clone().next()).copied()
        })?;
        self.last = Some(node_id);
        channels.channel(node_id).map(|channel| (node_id, channel))
    }

    fn learn(&mut self, node_id: u64, failure: &Failure, attempt_timeout: Duration) {
        self.client.forget(node_id);
        match failure {
            Failure::NotCommitted { leader: Some(leader), .. }
                if *leader != node_id
                    && !self.suspects.contains_key(leader)
                    && self.hints_at_once < HINTS_AT_ONCE_MAX =>
            {
                self.hint = Some(*leader);
                self.hints_at_once += 1;
            }
            Failure::NotCommitted { leader, .. } => {
                self.hint = leader.filter(|leader| *leader != node_id);
                self.hints_at_once = 0;
                self.pause = true;
            }
            Failure::NeverSent { .. } | Failure::Unknown { .. } => {
                let first = self.suspects.insert(node_id, Instant::now() + attempt_timeout).is_none();
                // The other nodes are asked at once; a second round is not.
                self.pause = !first || self.suspects.len() >= self.client.channels.node_ids().count();
            }
            Failure::Rejected(_) => {}
        }
    }
}
