//! `node start`: opens the data directory, joins consensus, serves. The order matters: the lock and the identity first,
//! then the log, then peers, then signers and operators.

use crate::config::{ConfigError, NodeConfig};
use crate::failover::{self, Driver};
use crate::health;
use crate::proposer::Proposer;
use crate::raft::{LocalNode, MESSAGE_BYTES_MAX, PeerNetwork, PeerService, RulesAsker, founders_digest};
use crate::service::{GuardService, OperatorService, Shared};
use crate::sessions::Sessions;
use crate::tls::{Tls, TlsError};
use interlock_disk::RealDisk;
use interlock_proto::raft::raft_server::RaftServer;
use interlock_proto::v1::guard_server::GuardServer;
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
    /// A server or task ended by itself.
    #[error("{0}")]
    Task(String),
}

/// A node that serves.
pub struct RunningNode {
    raft: openraft::Raft<TypeConfig, StateMachine>,
    tasks: JoinSet<String>,
    stop: watch::Sender<bool>,
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
    let options = StoreOptions::new(FatalHook::stop_process());
    let store = Store::open(Arc::new(RealDisk), &config.data_dir, expected, &options)?;
    let founders = founding_members(&store);
    let local = LocalNode {
        cluster: store.identity.cluster_id,
        node_id: store.identity.node_id,
        incarnation: store.identity.incarnation.to_be_bytes(),
        founders: founders_digest(founders.keys().copied()),
    };
    let peers = listen(config.listen.peers).await?;
    let clients = listen(config.listen.clients).await?;
    let http = match config.listen.http {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let (state, audit) = (store.state.clone(), store.audit.clone());
    let known_peers = Arc::new(store.peers);
    let network = PeerNetwork::new(local, tls.clone(), Arc::clone(&known_peers));
    let raft = openraft::Raft::new(local.node_id, raft_config(&config)?, network, store.log, store.machine)
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
        rules: RulesAsker::new(local, tls.clone(), Arc::clone(&known_peers)),
        settings: config.failover,
        started_at: Instant::now(),
        stopping: stopping.clone(),
    });
    let addresses =
        (local_address(&peers, config.listen.peers), local_address(&clients, config.listen.clients));
    let mut tasks = JoinSet::new();
    serve(
        &mut tasks,
        "peer server",
        peer_router(PeerService::new(local, raft.clone(), known_peers), &tls)?,
        peers,
        stopping.clone(),
    );
    serve(&mut tasks, "client server", client_router(&shared, &tls)?, clients, stopping.clone());
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
    tasks.spawn(until(stopping, async move {
        failover::run(driver).await;
        "failure detector ended".to_owned()
    }));
    found_cluster(&raft, founders).await?;
    let (peers, clients) = addresses;
    info!(node_id = local.node_id, cluster = %local.cluster, %peers, %clients, "node started");
    Ok(RunningNode { raft, tasks, stop, peers, clients })
}

impl RunningNode {
    /// Waits until the node cannot go on. A healthy node never returns.
    ///
    /// # Errors
    /// Always: the reason for the stop.
    pub async fn stopped(&mut self) -> Result<std::convert::Infallible, StopError> {
        let mut metrics = self.raft.metrics();
        loop {
            let running = metrics.borrow_watched().running_state.clone();
            if let Err(fatal) = running {
                error!(%fatal, "consensus has stopped");
                return Err(StopError::Consensus(fatal.to_string()));
            }
            tokio::select! {
                changed = metrics.changed() => {
                    changed.map_err(|_| StopError::Consensus("its task has ended".to_owned()))?;
                }
                Some(ended) = self.tasks.join_next() => {
                    let reason = ended.unwrap_or_else(|error| error.to_string());
                    return Err(StopError::Task(reason));
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
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn local_address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn founding_members(store: &Store) -> BTreeMap<u64, GuardNode> {
    store.identity.founding_members.iter().map(|member| (member.id, member.node())).collect()
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
        // refuses such a voter here is the peers' memory of its data.
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

fn client_router(shared: &Arc<Shared>, tls: &Tls) -> Result<Router, StartError> {
    let guard = GuardServer::new(GuardService::new(Arc::clone(shared)))
        .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX);
    let operator = OperatorServer::new(OperatorService::new(Arc::clone(shared)));
    Ok(server(tls)?.add_service(guard).add_service(operator))
}

fn serve(
    tasks: &mut JoinSet<String>,
    name: &'static str,
    router: Router,
    listener: TcpListener,
    mut stopping: watch::Receiver<bool>,
) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stop = async move {
        // Also when the sender has gone: then nobody runs this node any more.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    tasks.spawn(async move {
        format!("{name} ended: {:?}", router.serve_with_incoming_shutdown(incoming, stop).await)
    });
}

/// Runs a task until it ends or the node stops.
async fn until(mut stopping: watch::Receiver<bool>, task: impl Future<Output = String>) -> String {
    tokio::select! {
        ended = task => ended,
        _ = stopping.wait_for(|stopping| *stopping) => "stopped".to_owned(),
    }
}
