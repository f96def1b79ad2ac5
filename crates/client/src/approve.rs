//! What a signer asks of the guard: approvals, releases, one read.
//!
//! Invariant: permitted, denied, certainly not committed, unknown. An attempt of unknown outcome makes the whole call
//! unknown, unless a later attempt with the very same payload gets a verdict.

use crate::leader::{CallLimits, CallOutcome, LeaderClient, Repeat};
use crate::operator::KeySelector;
use crate::permit::{Asked, EchoMismatch, Permit};
use interlock_core::{ClusterId, Epoch, Incarnation, Intent, KeyId};
use interlock_proto::v1::guard_client::GuardClient as Rpc;
use interlock_proto::v1::{self, approve_response, release_response};
use interlock_proto::{ConversionError, approved_from_wire, intent_to_wire};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// A refusal by the rule book: committed, final, equal on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's number.
    pub rule: u32,
    /// One line that begins with the rule.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<v1::Denied> for Refusal {
    fn from(denied: v1::Denied) -> Self {
        Self { rule: denied.rule, message: denied.message }
    }
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCause {
    /// No verdict arrived.
    #[error("{0}")]
    NoVerdict(String),
    /// A node refused the call itself.
    #[error("the guard refused the call: {0}")]
    Rejected(String),
    /// An answer could not be read.
    #[error("the guard's answer is malformed: {0}")]
    Malformed(#[from] ConversionError),
    /// An answer without content.
    #[error("the guard's answer carries no outcome")]
    Empty,
    /// An approval of something else.
    #[error("the guard's approval does not match the request: {0}")]
    Echo(#[from] EchoMismatch),
}

/// What became of a request for approval.
#[derive(Debug)]
pub enum ApproveOutcome {
    /// Approved: sign.
    Permitted(Permit),
    /// Refused by a rule.
    Denied {
        /// By which.
        refusal: Refusal,
        /// An earlier attempt with this payload may have been approved; its approval may stand in the log.
        after_unknown: bool,
    },
    /// Certainly not committed.
    Unavailable {
        /// Why.
        message: String,
    },
    /// Perhaps approved. Never sign; ask again with the same payload only.
    Unknown(UnknownCause),
}

/// What became of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The lease is no longer ours.
    Released,
    /// It was not ours to release.
    Denied(Refusal),
    /// Certainly not committed: the lease is still ours.
    Unavailable {
        /// Why.
        message: String,
    },
    /// Perhaps committed.
    Unknown {
        /// Why.
        message: String,
    },
}

/// Why a key could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetKeyError {
    /// No node could answer in time.
    #[error(
        "no guard node could answer: {message}; check the [[guard]] addresses and `interlock cluster status`"
    )]
    Unavailable {
        /// Why.
        message: String,
    },
    /// The guard refused.
    #[error("the guard refused: {message}")]
    Refused {
        /// Why.
        message: String,
    },
    /// The answer could not be read.
    #[error("the guard's answer is malformed: {0}")]
    Malformed(#[from] ConversionError),
}

/// The guard as one signer process sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    leader: LeaderClient,
    cluster: ClusterId,
    incarnation: Incarnation,
    attempt_timeout: Duration,
}

impl Guard {
    /// The guard of a cluster. `attempt_timeout` bounds the wait for one node, so that a paused leader does not eat the
    /// whole deadline of a request.
    #[must_use]
    pub fn new(
        leader: LeaderClient,
        cluster: ClusterId,
        incarnation: Incarnation,
        attempt_timeout: Duration,
    ) -> Self {
        Self { leader, cluster, incarnation, attempt_timeout }
    }

    /// The cluster that this process trusts.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// This process.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn limits(&self, deadline: Instant) -> CallLimits {
        CallLimits { deadline, attempt_timeout: self.attempt_timeout, repeat: Repeat::Always }
    }

    /// Asks to sign one payload under one lease, with the same request each time, until a verdict or the deadline.
    pub async fn approve(
        &self,
        key: KeyId,
        epoch: Epoch,
        intent: &Intent,
        deadline: Instant,
    ) -> ApproveOutcome {
        let asked = Asked::new(self.cluster, key, epoch, intent);
        let request = v1::ApproveRequest {
            cluster_id: self.cluster.0.to_vec(),
            key_id: key.0.to_vec(),
            incarnation: self.incarnation.0.to_vec(),
            epoch: epoch.0,
            intent: Some(intent_to_wire(intent)),
        };
        let call = |channel| {
            let request = request.clone();
            async move { Rpc::new(channel).approve(request).await }
        };
        match self.leader.call(self.limits(deadline), call).await {
            CallOutcome::Answered { answer, after_unknown } => verdict(&asked, answer, after_unknown),
            CallOutcome::NotCommitted { message } => ApproveOutcome::Unavailable { message },
            CallOutcome::Rejected { status, .. } => {
                let message = format!("{:?}: {}", status.code(), status.message());
                ApproveOutcome::Unknown(UnknownCause::Rejected(message))
            }
            CallOutcome::Unknown { message } => ApproveOutcome::Unknown(UnknownCause::NoVerdict(message)),
        }
    }

    /// Gives a lease back. Harmless when repeated: it names the epoch.
    pub async fn release(&self, key: KeyId, epoch: Epoch, deadline: Instant) -> ReleaseOutcome {
        let request = v1::ReleaseRequest {
            cluster_id: self.cluster.0.to_vec(),
            key_id: key.0.to_vec(),
            incarnation: self.incarnation.0.to_vec(),
            epoch: epoch.0,
        };
        let call = |channel| {
            let request = request.clone();
            async move { Rpc::new(channel).release(request).await }
        };
        match self.leader.call(self.limits(deadline), call).await {
            CallOutcome::Answered { answer, .. } => match answer.outcome {
                Some(release_response::Outcome::Done(_)) => ReleaseOutcome::Released,
                Some(release_response::Outcome::Denied(denied)) => ReleaseOutcome::Denied(denied.into()),
                None => ReleaseOutcome::Unknown { message: "the answer carries no outcome".to_owned() },
            },
            CallOutcome::NotCommitted { message } => ReleaseOutcome::Unavailable { message },
            CallOutcome::Rejected { status, .. } => {
                ReleaseOutcome::Unknown { message: status.message().to_owned() }
            }
            CallOutcome::Unknown { message } => ReleaseOutcome::Unknown { message },
        }
    }
}

/// Reads one key linearizably, with the id of the cluster that answered. Needs no pinned cluster: enrolment pins it.
///
/// # Errors
/// See [`GetKeyError`].
pub async fn get_key(
    leader: &LeaderClient,
    selector: &KeySelector,
    limits: CallLimits,
) -> Result<(ClusterId, v1::Key), GetKeyError> {
    let request = selector.to_wire();
    let call = |channel| {
        let request = request.clone();
        async move { Rpc::new(channel).get_key(request).await }
    };
    match leader.call(limits, call).await {
        CallOutcome::Answered { answer, .. } => {
            let cluster = interlock_proto::cluster_id(&answer.cluster_id)?;
            let key = answer.key.ok_or(ConversionError::Missing { field: "key" })?;
            Ok((cluster, key))
        }
        CallOutcome::NotCommitted { message } | CallOutcome::Unknown { message } => {
            Err(GetKeyError::Unavailable { message })
        }
        CallOutcome::Rejected { status, .. } => {
            Err(GetKeyError::Refused { message: status.message().to_owned() })
        }
    }
}

fn verdict(asked: &Asked, answer: v1::ApproveResponse, after_unknown: bool) -> ApproveOutcome {
    let approved = match answer.outcome {
        Some(approve_response::Outcome::Approved(approved)) => approved,
        Some(approve_response::Outcome::Denied(denied)) => {
            return ApproveOutcome::Denied { refusal: denied.into(), after_unknown };
        }
        None => return ApproveOutcome::Unknown(UnknownCause::Empty),
    };
    let approved = match approved_from_wire(&approved) {
        Ok(approved) => approved,
        Err(error) => return ApproveOutcome::Unknown(error.into()),
    };
    match Permit::new(asked, approved) {
        Ok(permit) => ApproveOutcome::Permitted(permit),
        Err(mismatch) => {
            tracing::error!(%mismatch, "the guard approved something else than was asked; nothing is signed on it");
            ApproveOutcome::Unknown(mismatch.into())
        }
    }
}
