//! `node start`: opens the data directory, joins consensus, serves. The order matters: the lock and the identity first,
//! then the log, then peers, then signers and operators.

use crate::config::{ConfigError, Listen, NodeConfig};
use crate::divergence::{self, Comparison, Finding};
use crate::failover::{self, Driver};
use crate::health;
use crate::membership::finish_changes;
use crate::proposer::Proposer;
use crate::raft::{
    ChainAsker, JOINED_LATER, LocalNode, MESSAGE_BYTES_MAX, PeerNetwork, PeerService, Peers, RulesAsker,
    follow_addresses, founders_digest, join, save_marks,
};
use crate::service::{GuardService, MembershipService, OperatorService, Shared};
use crate::sessions::Sessions;
use crate::tls::{Tls, TlsError};
use interlock_disk::RealDisk;
use interlock_proto::raft::raft_server::RaftServer;
use interlock_proto::v1::guard_server::GuardServer;
use interlock_proto::v1::membership_server::MembershipServer;
use interlock_proto::v1::operator_server::OperatorServer;
use interlock_store::{
    Expected, FatalHook, GuardNode, StateMachine, Store, StoreOpenError, StoreOptions, TypeConfig,
};
use openraft::SnapshotPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, server::Router};
use tracing::{error, info};

/// Entries in one append. With entries of at most 512 KiB this stays within the message limit.
const ENTRIES_PER_APPEND: u64 = 100;
/// Requests of one connection at once, and its open streams.
const REQUESTS_PER_CONNECTION_MAX: u32 = 4096;
/// Largest message from a signer or an operator, bytes.
const CLIENT_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest wait for open requests when the node stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Idle time after which a server checks that the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates do not fit.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data directory does not fit.
    #[error(transparent)]
    Open(#[from] StoreOpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The TLS settings are not usable.
    #[error("TLS: {0}; are the key and the certificate a pair, in PEM?")]
    TlsSettings(tonic::transport::Error),
    /// No randomness for the identity of this process.
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    /// openraft refused its settings, or the log.
    #[error("consensus does not start: {0}")]
    Consensus(String),
}

/// Why a running node stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Consensus has stopped, usually for a failed write.
    #[error("consensus has stopped: {0}")]
    Consensus(String),
    /// The peers remember other or newer data of this node.
    #[error("{0}")]
    Refused(String),
    /// Its state differs from that of the other nodes. It never starts again.
    #[error("the state of this node differs from that of the others: {finding}. Replace it by a new node")]
    Diverged {
        /// What was compared, and with whom.
        finding: String,
    },
    /// A server or task ended by itself.
    #[error("{0}")]
    Task(String),
}

/// A node that serves.
pub struct RunningNode {
    raft: openraft::Raft<TypeConfig, StateMachine>,
    known_peers: Arc<Peers>,
    tasks: JoinSet<String>,
    stop: watch::Sender<bool>,
    diverged: Finding,
    /// Where peers reach it.
    pub peers: SocketAddr,
    /// Where signers and operators reach it.
    pub clients: SocketAddr,
}

/// Starts a node.
///
/// # Errors
/// When the configuration, the certificates, the data directory or an address does not fit. No record is lost then.
pub async fn start(config: NodeConfig) -> Result<RunningNode, StartError> {
    config.check()?;
    let tls = Tls::load(&config.tls, config.node_id)?;
    let expected = Expected { node_id: config.node_id, cluster_id: config.expected_cluster()? };
    let options = store_options(&config);
    let store = Store::open(Arc::new(RealDisk), &config.data_dir, expected, &options)?;
    let founders = founding_members(&store);
    let local = local_node(&store, &founders)?;
    let (peers, clients, http) = listen_everywhere(&config.listen).await?;
    let (state, audit) = (store.state.clone(), store.audit.clone());
    let known_peers = Arc::new(Peers::new(local, store.flushed, store.peers));
    let network = PeerNetwork::new(tls.clone(), Arc::clone(&known_peers));
    let asker = ChainAsker::new(tls.clone(), Arc::clone(&known_peers));
    let (comparison, outlook) = Comparison::new(local.node_id, state.clone(), asker, store.divergence);
    let settings = raft_config(&config)?;
    let raft = openraft::Raft::new(local.node_id, settings, network.clone(), store.log, store.machine)
        .await
        .map_err(|error| StartError::Consensus(error.to_string()))?;
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared {
        local,
        raft: raft.clone(),
        state: state.clone(),
        audit,
        sessions: Arc::new(Sessions::default()),
        proposer: Proposer::start(raft.clone(), state.clone()),
        rules: RulesAsker::new(local.node_id, tls.clone(), Arc::clone(&known_peers)),
        settings: config.failover,
        started_at: Instant::now(),
        stopping: stopping.clone(),
    });
    let addresses =
        (local_address(&peers, config.listen.peers), local_address(&clients, config.listen.clients));
    let mut tasks = JoinSet::new();
    let service =
        PeerService::new(raft.clone(), Arc::clone(&known_peers), state.clone(), outlook.heard, store.inbox);
    let (at_once, router) = (std::future::ready(()), peer_router(service, &tls)?);
    serve(&mut tasks, "peer server", at_once, router, peers, stopping.clone());
    let (gate, router) = (trust(outlook.trusted), client_router(&shared, &known_peers, &tls)?);
    serve(&mut tasks, "client server", gate, router, clients, stopping.clone());
    if let Some(listener) = http {
        let serving = health::serve(listener, raft.clone());
        tasks
            .spawn(until(stopping.clone(), async move { format!("HTTP server ended: {:?}", serving.await) }));
    }
    let driver = Driver {
        raft: raft.clone(),
        state,
        sessions: Arc::clone(&shared.sessions),
        proposer: shared.proposer.clone(),
        settings: config.failover,
    };
    tasks.spawn(until(stopping.clone(), divergence::run(comparison)));
    tasks.spawn(until(stopping.clone(), async move {
        failover::run(driver).await;
        "failure detector ended".to_owned()
    }));
    found_cluster(&raft, founders).await?;
    run_beside(&mut tasks, &stopping, &raft, network);
    let (peers, clients) = addresses;
    info!(node_id = local.node_id, cluster = %local.cluster, %peers, %clients, "node started");
    Ok(RunningNode { raft, known_peers, tasks, stop, diverged: outlook.finding, peers, clients })
}

fn store_options(config: &NodeConfig) -> StoreOptions {
    let mut options = StoreOptions::new(FatalHook::stop_process());
    options.audit.retain_bytes = config.storage.audit_retain_mib.saturating_mul(1024 * 1024);
    options.audit.retain_entries = config.storage.audit_retain_entries;
    options
}

impl RunningNode {
    /// Waits until the node cannot go on. A healthy node never returns.
    ///
    /// # Errors
    /// Always: the reason for the stop.
    pub async fn stopped(&mut self) -> Result<std::convert::Infallible, StopError> {
        let mut metrics = self.raft.metrics();
        loop {
            if let Some(finding) = self.diverged.get().map(str::to_owned) {
                self.diverged.marked().await;
                self.stop.send_replace(true);
                return Err(StopError::Diverged { finding });
            }
            let running = metrics.borrow_watched().running_state.clone();
            if let Err(fatal) = running {
                error!(%fatal, "consensus has stopped");
                return Err(StopError::Consensus(fatal.to_string()));
            }
            tokio::select! {
                changed = metrics.changed() => {
                    changed.map_err(|_| StopError::Consensus("its task has ended".to_owned()))?;
                }
                reason = self.known_peers.admission.refused() => return Err(StopError::Refused(reason)),
                Some(ended) = self.tasks.join_next() => {
                    let reason = ended.unwrap_or_else(|error| error.to_string());
                    if self.diverged.get().is_none() {
                        return Err(StopError::Task(reason));
                    }
                }
            }
        }
    }

    /// Stops in order: sessions and requests, then consensus, then the store. Its directory is unlocked as soon as the
    /// last task that reads it has ended.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} });
        if drained.await.is_err() {
            self.tasks.shutdown().await;
        }
        if let Err(error) = self.raft.shutdown().await {
            error!(%error, "consensus did not stop cleanly");
        }
        if let Err(error) = self.known_peers.save() {
            error!(%error, "what the peers had reported last was not written down");
        }
    }
}

fn local_node(store: &Store, founders: &BTreeMap<u64, GuardNode>) -> Result<LocalNode, StartError> {
    let identity = &store.identity;
    Ok(LocalNode {
        cluster: identity.cluster_id,
        node_id: identity.node_id,
        incarnation: identity.incarnation.to_be_bytes(),
        run: random_run()?,
        founders: if founders.is_empty() { JOINED_LATER } else { founders_digest(founders.keys().copied()) },
    })
}

/// What runs beside consensus as long as the node does.
fn run_beside(
    tasks: &mut JoinSet<String>,
    stopping: &watch::Receiver<bool>,
    raft: &openraft::Raft<TypeConfig, StateMachine>,
    network: PeerNetwork,
) {
    tasks.spawn(until(stopping.clone(), follow_addresses(network.peers(), raft.clone())));
    tasks.spawn(until(stopping.clone(), save_marks(network.peers())));
    tasks.spawn(until(stopping.clone(), finish_changes(raft.clone())));
    tasks.spawn(until(stopping.clone(), join(network, raft.clone())));
}

fn random_run() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// For peers, for clients, and for HTTP if that is asked for.
async fn listen_everywhere(
    at: &Listen,
) -> Result<(TcpListener, TcpListener, Option<TcpListener>), StartError> {
    let http = match at.http {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    Ok((listen(at.peers).await?, listen(at.clients).await?, http))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn local_address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn founding_members(store: &Store) -> BTreeMap<u64, GuardNode> {
    let members = &store.identity.founding_members;
    let ids_used_to = members.iter().map(|member| member.id).max().unwrap_or(0);
    members.iter().map(|member| (member.id, member.node(ids_used_to))).collect()
}

/// Every founder proposes the same members, so it does not matter who is first: peers refuse one that was founded with
/// others.
async fn found_cluster(
    raft: &openraft::Raft<TypeConfig, StateMachine>,
    founders: BTreeMap<u64, GuardNode>,
) -> Result<(), StartError> {
    let consensus = |error: &dyn std::fmt::Display| StartError::Consensus(error.to_string());
    if founders.is_empty() || raft.is_initialized().await.map_err(|error| consensus(&error))? {
        return Ok(());
    }
    match raft.initialize(founders).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(consensus(&error)),
    }
}

fn raft_config(config: &NodeConfig) -> Result<Arc<openraft::Config>, StartError> {
    let (timing, storage) = (config.timing, config.storage);
    let config = openraft::Config {
        cluster_name: "interlock".to_owned(),
        heartbeat_interval: timing.heartbeat_interval_ms,
        election_timeout_min: timing.election_timeout_min_ms,
        election_timeout_max: timing.election_timeout_max_ms,
        max_payload_entries: ENTRIES_PER_APPEND,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(storage.snapshot_every_entries),
        max_in_snapshot_log_to_keep: storage.keep_entries,
        // Without it a cut-off node returns with a higher term and unseats a healthy leader.
        enable_pre_vote: Some(true),
        // A restarted leader must win an election again: its state may be behind what clients saw.
        enable_leader_restore: Some(false),
        // A follower whose log went back has lost what it acknowledged. openraft looks only in debug builds; what
        // refuses such a voter here is the peers' memory of its data and of its mark.
        allow_log_reversion: Some(false),
        ..openraft::Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Consensus(error.to_string()))
}

fn server(tls: &Tls) -> Result<Server, StartError> {
    Server::builder()
        .tls_config(tls.server())
        .map(|server| {
            server
                .tcp_nodelay(true)
                .http2_keepalive_interval(Some(KEEPALIVE))
                .http2_keepalive_timeout(Some(KEEPALIVE))
                .max_concurrent_streams(Some(REQUESTS_PER_CONNECTION_MAX))
                .concurrency_limit_per_connection(REQUESTS_PER_CONNECTION_MAX as usize)
        })
        .map_err(StartError::TlsSettings)
}

fn peer_router(peers: PeerService, tls: &Tls) -> Result<Router, StartError> {
    let service = RaftServer::new(peers)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok(server(tls)?.add_service(service))
}

fn client_router(shared: &Arc<Shared>, peers: &Arc<Peers>, tls: &Tls) -> Result<Router, StartError> {
    let guard = GuardServer::new(GuardService::new(Arc::clone(shared)))
        .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX);
    let operator = OperatorServer::new(OperatorService::new(Arc::clone(shared)));
    let members = MembershipServer::new(MembershipService::new(Arc::clone(shared), Arc::clone(peers)));
    Ok(server(tls)?.add_service(guard).add_service(operator).add_service(members))
}

/// Serves from when `gate` lets it; the listener holds callers until then.
fn serve(
    tasks: &mut JoinSet<String>,
    name: &'static str,
    gate: impl Future<Output = ()> + Send + 'static,
    router: Router,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tasks.spawn(async move {
        tokio::select! {
            () = gate => {}
            () = stopped(stopping.clone()) => return "stopped".to_owned(),
        }
        let serving = router.serve_with_incoming_shutdown(incoming, stopped(stopping));
        format!("{name} ended: {:?}", serving.await)
    });
}

/// Returns when the node stops, also when the sender has gone: then nobody runs this node any more.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A node whose state is in doubt answers its peers, so that they can confirm it, and nobody else.
async fn trust(mut trusted: watch::Receiver<bool>) {
    if trusted.wait_for(|trusted| *trusted).await.is_err() {
        // The comparison has ended without trust: this node stops.
        std::future::pending().await
    }
}

/// Runs a task until it ends or the node stops.
async fn until(mut stopping: watch::Receiver<bool>, task: impl Future<Output = String>) -> String {
    tokio::select! {
        ended = task => ended,
        _ = stopping.wait_for(|stopping| *stopping) => "stopped".to_owned(),
    }
}
