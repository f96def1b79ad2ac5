//! What operators call. Reads are linearizable, except `NodeStatus`, `AuditTail` and `AuditPage`: those say what this
//! node knows.

use crate::audit_wire::status_to_wire;
use crate::caller::caller;
use crate::failover::detector::View;
use crate::service::Shared;
use crate::service::answer::{Changed, changed, malformed, misfit, no_verdict};
use crate::service::keys::{self, KeyChange};
use interlock_core::{
    Action, Command, Holder, KeyId, KeyName, KeyRecord, LogPosition, Reason, SignerId, Verdict,
};
use interlock_proto::v1::operator_server::Operator;
use interlock_proto::{
    Identity, Role, denied_to_wire, key_id, key_to_wire, lease_to_wire, position_to_wire, v1,
};
use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::time::Instant;
use tonic::{Request, Response, Status};

/// Most audit records in one answer.
const AUDIT_RECORDS_MAX: u32 = 1000;

const CHANGE: &[Role] = &[Role::Operator];
const READ: &[Role] = &[Role::Operator, Role::Viewer];

/// Serves operators.
pub(crate) struct OperatorService {
    shared: Arc<Shared>,
}

impl OperatorService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Parses and proposes an operator's change.
    async fn change<T: KeyChange>(
        &self,
        request: Request<T>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let who = caller(&request, CHANGE)?;
        self.propose(request.get_ref().parse(&who, self.shared.local.cluster)?).await
    }

    async fn change_state(
        &self,
        request: Request<v1::FreezeKeyRequest>,
        action: fn(u64, Reason) -> Action,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let who = caller(&request, CHANGE)?;
        self.propose(keys::of_state(request.get_ref(), &who, self.shared.local.cluster, action)?).await
    }

    async fn propose(&self, command: Command) -> Result<Response<v1::ChangeResponse>, Status> {
        let key = command.key;
        let verdict = self.shared.proposer.propose(command).await.map_err(no_verdict)?;
        let outcome = match changed(&verdict)? {
            Changed::Done(done) => v1::change_response::Outcome::Done(done),
            Changed::Denied(denied) => v1::change_response::Outcome::Denied(denied),
        };
        Ok(Response::new(v1::ChangeResponse { outcome: Some(outcome), key_id: key.0.to_vec() }))
    }

    /// Who takes the lease over: the signer asked for, or the healthiest.
    fn choose(
        &self,
        request: &v1::FailoverRequest,
        key: KeyId,
        record: &KeyRecord,
    ) -> Result<Holder, Status> {
        let sessions = self.shared.sessions.snapshot();
        let view = View {
            sessions: &sessions,
            settings: &self.shared.settings,
            now: Instant::now(),
            watching_since: self.shared.started_at,
        };
        let Some(name) = &request.to else {
            return view.successor(key, record).ok_or_else(|| {
                Status::failed_precondition(
                    "no healthy candidate can take the lease over: look at `cluster status`",
                )
            });
        };
        let signer = SignerId::parse(name).map_err(|error| invalid(&error))?;
        if !record.is_registered(&signer) {
            let registered = record.signers.iter().map(SignerId::as_str).collect::<Vec<_>>().join(", ");
            return Err(Status::failed_precondition(format!(
                "signer {signer} is not registered for key {}: registered are {registered}",
                record.name
            )));
        }
        if record.holder.as_ref().is_some_and(|holder| holder.signer == signer) {
            return Err(Status::failed_precondition(format!("signer {signer} holds the lease already")));
        }
        let ready = view.fit_process(key, record, &signer);
        if let Some(holder) = ready {
            return Ok(holder);
        }
        match (request.force, view.live_process(key, &signer)) {
            (true, Some(holder)) => Ok(holder),
            (false, Some(_)) => Err(Status::failed_precondition(format!(
                "signer {signer} is connected, but not fit, not caught up, or without its validator node; \
                 `--force` hands over all the same"
            ))),
            (_, None) => Err(Status::failed_precondition(format!(
                "signer {signer} is not connected with this key: start it first"
            ))),
        }
    }
}

pub(super) fn invalid(error: &impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn reason(who: &Identity, text: &str) -> Result<Reason, Status> {
    if text.trim().is_empty() {
        return Err(Status::invalid_argument("a reason is needed: it stays in the audit trail"));
    }
    Reason::parse(&format!("{who}: {text}")).map_err(|error| invalid(&error))
}

/// Reads one key, linearizably.
pub(super) async fn find_key(
    shared: &Shared,
    request: &v1::GetKeyRequest,
) -> Result<(KeyId, KeyRecord), Status> {
    use v1::get_key_request::Selector;
    shared.linearizable().await?;
    let selector = request.selector.as_ref().ok_or_else(|| Status::invalid_argument("name a key"))?;
    let found = match selector {
        Selector::KeyId(bytes) => {
            let key = key_id(bytes).map_err(|error| malformed(&error))?;
            shared.state.read(|applied| applied.state.key(key).map(|record| (key, record.clone())))
        }
        Selector::Name(name) => {
            let name = KeyName::parse(name).map_err(|error| invalid(&error))?;
            shared
                .state
                .read(|applied| applied.state.key_named(&name).map(|(key, record)| (key, record.clone())))
        }
    };
    found.ok_or_else(|| {
        let what = match selector {
            Selector::KeyId(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Selector::Name(name) => name.clone(),
        };
        Status::not_found(format!("R1 KeyKnown: there is no key {what}; `interlock key list` shows all"))
    })
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn add_key(
        &self,
        request: Request<v1::AddKeyRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        caller(&request, READ)?;
        self.shared.linearizable().await?;
        let keys = self
            .shared
            .state
            .read(|applied| applied.state.keys().map(|(key, record)| key_to_wire(key, record)).collect());
        Ok(Response::new(v1::ListKeysResponse { cluster_id: self.shared.local.cluster.0.to_vec(), keys }))
    }

    async fn show_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        caller(&request, READ)?;
        let (key, record) = find_key(&self.shared, request.get_ref()).await?;
        let cluster_id = self.shared.local.cluster.0.to_vec();
        Ok(Response::new(v1::GetKeyResponse { cluster_id, key: Some(key_to_wire(key, &record)) }))
    }

    async fn freeze_key(
        &self,
        request: Request<v1::FreezeKeyRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change_state(request, |expected_version, reason| Action::Freeze { expected_version, reason })
            .await
    }

    async fn unfreeze_key(
        &self,
        request: Request<v1::FreezeKeyRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change_state(request, |expected_version, reason| Action::Unfreeze { expected_version, reason })
            .await
    }

    async fn failover(
        &self,
        request: Request<v1::FailoverRequest>,
    ) -> Result<Response<v1::FailoverResponse>, Status> {
        let who = caller(&request, CHANGE)?;
        let request = request.get_ref();
        let reason = reason(&who, &request.reason)?;
        let selector = v1::get_key_request::Selector::Name(request.name.clone());
        let lookup = v1::GetKeyRequest { selector: Some(selector) };
        let (key, record) = find_key(&self.shared, &lookup).await?;
        let to = self.choose(request, key, &record)?;
        let action = Action::Handover { expected_epoch: record.epoch, to: to.clone(), reason };
        let command = Command { cluster: self.shared.local.cluster, key, action };
        let verdict = self.shared.proposer.propose(command).await.map_err(no_verdict)?;
        let outcome = match &verdict {
            Verdict::Granted(grant) => {
                v1::failover_response::Outcome::Lease(lease_to_wire(Some(&grant.holder), grant.epoch))
            }
            Verdict::AlreadyDone { epoch, .. } => {
                v1::failover_response::Outcome::Lease(lease_to_wire(Some(&to), *epoch))
            }
            Verdict::Denied(denial) => v1::failover_response::Outcome::Denied(denied_to_wire(denial)),
            _ => return Err(misfit(&verdict)),
        };
        Ok(Response::new(v1::FailoverResponse { outcome: Some(outcome) }))
    }

    async fn node_status(
        &self,
        request: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeStatusResponse>, Status> {
        caller(&request, READ)?;
        Ok(Response::new(status(&self.shared)))
    }

    async fn audit_tail(
        &self,
        request: Request<v1::AuditTailRequest>,
    ) -> Result<Response<v1::AuditTailResponse>, Status> {
        caller(&request, READ)?;
        let request = request.get_ref();
        let key = audit_filter(request.count, request.key_id.as_deref())?;
        let records = super::audit::tail(&self.shared, request.count, key).await?;
        Ok(Response::new(v1::AuditTailResponse { records }))
    }

    async fn audit_page(
        &self,
        request: Request<v1::AuditPageRequest>,
    ) -> Result<Response<v1::AuditPageResponse>, Status> {
        caller(&request, READ)?;
        let request = request.get_ref();
        let key = audit_filter(request.count, request.key_id.as_deref())?;
        let from = LogPosition { log_index: request.from_log_index, item: request.from_item };
        Ok(Response::new(super::audit::page(&self.shared, from, request.count, key).await?))
    }

    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn set_signers(
        &self,
        request: Request<v1::SetSignersRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn import_claim(
        &self,
        request: Request<v1::ImportClaimRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn lift_quarantine(
        &self,
        request: Request<v1::LiftQuarantineRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change(request).await
    }

    async fn retire_key(
        &self,
        request: Request<v1::FreezeKeyRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        self.change_state(request, |expected_version, reason| Action::Retire { expected_version, reason })
            .await
    }

    async fn raise_rules(
        &self,
        request: Request<v1::RaiseRulesRequest>,
    ) -> Result<Response<v1::RaiseRulesResponse>, Status> {
        caller(&request, CHANGE)?;
        super::rules::raise(&self.shared).await.map(Response::new)
    }

    type SaveBackupStream = super::backup::BackupStream;

    async fn save_backup(
        &self,
        request: Request<v1::SaveBackupRequest>,
    ) -> Result<Response<Self::SaveBackupStream>, Status> {
        let who = caller(&request, CHANGE)?;
        super::backup::save(&self.shared, &who).await.map(Response::new)
    }
}

fn audit_filter(count: u32, key: Option<&[u8]>) -> Result<Option<KeyId>, Status> {
    if count == 0 || count > AUDIT_RECORDS_MAX {
        return Err(Status::invalid_argument(format!("count: ask for 1 to {AUDIT_RECORDS_MAX} records")));
    }
    key.map(key_id).transpose().map_err(|error| malformed(&error))
}

fn status(shared: &Shared) -> v1::NodeStatusResponse {
    let metrics = shared.raft.metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let members = membership
        .nodes()
        .map(|(node_id, node)| v1::MemberStatus {
            node_id: *node_id,
            peer_address: node.peer_address.clone(),
            client_address: node.client_address.clone(),
            voter: voters.contains(node_id),
        })
        .collect();
    v1::NodeStatusResponse {
        cluster_id: shared.local.cluster.0.to_vec(),
        node_id: shared.local.node_id,
        role: format!("{:?}", metrics.state).to_lowercase(),
        leader: metrics.current_leader,
        term: metrics.current_term,
        last_log_index: metrics.last_log_index.unwrap_or(0),
        applied_index: metrics.last_applied.map_or(0, |log_id| log_id.index),
        audit_chain: shared.state.read(|applied| applied.state.audit_chain().as_bytes().to_vec()),
        signers: signers(shared),
        members,
        audit: Some(status_to_wire(&shared.audit.summary())),
    }
}

fn signers(shared: &Shared) -> Vec<v1::SignerStatus> {
    let now = Instant::now();
    let open = shared.sessions.snapshot().into_iter().filter(|(_, session)| session.closed_at.is_none());
    open.map(|(holder, session)| v1::SignerStatus {
        signer: holder.signer.to_string(),
        incarnation: holder.incarnation.0.to_vec(),
        silent_ms: u64::try_from(now.duration_since(session.heard_at).as_millis()).unwrap_or(u64::MAX),
        keys: session.keys.iter().map(|(key, health)| key_health(*key, health)).collect(),
    })
    .collect()
}

fn key_health(key: KeyId, health: &crate::sessions::KeyHealth) -> v1::KeyHealth {
    v1::KeyHealth {
        key_id: key.0.to_vec(),
        fit: health.fit,
        node_connected: health.node_gone_since.is_none(),
        asked: health.asked.map(position_to_wire),
        signed: health.signed.map(position_to_wire),
    }
}
