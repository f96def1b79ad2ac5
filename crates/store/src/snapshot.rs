//! Snapshots: the whole state at one log id, as bytes, and the files that keep the newest one.
//!
//! Invariants: a snapshot is verified before it replaces anything (checksum, format, cluster, rule version); it is
//! synced, renamed and its directory synced before it is announced; a snapshot that was durable and does not read is
//! refused, never skipped. The contents pass between nodes in memory for now: the fields are private and the accessors
//! speak in ranges, so that a file can take the place of the bytes without a change for the node.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::book::RULES_NEWEST;
use interlock_core::{ClusterId, State};
use interlock_disk::{
    Disk, DiskError, ReadFileError, checksummed, read_checked, replace_file, verify_checksum,
};
use thiserror::Error;

use crate::codec;
use crate::types::{LogId, Snapshot, SnapshotMeta};

/// First bytes of a snapshot.
const MAGIC: [u8; 8] = *b"INTLKSNP";
/// Version of the layout.
const FORMAT_VERSION: u32 = 1;
/// magic 8, version 4, length of the log id 4, length of the membership 4, cluster 16.
const HEADER_BYTES: usize = 36;
/// Largest snapshot that is read.
pub const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const SUFFIX: &str = ".snapshot";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// An encoded snapshot: opaque, checksummed bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotData {
    bytes: Arc<[u8]>,
}

impl SnapshotData {
    /// Takes the bytes that another node's [`SnapshotData`] gave. They are verified when the snapshot is installed.
    pub fn from_bytes(bytes: Vec<u8>) -> SnapshotData {
        SnapshotData { bytes: bytes.into() }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Up to `length_max` bytes from `offset`; empty at or after the end.
    pub fn read_at(&self, offset: u64, length_max: usize) -> &[u8] {
        let size = self.bytes.len();
        let start = usize::try_from(offset).map_or(size, |offset| offset.min(size));
        let end = start.saturating_add(length_max).min(size);
        &self.bytes[start..end]
    }

    /// What a snapshot for a node of this cluster covers, once all of it was found sound.
    ///
    /// # Errors
    /// When it is damaged, newer than this program, or of another cluster.
    pub fn verify(&self, ours: ClusterId) -> Result<SnapshotMeta, SnapshotError> {
        decode(self, ours).map(|(meta, _)| meta)
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot of {} bytes", self.bytes.len())
    }
}

/// Why bytes are not a snapshot for this node.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// Checksum, lengths or encoding do not fit.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// Written by a newer release.
    #[error("the snapshot has format {found}, this program reads {known}; upgrade it")]
    NewerVersion {
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Made under rules that this program does not have: its verdicts would differ.
    #[error("the snapshot was made under rule version {found}, this program has {known}; upgrade it")]
    NewerRules {
        /// Rule version found.
        found: u32,
        /// Rule version known.
        known: u32,
    },
    /// The state of another cluster.
    #[error("the snapshot belongs to cluster {found}, this node to {ours}")]
    OtherCluster {
        /// Cluster in the snapshot.
        found: ClusterId,
        /// This node's cluster.
        ours: ClusterId,
    },
    /// It is not what its sender announced.
    #[error("the snapshot covers {found:?}, {announced:?} was announced")]
    NotAsAnnounced {
        /// What it covers.
        found: Option<LogId>,
        /// What was announced.
        announced: Option<LogId>,
    },
    /// Installing it would forget what was applied (S4).
    #[error(
        "the snapshot covers {found:?}, but this node has applied {applied:?}; the state never goes back"
    )]
    GoesBack {
        /// What it covers.
        found: Option<LogId>,
        /// What was applied.
        applied: Option<LogId>,
    },
}

/// Encodes the state that `meta` describes.
pub(crate) fn encode(meta: &SnapshotMeta, state: &State) -> Result<SnapshotData, SnapshotError> {
    let log_id = codec::encode_log_id(meta.last_log_id.as_ref());
    let membership = codec::encode_stored_membership(&meta.last_membership);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + log_id.len() + membership.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    // Both are a few bytes per member.
    bytes.extend_from_slice(&(log_id.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&state.cluster().0);
    bytes.extend_from_slice(&log_id);
    bytes.extend_from_slice(&membership);
    minicbor::encode(state, &mut bytes).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    Ok(SnapshotData::from_bytes(checksummed(bytes)))
}

/// Verifies a snapshot and takes it apart.
pub(crate) fn decode(data: &SnapshotData, ours: ClusterId) -> Result<(SnapshotMeta, State), SnapshotError> {
    let body = verify_checksum(data.as_bytes()).map_err(SnapshotError::Damaged)?;
    decode_body(body, ours)
}

fn decode_body(body: &[u8], ours: ClusterId) -> Result<(SnapshotMeta, State), SnapshotError> {
    let damaged = |reason: &str| SnapshotError::Damaged(reason.to_owned());
    let header = body.first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("it is too short"))?;
    if header[..8] != MAGIC {
        return Err(damaged("it does not begin as a snapshot"));
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(8) != FORMAT_VERSION {
        return Err(SnapshotError::NewerVersion { found: number(8), known: FORMAT_VERSION });
    }
    let mut cluster = ClusterId([0; 16]);
    cluster.0.copy_from_slice(&header[20..]);
    if cluster != ours {
        return Err(SnapshotError::OtherCluster { found: cluster, ours });
    }
    let rest = &body[HEADER_BYTES..];
    let (log_id, rest) = rest.split_at_checked(number(12) as usize).ok_or_else(|| damaged("cut short"))?;
    let (membership, rest) =
        rest.split_at_checked(number(16) as usize).ok_or_else(|| damaged("cut short"))?;
    let last_log_id = codec::decode_log_id(log_id).map_err(SnapshotError::Damaged)?;
    let last_membership = codec::decode_stored_membership(membership).map_err(SnapshotError::Damaged)?;
    let state: State = minicbor::decode(rest).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
    if state.rule_version() > RULES_NEWEST {
        return Err(SnapshotError::NewerRules { found: state.rule_version(), known: RULES_NEWEST });
    }
    if state.cluster() != ours {
        return Err(SnapshotError::OtherCluster { found: state.cluster(), ours });
    }
    Ok((SnapshotMeta { last_log_id, last_membership }, state))
}

/// Why the kept snapshot does not open.
#[derive(Debug, Error)]
pub enum SnapshotOpenError {
    /// The file does not read.
    #[error("{source}. The state before it is gone from the log; replace this node by a new one")]
    File {
        /// What is wrong.
        #[from]
        source: ReadFileError,
    },
    /// The file reads and is not a snapshot for this node.
    #[error("{}: {source}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: SnapshotError,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The files of one directory, of which the newest snapshot is kept.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    current: Option<Snapshot>,
}

impl SnapshotFiles {
    /// Finds and verifies the newest snapshot. Returns its state too, if there is one.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        cluster: ClusterId,
    ) -> Result<(SnapshotFiles, Option<State>), SnapshotOpenError> {
        let mut names = Vec::new();
        for name in disk.list(&directory)? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                disk.remove(&directory.join(name))?;
            } else if name.ends_with(SUFFIX) {
                names.push(name);
            }
        }
        let mut files = SnapshotFiles { disk, directory, current: None };
        // Names sort by log index; an older one may be left from a crash before its removal.
        let Some(newest) = names.last() else { return Ok((files, None)) };
        let path = files.directory.join(newest);
        let body = read_checked(files.disk.as_ref(), &path, SNAPSHOT_BYTES_MAX)?;
        let (meta, state) = decode_body(&body, cluster)
            .map_err(|source| SnapshotOpenError::Content { path: path.clone(), source })?;
        let snapshot = SnapshotData::from_bytes(checksummed(body));
        // A process may have died between the rename and the sync of the directory.
        files.disk.sync_dir(&files.directory)?;
        files.current = Some(Snapshot { meta, snapshot });
        files.remove_all_but(&path)?;
        Ok((files, Some(state)))
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        self.current.clone()
    }

    /// Makes a snapshot durable and the current one, unless a newer one came first.
    pub(crate) fn keep(&mut self, snapshot: &Snapshot) -> Result<(), DiskError> {
        let newest = self.current.as_ref().map(|current| current.meta.last_log_id);
        if newest.is_some_and(|newest| newest > snapshot.meta.last_log_id) {
            return Ok(());
        }
        let path = self.directory.join(file_name(snapshot.meta.last_log_id.as_ref()));
        replace_file(self.disk.as_ref(), &path, snapshot.snapshot.as_bytes())?;
        self.current = Some(snapshot.clone());
        self.remove_all_but(&path)
    }

    fn remove_all_but(&self, kept: &Path) -> Result<(), DiskError> {
        let mut removed = false;
        for name in self.disk.list(&self.directory)? {
            let path = self.directory.join(&name);
            if name.ends_with(SUFFIX) && path != kept {
                self.disk.remove(&path)?;
                removed = true;
            }
        }
        if removed { self.disk.sync_dir(&self.directory) } else { Ok(()) }
    }
}

/// Puts the first snapshot into a directory that has none yet. Durable when it returns.
pub(crate) fn create(disk: &dyn Disk, directory: &Path, first: &Snapshot) -> Result<(), DiskError> {
    let path = directory.join(file_name(first.meta.last_log_id.as_ref()));
    replace_file(disk, &path, first.snapshot.as_bytes())
}

fn file_name(id: Option<&LogId>) -> String {
    let (index, term, node) = id.map_or((0, 0, 0), |id| {
        (id.index(), id.committed_leader_id().term, id.committed_leader_id().node_id)
    });
    format!("{index:020}-{term:020}-{node:020}{SUFFIX}")
}
