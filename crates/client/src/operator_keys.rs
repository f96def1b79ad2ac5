//! What operators change on a key, and what they ask of the cluster as a whole: rules and backups.
//!
//! Every change names the record version that the operator saw, so it is harmless when it is repeated.

use crate::leader::{CallOutcome, Repeat};
use crate::operator::{
    ATTEMPT_TIMEOUT, Change, OperatorClient, OperatorError, answered, change_of, denied_of, no_outcome,
    read_of,
};
use interlock_core::KeyId;
use interlock_proto::v1::operator_client::OperatorClient as Rpc;
use interlock_proto::v1::{self, raise_rules_response};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Response, Status};

/// Longest wait for a backup, all of it.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest backup that is received, bytes.
const BACKUP_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Longest wait while the leader asks every voter for the rules it knows, and commits.
const RULES_TIMEOUT: Duration = Duration::from_secs(5);

/// The rules after [`OperatorClient::raise_rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The version in force.
    pub version: u32,
    /// It was in force already, and no voter knows a later one.
    pub already: bool,
}

impl OperatorClient {
    async fn change<T, F, Fut>(&self, request: T, call: F) -> Result<Change, OperatorError>
    where
        T: Clone,
        F: Fn(Rpc<Channel>, T) -> Fut,
        Fut: Future<Output = Result<Response<v1::ChangeResponse>, Status>>,
    {
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        change_of(self.leader.call(limits, |channel| call(Rpc::new(channel), request.clone())).await)
    }

    /// Sets the operator's settings of a key.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn set_policy(&self, request: v1::SetPolicyRequest) -> Result<Change, OperatorError> {
        self.change(request, |mut rpc, request| async move { rpc.set_policy(request).await }).await
    }

    /// Sets the signers that may hold a key's lease.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn set_signers(&self, request: v1::SetSignersRequest) -> Result<Change, OperatorError> {
        self.change(request, |mut rpc, request| async move { rpc.set_signers(request).await }).await
    }

    /// Raises a key's record to what it may have signed elsewhere.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn import_claim(&self, request: v1::ImportClaimRequest) -> Result<Change, OperatorError> {
        self.change(request, |mut rpc, request| async move { rpc.import_claim(request).await }).await
    }

    /// Stops a key for ever.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn retire(&self, key: KeyId, version: u64, reason: &str) -> Result<Change, OperatorError> {
        let (key_id, reason) = (key.0.to_vec(), reason.to_owned());
        let request = v1::FreezeKeyRequest { key_id, expected_version: version, reason };
        self.change(request, |mut rpc, request| async move { rpc.retire_key(request).await }).await
    }

    /// Lifts a key's quarantine, on the operator's word.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn lift_quarantine(&self, request: v1::LiftQuarantineRequest) -> Result<Change, OperatorError> {
        self.change(request, |mut rpc, request| async move { rpc.lift_quarantine(request).await }).await
    }

    /// Brings the next rule version in force, if every voter knows it. Repeated only when nothing was committed: a
    /// repetition after it was would raise the rules once more.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn raise_rules(&self) -> Result<Rules, OperatorError> {
        let mut limits = self.limits(RULES_TIMEOUT, Repeat::IfNotCommitted);
        limits.deadline = limits.deadline.max(Instant::now() + RULES_TIMEOUT);
        let call = |channel| async move { Rpc::new(channel).raise_rules(v1::RaiseRulesRequest {}).await };
        let (response, after_unknown) = answered(self.leader.call(limits, call).await)?;
        match response.outcome {
            Some(raise_rules_response::Outcome::InForce(v1::RulesInForce { rules, already })) => {
                Ok(Rules { version: rules, already })
            }
            Some(raise_rules_response::Outcome::Denied(denied)) => Err(denied_of(denied, after_unknown)),
            None => Err(no_outcome()),
        }
    }

    /// The bytes of a backup, taken by the leader at a linearizable point. Not verified here.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn save_backup(&self) -> Result<Vec<u8>, OperatorError> {
        let limits = self.limits(ATTEMPT_TIMEOUT, Repeat::Always);
        let call = |channel| async move { Rpc::new(channel).save_backup(v1::SaveBackupRequest {}).await };
        let mut pieces = read_of(self.leader.call(limits, call).await)?;
        let deadline = Instant::now() + BACKUP_TIMEOUT;
        let mut bytes = Vec::new();
        loop {
            let next = match timeout_at(deadline, pieces.message()).await {
                Ok(Ok(next)) => next,
                Ok(Err(status)) => return read_of(CallOutcome::Unknown { message: status.to_string() }),
                Err(_) => {
                    let message = format!("the backup was not complete after {BACKUP_TIMEOUT:?}");
                    return Err(OperatorError::Unavailable { message });
                }
            };
            let Some(piece) = next else { return Ok(bytes) };
            if bytes.len() + piece.data.len() > BACKUP_BYTES_MAX {
                let message = format!("the backup is larger than {BACKUP_BYTES_MAX} bytes");
                return Err(OperatorError::Unavailable { message });
            }
            bytes.extend_from_slice(&piece.data);
        }
    }
}
