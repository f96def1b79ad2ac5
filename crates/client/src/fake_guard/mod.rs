//! Guard nodes inside the test process: real gRPC over mTLS, the real rule book behind it, no consensus, and a script
//! that makes single answers go wrong. Each node stands behind a link that the test can cut.
// Part of tests, as all that uses it: it may panic, and its names say what they do.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::missing_panics_doc)]

mod pki;
mod service;

use crate::config::{GuardEndpoint, TlsFiles};
use interlock_core::cometbft::{CometbftClaim, Position};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainId, ChainIdentity, Claim, ClusterId, Command, Holder, Incarnation, KeyId, KeyName,
    LogPosition, Policy, PublicKey, Reason, SignerId, State, Verdict,
};
use interlock_proto::v1::guard_server::GuardServer;
use interlock_proto::v1::{self, session_event};
use interlock_proto::{Identity, Role};
pub use pki::Pki;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The cluster that the fake nodes belong to.
pub const CLUSTER: ClusterId = ClusterId([7; 16]);

/// One scripted answer to one approval request.
pub enum Answer {
    /// The promise that nothing was committed.
    NotCommitted { hint: Option<u64> },
    /// No answer, ever.
    Hang { commit: bool },
    /// The connection dies after the request arrived.
    Cut { commit: bool },
    /// The right answer, too late.
    Late(Duration),
    /// An approval with something changed in it.
    Change(fn(&mut v1::Approved)),
    /// A refusal by rule 8.
    Deny,
    /// A bare status.
    Status(tonic::Code),
    /// An answer without content.
    Empty,
}

pub struct Inner {
    pub state: State,
    pub log_index: u64,
    pub leader: Option<u64>,
    pub scripts: BTreeMap<u64, VecDeque<Answer>>,
    pub asked: Vec<(u64, v1::ApproveRequest)>,
    pub silent: BTreeSet<u64>,
    pub welcome_cluster: ClusterId,
    /// Refuse a Hello for another cluster than `welcome_cluster`, before any welcome.
    pub check_hello: bool,
    pub sessions: BTreeMap<(u64, String), (Incarnation, Vec<v1::KeyHealth>)>,
}

pub struct Shared {
    inner: Mutex<Inner>,
    /// Something was applied.
    pub changed: watch::Sender<u64>,
    /// Anything at all happened that a test may wait for.
    happened: watch::Sender<u64>,
    links: BTreeMap<u64, watch::Sender<Link>>,
}

#[derive(Clone, Copy, PartialEq)]
struct Link {
    up: bool,
    /// Connections of an older generation are cut.
    generation: u64,
}

impl Shared {
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn progress(&self) {
        self.happened.send_modify(|count| *count += 1);
    }

    pub fn apply(&self, command: &Command) -> Verdict {
        let verdict = {
            let mut inner = self.inner();
            inner.log_index += 1;
            let at = LogPosition { log_index: inner.log_index, item: 0 };
            inner.state.apply(at, command)
        };
        self.changed.send_modify(|count| *count += 1);
        self.progress();
        verdict
    }

    pub fn cut(&self, node_id: u64) {
        self.links[&node_id].send_modify(|link| link.generation += 1);
    }

    pub fn updates(&self, keys: &[KeyId]) -> Vec<session_event::Kind> {
        let inner = self.inner();
        let update = |key: &KeyId| {
            let record = inner.state.key(*key)?;
            let wire = interlock_proto::key_to_wire(*key, record);
            Some(session_event::Kind::KeyUpdate(v1::KeyUpdate {
                key_id: wire.key_id,
                lease: wire.lease,
                active: wire.state == "active",
                approved: wire.approved,
                log_index: inner.log_index,
            }))
        };
        keys.iter().filter_map(update).collect()
    }
}

pub struct FakeGuard {
    pub shared: Arc<Shared>,
    pub pki: Pki,
    pub endpoints: Vec<GuardEndpoint>,
    _tasks: JoinSet<()>,
}

impl FakeGuard {
    /// Nodes 1 to `count`; node 1 leads.
    pub async fn start(count: u64) -> Self {
        let links = (1..=count).map(|id| (id, watch::channel(Link { up: true, generation: 0 }).0)).collect();
        let inner = Inner {
            state: State::genesis(CLUSTER),
            log_index: 0,
            leader: Some(1),
            scripts: BTreeMap::new(),
            asked: Vec::new(),
            silent: BTreeSet::new(),
            welcome_cluster: CLUSTER,
            check_hello: false,
            sessions: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            changed: watch::channel(0).0,
            happened: watch::channel(0).0,
            links,
        });
        let pki = Pki::new();
        let (mut endpoints, mut tasks) = (Vec::new(), JoinSet::new());
        for id in 1..=count {
            endpoints.push(start_node(id, &shared, &pki, &mut tasks).await);
        }
        Self { shared, pki, endpoints, _tasks: tasks }
    }

    pub fn tls(&self, name: &str, role: Role) -> TlsFiles {
        self.pki.files(name, role)
    }

    pub fn script(&self, node_id: u64, answer: Answer) {
        self.shared.inner().scripts.entry(node_id).or_default().push_back(answer);
    }

    pub fn set_leader(&self, leader: Option<u64>) {
        self.shared.inner().leader = leader;
    }

    pub fn set_silent(&self, node_id: u64) {
        self.shared.inner().silent.insert(node_id);
    }

    /// Takes a node off the network, or back on it.
    pub fn set_up(&self, node_id: u64, up: bool) {
        self.shared.links[&node_id].send_modify(|link| {
            link.up = up;
            link.generation += 1;
        });
    }

    pub fn add_key(&self, name: &str, chain: &str, public_key: &[u8], signers: &[&str], floor: u64) -> KeyId {
        let add = AddKey {
            name: KeyName::parse(name).unwrap(),
            chain: ChainIdentity::Cometbft(ChainId::parse(chain).unwrap()),
            public_key: PublicKey::new(public_key).unwrap(),
            signers: signers.iter().map(|signer| SignerId::parse(signer).unwrap()).collect(),
            claim: Claim::Cometbft(CometbftClaim::floor(floor)),
            policy: Policy::default(),
        };
        let command = add.into_command(CLUSTER);
        let verdict = self.shared.apply(&command);
        assert!(!verdict.is_denied(), "{verdict:?}");
        command.key
    }

    /// Hands the lease to a process.
    pub fn grant(&self, key: KeyId, signer: &str, incarnation: Incarnation) {
        let expected_epoch = self.shared.inner().state.key(key).unwrap().epoch;
        let to = Holder { signer: SignerId::parse(signer).unwrap(), incarnation };
        let reason = Reason::parse("test").unwrap();
        let action = Action::Handover { expected_epoch, to, reason };
        let verdict = self.shared.apply(&Command { cluster: CLUSTER, key, action });
        assert!(!verdict.is_denied(), "{verdict:?}");
    }

    pub fn freeze(&self, key: KeyId) {
        let expected_version = self.shared.inner().state.key(key).unwrap().version;
        let action = Action::Freeze { expected_version, reason: Reason::parse("test").unwrap() };
        let verdict = self.shared.apply(&Command { cluster: CLUSTER, key, action });
        assert!(!verdict.is_denied(), "{verdict:?}");
    }

    pub fn holder(&self, key: KeyId) -> Option<Holder> {
        self.shared.inner().state.key(key).unwrap().holder.clone()
    }

    pub fn approved(&self, key: KeyId) -> Option<Position> {
        let inner = self.shared.inner();
        let record = inner.state.key(key).unwrap().watermark.cometbft().unwrap();
        record.last.as_ref().map(|last| last.position)
    }

    /// Waits until the test's condition holds of the guard's inside.
    pub async fn wait<T>(&self, what: &str, mut condition: impl FnMut(&Inner) -> Option<T>) -> T {
        let mut happened = self.shared.happened.subscribe();
        let found = async {
            loop {
                happened.borrow_and_update();
                if let Some(found) = condition(&self.shared.inner()) {
                    return found;
                }
                happened.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// Waits until a signer has a session with every node; returns its incarnation.
    pub async fn wait_sessions(&self, signer: &str) -> Incarnation {
        let count = self.endpoints.len();
        self.wait("sessions", |inner| {
            let mut of_signer = inner.sessions.iter().filter(|((_, name), _)| name == signer);
            let first = of_signer.next().map(|(_, (incarnation, _))| *incarnation)?;
            (of_signer.count() + 1 == count).then_some(first)
        })
        .await
    }
}

async fn start_node(id: u64, shared: &Arc<Shared>, pki: &Pki, tasks: &mut JoinSet<()>) -> GuardEndpoint {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside_port = inside.local_addr().unwrap().port();
    let address = outside.local_addr().unwrap().to_string();
    let (certificate, key) = pki.issue(&Identity::node(id));
    let tls = tonic::transport::ServerTlsConfig::new()
        .identity(tonic::transport::Identity::from_pem(certificate, key))
        .client_ca_root(tonic::transport::Certificate::from_pem(pki.ca_pem()));
    let service = GuardServer::new(service::Service { node_id: id, shared: Arc::clone(shared) });
    let server = tonic::transport::Server::builder().tls_config(tls).unwrap().add_service(service);
    tasks.spawn(async move { server.serve_with_incoming(TcpListenerStream::new(inside)).await.unwrap() });
    tasks.spawn(run_link(outside, inside_port, shared.links[&id].subscribe()));
    GuardEndpoint { id, address }
}

async fn run_link(outside: TcpListener, inside_port: u16, link: watch::Receiver<Link>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = outside.accept().await.unwrap();
        let mut link = link.clone();
        let opened = *link.borrow_and_update();
        if !opened.up {
            continue;
        }
        connections.spawn(async move {
            client.set_nodelay(true).unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", inside_port)).await.unwrap();
            server.set_nodelay(true).unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = link.wait_for(|now| *now != opened) => {}
            }
        });
    }
}
