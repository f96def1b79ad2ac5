//! What operators ask of the guard, typed.
//!
//! Reads are repeated until the deadline. A change is repeated after an unknown outcome only when it names what it saw
//! (a record version) or is a duplicate of itself; a failover is not, and says `Unknown` instead.

use crate::channels::Channels;
use crate::leader::{CallLimits, CallOutcome, LeaderClient, Repeat};
use interlock_core::{Epoch, KeyId};
use interlock_proto::MembersRefusal;
use interlock_proto::v1::membership_client::MembershipClient;
use interlock_proto::v1::operator_client::OperatorClient as Rpc;
use interlock_proto::v1::{self, change_response, failover_response};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// Longest that one node is waited for.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Longest that a node is waited for while it fails over: a planned one first waits for the holder to finish.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that one node is waited for while it takes a step of a change of members, which needs a commit. A node that
/// cannot be reached is passed over for as long, so it must not be long.
const MEMBERS_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long a leader is looked for: changes of members are made when nodes die and elections take place.
const MEMBERS_PATIENCE: Duration = Duration::from_secs(15);
/// Longest that a node's status is waited for.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Why an operator's call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Nothing was changed.
    #[error("the guard is not available, nothing was changed: {message}")]
    Unavailable {
        /// Why.
        message: String,
    },
    /// The change was perhaps made.
    #[error("the outcome is unknown, the change was perhaps made: {message}; look before you try again")]
    Unknown {
        /// Why.
        message: String,
    },
    /// The rule book refused.
    #[error("refused by {message}{}", after_unknown_note(*after_unknown))]
    Denied {
        /// The rule's number.
        rule: u32,
        /// One line that begins with the rule.
        message: String,
        /// An earlier attempt of the same command may have been applied.
        after_unknown: bool,
    },
    /// The certificate does not allow this.
    #[error("not allowed: {message}; use a certificate of another role")]
    NotAuthorised {
        /// Why.
        message: String,
    },
    /// The members cannot be changed in this way.
    #[error("{message}")]
    MembersRefused {
        /// Why, for programs.
        refusal: MembersRefusal,
        /// Why.
        message: String,
    },
    /// The request itself is wrong.
    #[error("the request is not valid: {message}")]
    Invalid {
        /// Why.
        message: String,
    },
}

fn after_unknown_note(after_unknown: bool) -> &'static str {
    if after_unknown { " (an earlier attempt may have been applied: look before you try again)" } else { "" }
}

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The key it is about.
    pub key: KeyId,
    /// It was so already.
    pub already: bool,
    /// Lease epoch in force.
    pub epoch: Epoch,
    /// Record version in force.
    pub version: u64,
}

/// What one node says of itself, or why it says nothing.
#[derive(Debug)]
pub struct NodeReport {
    /// Which node.
    pub node_id: u64,
    /// Where it was asked.
    pub address: String,
    /// Its status.
    pub status: Result<v1::NodeStatusResponse, OperatorError>,
}

/// Which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelector {
    /// By its operator's name.
    Name(String),
    /// By its identity.
    Id(KeyId),
}

impl KeySelector {
    pub(crate) fn to_wire(&self) -> v1::GetKeyRequest {
        let selector = match self {
            Self::Name(name) => v1::get_key_request::Selector::Name(name.clone()),
            Self::Id(key) => v1::get_key_request::Selector::KeyId(key.0.to_vec()),
        };
        v1::GetKeyRequest { selector: Some(selector) }
    }
}

/// The operator's side of the guard.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    pub(crate) leader: LeaderClient,
    patience: Duration,
}

impl OperatorClient {
    /// A client that tries for `patience` before it gives up on a call.
    #[must_use]
    pub fn new(channels: Channels, patience: Duration) -> Self {
        Self { leader: LeaderClient::new(channels), patience }
    }

    /// Adds a key. Harmless when repeated.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn add_key(&self, request: v1::AddKeyRequest) -> Result<Change, OperatorError> {
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        change_of(
            self.leader
                .call(limits, |channel| {
                    let request = request.clone();
                    async move { Rpc::new(channel).add_key(request).await }
                })
                .await,
        )
    }

    /// All keys, read linearizably.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn list_keys(&self) -> Result<v1::ListKeysResponse, OperatorError> {
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        let call = |channel| async move { Rpc::new(channel).list_keys(v1::ListKeysRequest {}).await };
        read_of(self.leader.call(limits, call).await)
    }

    /// One key, read linearizably.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn show_key(&self, key: &KeySelector) -> Result<v1::GetKeyResponse, OperatorError> {
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        let request = key.to_wire();
        let outcome = self
            .leader
            .call(limits, |channel| {
                let request = request.clone();
                async move { Rpc::new(channel).show_key(request).await }
            })
            .await;
        read_of(outcome)
    }

    /// Stops a key. Harmless when repeated: it names the record version that the operator saw.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn freeze(&self, key: KeyId, version: u64, reason: &str) -> Result<Change, OperatorError> {
        let request = state_request(key, version, reason);
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        let outcome = self
            .leader
            .call(limits, |channel| {
                let request = request.clone();
                async move { Rpc::new(channel).freeze_key(request).await }
            })
            .await;
        change_of(outcome)
    }

    /// Lets a frozen key sign again. Harmless when repeated, as [`Self::freeze`].
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn unfreeze(&self, key: KeyId, version: u64, reason: &str) -> Result<Change, OperatorError> {
        let request = state_request(key, version, reason);
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        let outcome = self
            .leader
            .call(limits, |channel| {
                let request = request.clone();
                async move { Rpc::new(channel).unfreeze_key(request).await }
            })
            .await;
        change_of(outcome)
    }

    /// Moves a lease. Names no epoch, so it is never repeated after an unknown outcome.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn failover(&self, request: v1::FailoverRequest) -> Result<v1::Lease, OperatorError> {
        let mut limits = self.limits(FAILOVER_TIMEOUT, Repeat::IfNotCommitted);
        limits.deadline = Instant::now() + self.patience.max(FAILOVER_TIMEOUT);
        let outcome = self
            .leader
            .call(limits, |channel| {
                let request = request.clone();
                async move { Rpc::new(channel).failover(request).await }
            })
            .await;
        let (response, after_unknown) = answered(outcome)?;
        match response.outcome {
            Some(failover_response::Outcome::Lease(lease)) => Ok(lease),
            Some(failover_response::Outcome::Denied(denied)) => Err(denied_of(denied, after_unknown)),
            None => Err(no_outcome()),
        }
    }

    /// The members, read linearizably.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn members(&self) -> Result<v1::MembersResponse, OperatorError> {
        let limits = self.members_limits();
        let request = v1::MembersRequest { local: false };
        let call = |channel| async move { MembershipClient::new(channel).members(request).await };
        read_of(self.leader.call(limits, call).await)
    }

    /// One step towards a goal for the members. The goal is absolute, so the step is harmless when repeated.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn change_members(
        &self,
        goal: &v1::change_members_request::Goal,
    ) -> Result<v1::ChangeMembersResponse, OperatorError> {
        let limits = self.members_limits();
        let request = v1::ChangeMembersRequest { goal: Some(goal.clone()) };
        let outcome = self
            .leader
            .call(limits, |channel| {
                let request = request.clone();
                async move { MembershipClient::new(channel).change_members(request).await }
            })
            .await;
        let outcome = match outcome {
            // Whatever came of an earlier attempt: the refusal is about what is so now.
            CallOutcome::Rejected { status, .. } => CallOutcome::Rejected { status, after_unknown: false },
            other => other,
        };
        answered(outcome).map(|(response, _)| response)
    }

    /// What each configured node says of itself, asked at the same time.
    pub async fn node_status(&self) -> Vec<NodeReport> {
        let channels = self.leader.channels();
        let reports = channels.node_ids().map(|node_id| async move {
            let address = channels.address(node_id).unwrap_or_default().to_owned();
            NodeReport { node_id, address, status: status_of(channels, node_id).await }
        });
        futures::future::join_all(reports).await
    }

    fn members_limits(&self) -> CallLimits {
        let deadline = Instant::now() + self.patience.max(MEMBERS_PATIENCE);
        CallLimits { deadline, attempt_timeout: MEMBERS_ATTEMPT_TIMEOUT, repeat: Repeat::Always }
    }

    pub(crate) fn limits(&self, attempt_timeout: Duration, repeat: Repeat) -> CallLimits {
        CallLimits { deadline: Instant::now() + self.patience, attempt_timeout, repeat }
    }
}

fn state_request(key: KeyId, expected_version: u64, reason: &str) -> v1::FreezeKeyRequest {
    v1::FreezeKeyRequest { key_id: key.0.to_vec(), expected_version, reason: reason.to_owned() }
}

pub(crate) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

async fn status_of(channels: &Channels, node_id: u64) -> Result<v1::NodeStatusResponse, OperatorError> {
    let channel = channels
        .channel(node_id)
        .ok_or_else(|| OperatorError::Invalid { message: format!("node {node_id} is not configured") })?;
    let call = async move { Rpc::new(channel).node_status(v1::NodeStatusRequest {}).await };
    within(STATUS_TIMEOUT, call).await.map_err(|status| read_failure(node_id, &status))
}

/// A read that failed changed nothing, whatever became of it.
pub(crate) fn read_failure(node_id: u64, status: &Status) -> OperatorError {
    rejection_of(status).unwrap_or_else(|| OperatorError::Unavailable {
        message: format!("guard node {node_id}: {}", crate::channels::status_text(status)),
    })
}

fn rejection_of(status: &Status) -> Option<OperatorError> {
    let message = status.message().to_owned();
    if let Some(refusal) = MembersRefusal::of(status) {
        return Some(OperatorError::MembersRefused { refusal, message });
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Some(OperatorError::NotAuthorised { message }),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Some(OperatorError::Invalid { message }),
        _ => None,
    }
}

pub(crate) fn answered<T>(outcome: CallOutcome<T>) -> Result<(T, bool), OperatorError> {
    match outcome {
        CallOutcome::Answered { answer, after_unknown } => Ok((answer, after_unknown)),
        CallOutcome::NotCommitted { message } => Err(OperatorError::Unavailable { message }),
        CallOutcome::Unknown { message } => Err(OperatorError::Unknown { message }),
        CallOutcome::Rejected { status, after_unknown: true } => {
            Err(OperatorError::Unknown { message: status.message().to_owned() })
        }
        CallOutcome::Rejected { status, after_unknown: false } => {
            let unknown = || OperatorError::Unknown { message: status.message().to_owned() };
            Err(rejection_of(&status).unwrap_or_else(unknown))
        }
    }
}

pub(crate) fn read_of<T>(outcome: CallOutcome<T>) -> Result<T, OperatorError> {
    match outcome {
        CallOutcome::Unknown { message } => Err(OperatorError::Unavailable { message }),
        CallOutcome::Rejected { status, .. } => {
            answered(CallOutcome::Rejected { status, after_unknown: false }).map(|(answer, _)| answer)
        }
        other => answered(other).map(|(answer, _)| answer),
    }
}

pub(crate) fn change_of(outcome: CallOutcome<v1::ChangeResponse>) -> Result<Change, OperatorError> {
    let (response, after_unknown) = answered(outcome)?;
    match response.outcome {
        Some(change_response::Outcome::Done(done)) => {
            let key = interlock_proto::key_id(&response.key_id)
                .map_err(|error| OperatorError::Unknown { message: format!("malformed answer: {error}") })?;
            Ok(Change { key, already: done.already, epoch: Epoch(done.epoch), version: done.version })
        }
        Some(change_response::Outcome::Denied(denied)) => Err(denied_of(denied, after_unknown)),
        None => Err(no_outcome()),
    }
}

pub(crate) fn denied_of(denied: v1::Denied, after_unknown: bool) -> OperatorError {
    OperatorError::Denied { rule: denied.rule, message: denied.message, after_unknown }
}

pub(crate) fn no_outcome() -> OperatorError {
    OperatorError::Unknown { message: "the answer carries no outcome".to_owned() }
}
