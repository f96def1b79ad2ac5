//! One door to everything a guard node keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_disk::{Disk, DiskError};
use thiserror::Error;

use crate::audit::{AuditOptions, AuditOptionsError, AuditReader, AuditTrail};
use crate::divergence::DivergenceMark;
use crate::fatal::{Fatal, FatalHook};
use crate::flushed::Flushed;
use crate::identity::{
    self, AUDIT_DIRECTORY, Expected, Identity, IdentityError, LOG_DIRECTORY, SNAPSHOT_DIRECTORY,
};
use crate::log_store::LogStore;
use crate::peers::{PeerBook, PeerBookError};
use crate::snapshot::{SnapshotFiles, SnapshotInbox, SnapshotOpenError};
use crate::state_machine::{StateHandle, StateMachine};
use crate::types::LogId;
use crate::wal::{Owner, WalOpenError, WalOptions, WalOptionsError};

/// Settings of a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The write-ahead log.
    pub wal: WalOptions,
    /// The audit trail.
    pub audit: AuditOptions,
    /// What to do when a write or a sync fails: [`FatalHook::stop_process`] in a real process.
    pub on_fatal: FatalHook,
}

impl StoreOptions {
    /// The defaults, with this hook.
    pub fn new(on_fatal: FatalHook) -> StoreOptions {
        StoreOptions { wal: WalOptions::default(), audit: AuditOptions::default(), on_fatal }
    }
}

/// An open data directory. It stays locked until all parts are dropped.
#[derive(Debug)]
pub struct Store {
    /// Whose data it is.
    pub identity: Identity,
    /// For openraft.
    pub log: LogStore,
    /// For openraft.
    pub machine: StateMachine,
    /// For everybody who reads the applied state.
    pub state: StateHandle,
    /// For everybody who reads the audit trail.
    pub audit: AuditReader,
    /// For everybody who hears a peer.
    pub peers: PeerBook,
    /// For everybody whom a peer hears.
    pub flushed: Flushed,
    /// For the peer that sends a snapshot.
    pub inbox: SnapshotInbox,
    /// For whoever compares this node's state with the others'.
    pub divergence: DivergenceMark,
}

/// Why a data directory does not open.
#[derive(Debug, Error)]
pub enum StoreOpenError {
    /// Whose data it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An earlier run found that its state differs from the other nodes'.
    #[error(
        "{} is the data of a node whose state differs from the others': {finding}. It never starts again: replace it by \
         a new node, and keep the directory for analysis",
        path.display()
    )]
    Diverged {
        /// The data directory.
        path: PathBuf,
        /// What was found.
        finding: String,
    },
    /// A setting.
    #[error(transparent)]
    Options(#[from] WalOptionsError),
    /// A setting.
    #[error(transparent)]
    AuditOptions(#[from] AuditOptionsError),
    /// The write-ahead log.
    #[error(transparent)]
    Log(#[from] WalOpenError),
    /// The snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotOpenError),
    /// The log was purged on the strength of a snapshot that is gone.
    #[error(
        "the log of {} begins after {purged}, but the newest snapshot covers {snapshot:?}: a snapshot is missing. \
         Replace this node by a new one",
        path.display()
    )]
    SnapshotMissing {
        /// The data directory.
        path: PathBuf,
        /// The newest purged entry.
        purged: LogId,
        /// What the newest snapshot covers.
        snapshot: Option<LogId>,
    },
    /// The list of peers.
    #[error(transparent)]
    Peers(#[from] PeerBookError),
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The audit trail, or the device.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Store {
    /// Opens a formatted data directory, alone.
    ///
    /// # Errors
    /// When it is not formatted, locked, of another node, cluster or newer format, or when anything that was once
    /// durable does not read. Nothing is created that should have been there.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        expected: Expected,
        options: &StoreOptions,
    ) -> Result<Store, StoreOpenError> {
        options.wal.check()?;
        options.audit.check()?;
        let (identity, lock) = identity::open(disk.as_ref(), path, expected)?;
        let lock = Arc::new(lock);
        // A process that died between a rename and its sync left a name that a power cut would still undo; what is read
        // from here on is relied on. Log and snapshots do the same for theirs.
        disk.sync_dir(path)?;
        if let Some(finding) = DivergenceMark::diverged(disk.as_ref(), path)? {
            return Err(StoreOpenError::Diverged { path: path.to_owned(), finding });
        }
        let peers = PeerBook::open(Arc::clone(&disk), path)?;
        let fatal = Fatal::new(options.on_fatal.clone());
        let divergence = DivergenceMark::open(Arc::clone(&disk), path, fatal.clone())?;
        let (snapshots, state) =
            SnapshotFiles::open(Arc::clone(&disk), path.join(SNAPSHOT_DIRECTORY), identity.cluster_id)?;
        let log = LogStore::open(
            Arc::clone(&disk),
            path.join(LOG_DIRECTORY),
            Owner(identity.incarnation),
            &options.wal,
            fatal.clone(),
            Arc::clone(&lock),
        )?;
        let snapshot = snapshots.current().and_then(|current| current.meta.last_log_id);
        if let Some(purged) =
            log.purged().filter(|purged| Some(purged.index()) > snapshot.map(|id| id.index()))
        {
            return Err(StoreOpenError::SnapshotMissing { path: path.to_owned(), purged, snapshot });
        }
        let inbox = SnapshotInbox::new(Arc::clone(&disk), path.join(SNAPSHOT_DIRECTORY));
        let synced = snapshot.map(|id| id.index());
        let audit =
            AuditTrail::open(disk, path.join(AUDIT_DIRECTORY), &options.audit, synced, fatal.clone())?;
        let audited = audit.last_at_open().map(|last| last.log_index);
        if audited < snapshot.map(|id| id.index()) {
            tracing::info!(
                ?audited,
                ?snapshot,
                "the audit trail may lack entries that came inside a snapshot"
            );
        }
        let reader = audit.reader();
        let machine = StateMachine::new(identity.cluster_id, snapshots, state, audit, fatal, lock)
            .map_err(StoreOpenError::Thread)?;
        let (flushed, state) = (log.flushed(), machine.handle());
        Ok(Store { identity, log, state, machine, audit: reader, peers, flushed, inbox, divergence })
    }
}
