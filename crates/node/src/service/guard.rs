//! What a signer calls.

use crate::caller::{caller, calling_signer};
use crate::service::answer::{Changed, changed, malformed, misfit, no_verdict};
use crate::service::session::{self, SessionStream};
use crate::service::{Shared, operator};
use interlock_core::{Action, Command, Epoch, Holder, Verdict};
use interlock_proto::v1::guard_server::Guard;
use interlock_proto::{
    Role, approved_to_wire, cluster_id, denied_to_wire, incarnation, intent_from_wire, key_id, key_to_wire,
    v1,
};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves signers.
pub(crate) struct GuardService {
    shared: Arc<Shared>,
}

impl GuardService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Turns a signer away from keys that are not its own, before it costs a log entry. Only a courtesy, by what this
    /// node has applied: the rule book decides (R20), and a signer that was registered a moment ago asks again.
    fn check_registered(&self, command: &Command) -> Result<(), Status> {
        let (Action::Approve { holder, .. } | Action::Release { holder, .. }) = &command.action else {
            return Ok(());
        };
        let name = self.shared.state.read(|applied| {
            let record = applied.state.key(command.key)?;
            (!record.is_registered(&holder.signer)).then(|| record.name.clone())
        });
        match name {
            Some(name) => {
                let signer = &holder.signer;
                Err(Status::permission_denied(format!("signer {signer} is not registered for key {name}")))
            }
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Guard for GuardService {
    type SessionStream = SessionStream;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<SessionStream>, Status> {
        let signer = calling_signer(&request)?;
        session::serve(Arc::clone(&self.shared), signer, request.into_inner()).await.map(Response::new)
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::ApproveResponse>, Status> {
        let signer = calling_signer(&request)?;
        let request = request.into_inner();
        let parse = || {
            let holder = Holder { signer, incarnation: incarnation(&request.incarnation)? };
            let intent = intent_from_wire(request.intent.as_ref())?;
            let action = Action::Approve { holder, epoch: Epoch(request.epoch), intent };
            Ok(Command { cluster: cluster_id(&request.cluster_id)?, key: key_id(&request.key_id)?, action })
        };
        let command = parse().map_err(|error| malformed(&error))?;
        self.check_registered(&command)?;
        let verdict = self.shared.proposer.propose(command).await.map_err(no_verdict)?;
        let outcome = match &verdict {
            Verdict::Approved(approved) => {
                v1::approve_response::Outcome::Approved(approved_to_wire(approved))
            }
            Verdict::Denied(denial) => v1::approve_response::Outcome::Denied(denied_to_wire(denial)),
            _ => return Err(misfit(&verdict)),
        };
        Ok(Response::new(v1::ApproveResponse { outcome: Some(outcome) }))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        let signer = calling_signer(&request)?;
        let request = request.into_inner();
        let parse = || {
            let holder = Holder { signer, incarnation: incarnation(&request.incarnation)? };
            let action = Action::Release { holder, epoch: Epoch(request.epoch), give_back: None };
            Ok(Command { cluster: cluster_id(&request.cluster_id)?, key: key_id(&request.key_id)?, action })
        };
        let command = parse().map_err(|error| malformed(&error))?;
        self.check_registered(&command)?;
        let verdict = self.shared.proposer.propose(command).await.map_err(no_verdict)?;
        let outcome = match changed(&verdict)? {
            Changed::Done(done) => v1::release_response::Outcome::Done(done),
            Changed::Denied(denied) => v1::release_response::Outcome::Denied(denied),
        };
        Ok(Response::new(v1::ReleaseResponse { outcome: Some(outcome) }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let who = caller(&request, &[Role::Signer, Role::Operator, Role::Viewer])?;
        let found = operator::find_key(&self.shared, request.get_ref()).await?;
        let (key, record) = found;
        if who.role == Role::Signer && !record.signers.iter().any(|signer| signer.as_str() == who.name) {
            let name = &record.name;
            return Err(Status::permission_denied(format!("{who} is not registered for key {name}")));
        }
        Ok(Response::new(v1::GetKeyResponse {
            cluster_id: self.shared.local.cluster.0.to_vec(),
            key: Some(key_to_wire(key, &record)),
        }))
    }
}
