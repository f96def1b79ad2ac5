//! The guard service of one fake node: scripted answers first, the rule book otherwise.

use super::{Answer, Shared};
use interlock_core::{Action, Command, Epoch, Holder, Incarnation, KeyId, SignerId, Verdict};
use interlock_proto::v1::guard_server::Guard;
use interlock_proto::v1::{self, approve_response, release_response, session_event, session_request};
use interlock_proto::{Identity, NotCommitted, not_committed};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub struct Service {
    pub node_id: u64,
    pub shared: Arc<Shared>,
}

fn signer_of<T>(request: &Request<T>) -> SignerId {
    let certificates = request.peer_certs().expect("the fake guard asks for certificates");
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificates[0]).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let x509_parser::extensions::GeneralName::DNSName(name) = &names.value.general_names[0] else {
        panic!("no DNS name")
    };
    SignerId::parse(&Identity::from_dns_name(name).unwrap().name).unwrap()
}

fn key_and_incarnation(key: &[u8], incarnation: &[u8]) -> (KeyId, Incarnation) {
    (interlock_proto::key_id(key).unwrap(), interlock_proto::incarnation(incarnation).unwrap())
}

impl Service {
    fn check_leader(&self) -> Result<(), Status> {
        let leader = self.shared.inner().leader;
        if leader == Some(self.node_id) {
            return Ok(());
        }
        Err(not_committed(&NotCommitted { leader, message: "not the leader".to_owned() }))
    }

    fn apply_approve(&self, signer: SignerId, request: &v1::ApproveRequest) -> v1::ApproveResponse {
        let (key, incarnation) = key_and_incarnation(&request.key_id, &request.incarnation);
        let intent = interlock_proto::intent_from_wire(request.intent.as_ref()).unwrap();
        let action =
            Action::Approve { holder: Holder { signer, incarnation }, epoch: Epoch(request.epoch), intent };
        let cluster = interlock_proto::cluster_id(&request.cluster_id).unwrap();
        let outcome = match self.shared.apply(&Command { cluster, key, action }) {
            Verdict::Approved(approved) => {
                approve_response::Outcome::Approved(interlock_proto::approved_to_wire(&approved))
            }
            Verdict::Denied(denial) => {
                approve_response::Outcome::Denied(interlock_proto::denied_to_wire(&denial))
            }
            other => panic!("an approval got {other:?}"),
        };
        v1::ApproveResponse { outcome: Some(outcome) }
    }
}

#[tonic::async_trait]
impl Guard for Service {
    type SessionStream = ReceiverStream<Result<v1::SessionEvent, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let signer = signer_of(&request);
        let (sender, receiver) = mpsc::channel(64);
        let shared = Arc::clone(&self.shared);
        let mut requests = request.into_inner();
        let Some(v1::SessionRequest { kind: Some(session_request::Kind::Hello(hello)) }) =
            requests.message().await?
        else {
            return Err(Status::invalid_argument("a session begins with Hello"));
        };
        let (ours, check_hello) = {
            let inner = shared.inner();
            (inner.welcome_cluster, inner.check_hello)
        };
        if check_hello && hello.cluster_id != ours.0 {
            return Err(Status::failed_precondition(format!("this is cluster {ours}")));
        }
        tokio::spawn(run_session(shared, self.node_id, signer, hello, requests, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::ApproveResponse>, Status> {
        let signer = signer_of(&request);
        let request = request.into_inner();
        let answer = {
            let mut inner = self.shared.inner();
            inner.asked.push((self.node_id, request.clone()));
            inner.scripts.entry(self.node_id).or_default().pop_front()
        };
        self.shared.progress();
        let Some(answer) = answer else {
            self.check_leader()?;
            return Ok(Response::new(self.apply_approve(signer, &request)));
        };
        match answer {
            Answer::NotCommitted { hint } => {
                Err(not_committed(&NotCommitted { leader: hint, message: "scripted".to_owned() }))
            }
            Answer::Hang { commit } => {
                if commit {
                    self.apply_approve(signer, &request);
                }
                std::future::pending().await
            }
            Answer::Cut { commit } => {
                if commit {
                    self.apply_approve(signer, &request);
                }
                self.shared.cut(self.node_id);
                std::future::pending().await
            }
            Answer::Late(delay) => {
                let response = self.apply_approve(signer, &request);
                tokio::time::sleep(delay).await;
                Ok(Response::new(response))
            }
            Answer::Change(change) => {
                let mut response = self.apply_approve(signer, &request);
                let Some(approve_response::Outcome::Approved(approved)) = &mut response.outcome else {
                    panic!("only an approval can be changed")
                };
                change(approved);
                Ok(Response::new(response))
            }
            Answer::Deny => {
                let (rule, rule_name) = (8, "NoRegression".to_owned());
                let denied = v1::Denied { rule, rule_name, message: "R10 NoRegression: scripted".to_owned() };
                Ok(Response::new(v1::ApproveResponse {
                    outcome: Some(approve_response::Outcome::Denied(denied)),
                }))
            }
            Answer::Status(code) => Err(Status::new(code, "scripted")),
            Answer::Empty => Ok(Response::new(v1::ApproveResponse { outcome: None })),
        }
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        self.check_leader()?;
        let signer = signer_of(&request);
        let request = request.into_inner();
        let (key, incarnation) = key_and_incarnation(&request.key_id, &request.incarnation);
        let action = Action::Release {
            holder: Holder { signer, incarnation },
            epoch: Epoch(request.epoch),
            give_back: None,
        };
        let cluster = interlock_proto::cluster_id(&request.cluster_id).unwrap();
        let outcome = match self.shared.apply(&Command { cluster, key, action }) {
            Verdict::Denied(denial) => {
                release_response::Outcome::Denied(interlock_proto::denied_to_wire(&denial))
            }
            _ => release_response::Outcome::Done(v1::Done::default()),
        };
        Ok(Response::new(v1::ReleaseResponse { outcome: Some(outcome) }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        self.check_leader()?;
        let inner = self.shared.inner();
        let cluster_id = inner.state.cluster().0.to_vec();
        let found = match request.into_inner().selector {
            Some(v1::get_key_request::Selector::Name(name)) => {
                inner.state.keys().find(|(_, record)| record.name.as_str() == name)
            }
            Some(v1::get_key_request::Selector::KeyId(id)) => {
                inner.state.keys().find(|(key, _)| key.0.as_slice() == id)
            }
            None => None,
        };
        let (key, record) = found.ok_or_else(|| Status::not_found("no such key"))?;
        let key = Some(interlock_proto::key_to_wire(key, record));
        Ok(Response::new(v1::GetKeyResponse { cluster_id, key }))
    }
}

async fn run_session(
    shared: Arc<Shared>,
    node_id: u64,
    signer: SignerId,
    hello: v1::Hello,
    mut requests: Streaming<v1::SessionRequest>,
    events: mpsc::Sender<Result<v1::SessionEvent, Status>>,
) {
    let incarnation = interlock_proto::incarnation(&hello.incarnation).unwrap();
    let keys: Vec<KeyId> = hello.key_ids.iter().map(|key| interlock_proto::key_id(key).unwrap()).collect();
    let cluster_id = shared.inner().welcome_cluster.0.to_vec();
    let welcome = v1::Welcome { cluster_id, node_id };
    let mut send = vec![session_event::Kind::Welcome(welcome)];
    let mut changed = shared.changed.subscribe();
    shared.inner().sessions.insert((node_id, signer.to_string()), (incarnation, Vec::new()));
    shared.progress();
    send.extend(shared.updates(&keys));
    loop {
        for kind in send.drain(..) {
            if events.send(Ok(v1::SessionEvent { kind: Some(kind) })).await.is_err() {
                return;
            }
        }
        tokio::select! {
            request = requests.message() => {
                let Ok(Some(request)) = request else {
                    shared.inner().sessions.remove(&(node_id, signer.to_string()));
                    shared.progress();
                    return;
                };
                if let Some(session_request::Kind::Heartbeat(heartbeat)) = request.kind {
                    let (silent, leader) = {
                        let mut inner = shared.inner();
                        let health = (incarnation, heartbeat.keys);
                        inner.sessions.insert((node_id, signer.to_string()), health);
                        (inner.silent.contains(&node_id), inner.leader)
                    };
                    shared.progress();
                    if !silent {
                        let ack = v1::HeartbeatAck { sequence: heartbeat.sequence, leader };
                        send.push(session_event::Kind::HeartbeatAck(ack));
                    }
                }
            }
            _ = changed.changed() => send.extend(shared.updates(&keys)),
        }
    }
}
