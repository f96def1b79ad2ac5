//! The data directory of a restored cluster's first node, and what can be read from the directory of a dead node.
//!
//! Invariants (S4, S6): a restored directory belongs to a cluster that did not exist before; it begins with one voter
//! and a snapshot, so that it neither founds an empty cluster nor waits for one; a dead node's directory is only
//! read, and everything in its log counts, also what it did not know to be committed: an approval there may have been
//! acknowledged by others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::book::NotUnderstood;
use interlock_core::{LogPosition, State};
use interlock_disk::{DirectoryLock, Disk, DiskError, LockError, read_all};
use openraft::RaftLogReader as _;
use openraft::storage::RaftLogStorage as _;
use thiserror::Error;

use crate::fatal::{Fatal, FatalHook};
use crate::identity::{
    self, Expected, FirstSnapshot, FormatError, FormatSpec, FoundingMember, Identity, IdentityError,
    LOG_DIRECTORY, SNAPSHOT_DIRECTORY,
};
use crate::log_store::LogStore;
use crate::snapshot::{self, SnapshotError, SnapshotFiles, SnapshotOpenError};
use crate::types::{LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership};
use crate::wal::{Owner, WalOpenError, WalOptions};

/// Log index of the snapshot that a restored cluster begins with. Not 0, where a cluster that is founded begins.
pub const FIRST_INDEX: u64 = 1;
/// Largest file of a data directory that is copied.
const FILE_BYTES_MAX: u64 = snapshot::SNAPSHOT_BYTES_MAX;

/// Why no data directory was made.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The directory does not fit.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The state does not encode.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Makes the data directory of a restored cluster's first node and only voter, once. Durable when it returns.
///
/// # Errors
/// When the directory holds anything, or the device fails.
pub fn restore(
    disk: &dyn Disk,
    path: &Path,
    node: FoundingMember,
    incarnation: u128,
    state: &State,
    options: &WalOptions,
) -> Result<Identity, RestoreError> {
    let node_id = node.id;
    let log_id = LogId::new(LeaderId { term: 0, node_id }, FIRST_INDEX);
    let nodes = BTreeMap::from([(node_id, node.node(node_id))]);
    let membership = Membership::new(vec![BTreeSet::from([node_id])], nodes)
        .expect("a membership of one voter whose address is known is sound");
    let last_membership = StoredMembership::new(Some(log_id), membership);
    let meta = SnapshotMeta { last_log_id: Some(log_id), last_membership };
    let encoded = snapshot::encode(&meta, state, 0)?;
    let spec = FormatSpec { cluster_id: state.cluster(), node_id, incarnation, members: vec![node] };
    let first = FirstSnapshot { last_log_id: log_id, encoded };
    Ok(identity::format_with(disk, path, &spec, options, Some(&first))?)
}

/// What a dead node knew.
#[derive(Debug)]
pub struct Survivor {
    /// Whose data it was.
    pub identity: Identity,
    /// The record with everything in its log applied.
    pub state: State,
    /// The newest entry of its log, or what its snapshot covers.
    pub last: Option<LogId>,
}

/// Why a dead node's directory was not read. It was not changed.
#[derive(Debug, Error)]
pub enum SurvivorError {
    /// Whose data it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another process works in it: the node is not dead.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotOpenError),
    /// The log.
    #[error(transparent)]
    Log(#[from] WalOpenError),
    /// An entry does not read.
    #[error("the log does not read: {0}")]
    Entry(std::io::Error),
    /// The log begins after what the snapshot covers.
    #[error(
        "the log begins at entry {first}, the state it needs is that after entry {needed:?}: one is missing"
    )]
    Gap {
        /// First entry in the log.
        first: u64,
        /// What the snapshot covers.
        needed: Option<u64>,
    },
    /// A command of a later release.
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
    /// The device failed, or the copy's directory exists.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Reads what a dead node knew, from a copy at `copy`, which must not exist and which the caller removes. The directory
/// itself stays locked while it is copied.
///
/// # Errors
/// When the node still runs, or anything that was durable does not read.
pub async fn read_survivor(disk: Arc<dyn Disk>, path: &Path, copy: &Path) -> Result<Survivor, SurvivorError> {
    let found = identity::read(disk.as_ref(), path)?;
    let expected = Expected { node_id: found.node_id, cluster_id: Some(found.cluster_id) };
    let (identity, lock) = identity::open(disk.as_ref(), path, expected)?;
    copy_data(disk.as_ref(), path, copy)?;
    let (snapshots, state) =
        SnapshotFiles::open(Arc::clone(&disk), copy.join(SNAPSHOT_DIRECTORY), identity.cluster_id)?;
    let covered = snapshots.current().and_then(|current| current.meta.last_log_id);
    let state = state.unwrap_or_else(|| State::genesis(identity.cluster_id));
    let mut log = open_log(disk, &identity, copy.join(LOG_DIRECTORY), lock)?;
    let (state, last) = replay(&mut log, state, covered).await?;
    Ok(Survivor { identity, state, last })
}

fn copy_data(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    disk.create_dir(to)?;
    for directory in [LOG_DIRECTORY, SNAPSHOT_DIRECTORY] {
        disk.create_dir(&to.join(directory))?;
        for name in disk.list(&from.join(directory))? {
            let bytes = read_all(disk, &from.join(directory).join(&name), FILE_BYTES_MAX)?;
            disk.create(&to.join(directory).join(&name))?.write_at(0, &bytes)?;
        }
    }
    Ok(())
}

fn open_log(
    disk: Arc<dyn Disk>,
    identity: &Identity,
    directory: PathBuf,
    lock: DirectoryLock,
) -> Result<LogStore, SurvivorError> {
    // What is read is a copy: a failed write to it is an error of this command and stops no node.
    let fatal = Fatal::new(FatalHook::new(|_| {}));
    let options = WalOptions { prepare_ahead: false, ..WalOptions::default() };
    let owner = Owner(identity.incarnation);
    Ok(LogStore::open(disk, directory, owner, &options, fatal, Arc::new(lock))?)
}

/// Applies everything after `covered`, committed or not.
async fn replay(
    log: &mut LogStore,
    mut state: State,
    covered: Option<LogId>,
) -> Result<(State, Option<LogId>), SurvivorError> {
    let held = log.get_log_state().await.map_err(SurvivorError::Entry)?;
    let purged = held.last_purged_log_id;
    if purged.map(|id| id.index()) > covered.map(|id| id.index()) {
        let first = purged.map_or(0, |id| id.index() + 1);
        return Err(SurvivorError::Gap { first, needed: covered.map(|id| id.index()) });
    }
    let first = covered.map_or(0, |id| id.index() + 1);
    let mut reader = log.get_log_reader().await;
    let entries = reader.try_get_log_entries(first..).await.map_err(SurvivorError::Entry)?;
    let mut last = covered;
    for entry in entries {
        last = Some(entry.log_id);
        let Payload::Normal(batch) = entry.payload else { continue };
        for (item, command) in (0_u32..).zip(batch.commands()) {
            state.book().understands(command)?;
            state.apply(LogPosition { log_index: entry.log_id.index(), item }, command);
        }
    }
    Ok((state, last))
}
