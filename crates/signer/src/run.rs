//! A running signer: everything put together, and taken down in order.

use crate::backend::{Backend, FileBackend};
use crate::config::{ConfigError, KeyConfig, SignerConfig};
use crate::front_door::FrontDoor;
use crate::health::{KeyBoard, boards};
use crate::key_file::KeyFileError;
use crate::sign_path::SignPath;
use crate::tap::{Tap, TapError};
use crate::watermark::{Watermark, WatermarkError};
use ed25519_dalek::SigningKey;
use interlock_client::{
    Channels, ChannelsError, Guard, LeaderClient, ReleaseOutcome, SessionIdentity, SessionSettings, Sessions,
    TlsError, TlsMaterial,
};
use interlock_core::{ClusterId, Holder, Incarnation, KeyId, KeyName, SignerId};
use interlock_disk::{DirectoryLock, Disk, DiskError, LockError, RealDisk};
use interlock_proto::{Identity, Role};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const LOCK_FILE: &str = "lock";
/// A session that acknowledges nothing for this long is dialled again.
const SESSION_STALL: Duration = Duration::from_millis(2_000);
/// On shutdown, requests under way get this long.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(5_000);
/// On shutdown, the guard is asked this long to take the leases back.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Why the state directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It is not there.
    #[error("the state directory {} does not exist; run `interlock signer enroll` once", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Another process works in it, or the lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a signer does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Fields repeat what the variant and its message say.
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the certificate is for {found}; a signer needs its own: `interlock pki issue --role signer`")]
    NotASigner { found: String },
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("key {key}: {source}")]
    KeyFile { key: KeyName, source: KeyFileError },
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
    #[error(
        "key {key} is enrolled in cluster {found}, another key in {pinned}: one signer process serves one cluster"
    )]
    TwoClusters { key: KeyName, pinned: ClusterId, found: ClusterId },
    #[error(transparent)]
    Channels(#[from] ChannelsError),
    #[error(transparent)]
    Tap(#[from] TapError),
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// A running signer. Dropping it stops everything at once, as a crash would; [`Signer::shutdown`] is the polite way.
#[derive(Debug)]
pub struct Signer {
    me: Holder,
    guard: Guard,
    paths: Vec<Arc<SignPath>>,
    doors: JoinSet<()>,
    stop: watch::Sender<bool>,
    sessions: Sessions,
    _lock: DirectoryLock,
}

struct OpenKey<'a> {
    config: &'a KeyConfig,
    backend: Backend,
    watermark: Watermark,
}

pub(crate) fn signer_name(identity: &Identity) -> Result<SignerId, &Identity> {
    if identity.role != Role::Signer {
        return Err(identity);
    }
    // A DNS label is a signer's name, but for its length, which is lower.
    SignerId::parse(&identity.name).map_err(|_| identity)
}

pub(crate) fn lock_state_dir(disk: &dyn Disk, path: &Path) -> Result<DirectoryLock, StateDirError> {
    match disk.list(path) {
        Ok(_) => Ok(disk.lock(&path.join(LOCK_FILE))?),
        Err(error) if error.is_not_found() => Err(StateDirError::Missing { path: path.to_owned() }),
        Err(error) => Err(error.into()),
    }
}

impl Signer {
    /// Starts a signer on this machine's disk. With a tap, every signature is appended to that file before it leaves.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was dialled then.
    pub async fn start(config: &SignerConfig, tap: Option<&Path>) -> Result<Self, StartError> {
        Self::start_on(&RealDisk, config, tap).await
    }

    /// As [`Signer::start`], with the state directory on another disk.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was dialled then.
    pub async fn start_on(
        disk: &dyn Disk,
        config: &SignerConfig,
        tap: Option<&Path>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let tls = config.tls.load()?;
        let signer = signer_name(tls.identity())
            .map_err(|found| StartError::NotASigner { found: found.to_string() })?;
        let lock = lock_state_dir(disk, &config.state_dir)?;
        let keys = open_keys(disk, config)?;
        let cluster = one_cluster(&keys)?;
        let tap = tap.map(|path| Tap::open(path, signer.clone()).map(Arc::new)).transpose()?;
        let me = Holder { signer, incarnation: Incarnation(random()?) };
        tracing::info!(holder = %me, %cluster, keys = keys.len(), "signer starts");
        let running = assemble(config, &tls, keys, cluster, &me, tap)?;
        let Assembled { guard, sessions, paths } = running;
        let (stop, stopped) = watch::channel(false);
        let doors = open_doors(config, &paths, &stopped)?;
        Ok(Self { me, guard, paths, doors, stop, sessions, _lock: lock })
    }

    /// This process as the guard knows it.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.me
    }

    /// Runs until the process is asked to end (SIGTERM or SIGINT), then shuts down.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub async fn run(self) -> Result<(), StartError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.shutdown().await;
        Ok(())
    }

    /// Finishes the requests under way, then gives the leases back, then ends.
    pub async fn shutdown(mut self) {
        tracing::info!(holder = %self.me, "signer shuts down");
        self.stop.send_replace(true);
        let drained = timeout(DRAIN_TIMEOUT, async { while self.doors.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("a request did not end in time; its connection is dropped");
            self.doors.shutdown().await;
        }
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        let mut releases = JoinSet::new();
        for path in &self.paths {
            let held = path.view.borrow().clone().filter(|view| view.holder.as_ref() == Some(&self.me));
            let Some(view) = held else { continue };
            let (guard, key, name) = (self.guard.clone(), path.backend.key(), path.name.clone());
            releases.spawn(async move { (name, guard.release(key, view.epoch, deadline).await) });
        }
        while let Some(Ok((key, outcome))) = releases.join_next().await {
            match outcome {
                ReleaseOutcome::Released => tracing::info!(%key, "lease given back"),
                other => tracing::warn!(%key, ?other, "the lease was perhaps not given back"),
            }
        }
        drop(self.sessions);
    }
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(bytes)
}

fn open_keys<'a>(disk: &dyn Disk, config: &'a SignerConfig) -> Result<Vec<OpenKey<'a>>, StartError> {
    let open = |key: &'a KeyConfig| {
        let backend = FileBackend::open(&key.key_file, &key.chain_id)
            .map(Backend::File)
            .map_err(|source| StartError::KeyFile { key: key.name.clone(), source })?;
        let watermark = Watermark::open(disk, &config.state_dir, &key.name, backend.key())?;
        Ok(OpenKey { config: key, backend, watermark })
    };
    config.keys.iter().map(open).collect()
}

fn one_cluster(keys: &[OpenKey<'_>]) -> Result<ClusterId, StartError> {
    let pinned = keys[0].watermark.cluster();
    match keys.iter().find(|key| key.watermark.cluster() != pinned) {
        Some(other) => {
            let (key, found) = (other.config.name.clone(), other.watermark.cluster());
            Err(StartError::TwoClusters { key, pinned, found })
        }
        None => Ok(pinned),
    }
}

struct Assembled {
    guard: Guard,
    sessions: Sessions,
    paths: Vec<Arc<SignPath>>,
}

fn assemble(
    config: &SignerConfig,
    tls: &TlsMaterial,
    keys: Vec<OpenKey<'_>>,
    cluster: ClusterId,
    me: &Holder,
    tap: Option<Arc<Tap>>,
) -> Result<Assembled, StartError> {
    let leader = LeaderClient::new(Channels::new(&config.guards, tls)?);
    let guard = Guard::new(leader.clone(), cluster, me.incarnation, config.timing.attempt_timeout());
    let ids: Vec<KeyId> = keys.iter().map(|key| key.backend.key()).collect();
    let (boards, health) = boards(&ids);
    let settings = SessionSettings {
        heartbeat_interval: config.timing.heartbeat_interval(),
        stall_timeout: SESSION_STALL,
    };
    let identity = SessionIdentity { cluster, incarnation: me.incarnation, keys: ids };
    let sessions = Sessions::start(leader, identity, settings, health);
    let path = |(key, board): (OpenKey<'_>, KeyBoard)| {
        let view =
            sessions.view(key.backend.key()).expect("a view exists for every key given to the sessions");
        Arc::new(SignPath {
            name: key.config.name.clone(),
            chain_id: key.config.chain_id.clone(),
            backend: key.backend,
            watermark: Arc::new(Mutex::new(key.watermark)),
            guard: guard.clone(),
            me: me.clone(),
            view,
            board,
            tap: tap.clone(),
            timing: config.timing,
        })
    };
    let paths = keys.into_iter().zip(boards).map(path).collect();
    Ok(Assembled { guard, sessions, paths })
}

fn open_doors(
    config: &SignerConfig,
    paths: &[Arc<SignPath>],
    stop: &watch::Receiver<bool>,
) -> Result<JoinSet<()>, StartError> {
    let connection_key = Arc::new(SigningKey::from_bytes(&random()?));
    let mut doors = JoinSet::new();
    for (key, path) in config.keys.iter().zip(paths) {
        for node in &key.nodes {
            let door = FrontDoor {
                path: Arc::clone(path),
                node: node.name.clone(),
                address: node.address.clone(),
                connection_key: Arc::clone(&connection_key),
                redial: config.timing.redial(),
                stop: stop.clone(),
            };
            doors.spawn(door.run());
        }
    }
    Ok(doors)
}
