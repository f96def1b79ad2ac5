//! Whose data a directory holds: cluster, node, format, and a random incarnation of the data itself.
//!
//! Invariants (S6): a directory is made once, by `format`, which refuses one that holds anything; opening never makes
//! state; the identity is written last, so that a directory with one is complete.

use std::path::{Path, PathBuf};

use interlock_core::ClusterId;
use interlock_disk::{
    DirectoryLock, Disk, DiskError, LockError, ReadFileError, checksummed, read_checked, replace_file,
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::peers::PeerBook;
use crate::snapshot;
use crate::types::{GuardNode, LogId};
use crate::wal::{self, Owner, WalOptions, WalOptionsError};

/// Version of the data directory as a whole.
pub const FORMAT_VERSION: u32 = 1;
/// Most founding members.
pub const MEMBERS_MAX: usize = 64;
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

const LOCK_FILE: &str = "lock";
const IDENTITY_FILE: &str = "identity";
pub(crate) const LOG_DIRECTORY: &str = "log";
pub(crate) const SNAPSHOT_DIRECTORY: &str = "snapshot";
pub(crate) const AUDIT_DIRECTORY: &str = "audit";

/// A member of the cluster at its founding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FoundingMember {
    /// Its id, never reused.
    #[n(0)]
    pub id: u64,
    /// Where other guard nodes reach it, `host:port`.
    #[n(1)]
    pub peer_address: String,
    /// Where signers and operators reach it, `host:port`.
    #[n(2)]
    pub client_address: String,
}

impl FoundingMember {
    /// As openraft's membership holds it, in a cluster that has used the ids up to `ids_used_to`.
    pub fn node(&self, ids_used_to: u64) -> GuardNode {
        let FoundingMember { peer_address, client_address, .. } = self.clone();
        GuardNode { peer_address, client_address, ids_used_to }
    }
}

/// What `format` is told.
#[derive(Debug, Clone)]
pub struct FormatSpec {
    /// The cluster to belong to.
    pub cluster_id: ClusterId,
    /// This node's id; one of the members'.
    pub node_id: u64,
    /// Random: tells this data from any other that the same node may have had.
    pub incarnation: u128,
    /// The founding members, this one among them; none for a node that joins a cluster later.
    pub members: Vec<FoundingMember>,
}

/// Whose data a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Format of the directory.
    pub format_version: u32,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The node.
    pub node_id: u64,
    /// Random, made when the directory was formatted.
    pub incarnation: u128,
    /// The members of the cluster when it was founded; none when this node joined later. The current ones are in the
    /// replicated state.
    pub founding_members: Vec<FoundingMember>,
}

#[derive(Encode, Decode)]
struct IdentityRecord {
    #[n(0)]
    cluster_id: ClusterId,
    #[n(1)]
    node_id: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    incarnation: [u8; 16],
    #[n(3)]
    founding_members: Vec<FoundingMember>,
}

/// Why a directory was not formatted. Nothing that was there is changed.
#[derive(Debug, Error)]
pub enum FormatError {
    /// It holds something, perhaps a node's memory.
    #[error(
        "{} is not empty (it holds {found}): format only ever uses a new directory. If this node was formatted before, \
         start it; a wiped node joins again under a new id",
        path.display()
    )]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// This node is not a member.
    #[error("node {node_id} is not among the members {members:?}; add it to the configuration")]
    NotAMember {
        /// This node.
        node_id: u64,
        /// Ids of the members.
        members: Vec<u64>,
    },
    /// Two members have one id, or there are too many.
    #[error("{count} members: each needs its own id, and there may be at most {limit}")]
    UnsoundMembers {
        /// Members given.
        count: usize,
        /// [`MEMBERS_MAX`].
        limit: usize,
    },
    /// A setting of the log.
    #[error(transparent)]
    Options(#[from] WalOptionsError),
    /// Another process works in it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a data directory does not open. Nothing is changed.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Never formatted, or lost.
    #[error(
        "{} holds no formatted data: run `interlock node format` if this node is new. If it ran before, its memory is \
         lost: never format it under its old id, replace it by a new node",
        path.display()
    )]
    NotFormatted {
        /// The data directory.
        path: PathBuf,
    },
    /// `format` was interrupted, or the identity was removed.
    #[error(
        "{} holds {found} but no identity: an interrupted format, or a lost file. If this node never ran, remove the \
         directory and format again; otherwise replace it by a new node",
        path.display()
    )]
    Incomplete {
        /// The data directory.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// The identity does not read.
    #[error("{source}. Replace this node by a new one")]
    Unreadable {
        /// What is wrong.
        source: ReadFileError,
    },
    /// The identity reads and makes no sense.
    #[error("{} is damaged: {reason}. Replace this node by a new one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by a newer release.
    #[error("{} has format {found}, this program reads up to {known}; upgrade it", path.display())]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Data of another node.
    #[error("{} is the data of node {found}, the configuration says node {expected}", path.display())]
    OtherNode {
        /// The data directory.
        path: PathBuf,
        /// Node found.
        found: u64,
        /// Node expected.
        expected: u64,
    },
    /// Data of another cluster.
    #[error("{} is the data of cluster {found}, the configuration says cluster {expected}", path.display())]
    OtherCluster {
        /// The data directory.
        path: PathBuf,
        /// Cluster found.
        found: ClusterId,
        /// Cluster expected.
        expected: ClusterId,
    },
    /// Another process works in it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What the configuration expects a data directory to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// This node's id.
    pub node_id: u64,
    /// The cluster, if the configuration names it.
    pub cluster_id: Option<ClusterId>,
}

/// Makes a data directory, once. Its parent must exist. Durable when it returns.
///
/// # Errors
/// When the directory holds anything, the members are unsound, or the device fails.
pub fn format(
    disk: &dyn Disk,
    path: &Path,
    spec: &FormatSpec,
    options: &WalOptions,
) -> Result<Identity, FormatError> {
    format_with(disk, path, spec, options, None)
}

/// What a restored cluster begins from.
pub(crate) struct FirstSnapshot {
    pub(crate) last_log_id: LogId,
    pub(crate) encoded: Vec<u8>,
}

/// As [`format()`], with a snapshot to begin from.
pub(crate) fn format_with(
    disk: &dyn Disk,
    path: &Path,
    spec: &FormatSpec,
    options: &WalOptions,
    first: Option<&FirstSnapshot>,
) -> Result<Identity, FormatError> {
    options.check()?;
    check_members(spec)?;
    match disk.create_dir(path) {
        Ok(()) => {}
        Err(error) if error.is_already_exists() => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent)?;
    }
    let _lock = disk.lock(&path.join(LOCK_FILE))?;
    if let Some(found) = disk.list(path)?.into_iter().find(|name| name != LOCK_FILE) {
        return Err(FormatError::NotEmpty { path: path.to_owned(), found });
    }
    for directory in [LOG_DIRECTORY, SNAPSHOT_DIRECTORY, AUDIT_DIRECTORY] {
        disk.create_dir(&path.join(directory))?;
    }
    disk.sync_dir(path)?;
    PeerBook::create(disk, path)?;
    wal::create(disk, &path.join(LOG_DIRECTORY), Owner(spec.incarnation), options)?;
    if let Some(first) = first {
        let directory = path.join(SNAPSHOT_DIRECTORY);
        snapshot::create(disk, &directory, Some(&first.last_log_id), &first.encoded)?;
    }
    let identity = Identity {
        format_version: FORMAT_VERSION,
        cluster_id: spec.cluster_id,
        node_id: spec.node_id,
        incarnation: spec.incarnation,
        founding_members: spec.members.clone(),
    };
    replace_file(disk, &path.join(IDENTITY_FILE), &encode(&identity))?;
    Ok(identity)
}

fn check_members(spec: &FormatSpec) -> Result<(), FormatError> {
    if spec.members.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<u64> = spec.members.iter().map(|member| member.id).collect();
    ids.sort_unstable();
    if !ids.contains(&spec.node_id) {
        return Err(FormatError::NotAMember { node_id: spec.node_id, members: ids });
    }
    ids.dedup();
    if ids.len() != spec.members.len() || ids.len() > MEMBERS_MAX {
        return Err(FormatError::UnsoundMembers { count: spec.members.len(), limit: MEMBERS_MAX });
    }
    Ok(())
}

/// Locks a data directory and reads whose it is.
pub(crate) fn open(
    disk: &dyn Disk,
    path: &Path,
    expected: Expected,
) -> Result<(Identity, DirectoryLock), IdentityError> {
    let names = match disk.list(path) {
        Ok(names) => names,
        Err(error) if error.is_not_found() => {
            return Err(IdentityError::NotFormatted { path: path.to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    if !names.iter().any(|name| name == IDENTITY_FILE) {
        return Err(match names.into_iter().find(|name| name != LOCK_FILE) {
            Some(found) => IdentityError::Incomplete { path: path.to_owned(), found },
            None => IdentityError::NotFormatted { path: path.to_owned() },
        });
    }
    let lock = disk.lock(&path.join(LOCK_FILE))?;
    let identity = read(disk, path)?;
    if identity.node_id != expected.node_id {
        let (found, expected) = (identity.node_id, expected.node_id);
        return Err(IdentityError::OtherNode { path: path.to_owned(), found, expected });
    }
    if let Some(expected) = expected.cluster_id.filter(|expected| *expected != identity.cluster_id) {
        let found = identity.cluster_id;
        return Err(IdentityError::OtherCluster { path: path.to_owned(), found, expected });
    }
    Ok((identity, lock))
}

/// Whose data the directory holds, without locking it.
///
/// # Errors
/// When it is not formatted, damaged, or of a newer format.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Identity, IdentityError> {
    let file = path.join(IDENTITY_FILE);
    let body = match read_checked(disk, &file, IDENTITY_BYTES_MAX) {
        Ok(body) => body,
        Err(ReadFileError::Missing { .. }) => {
            return Err(IdentityError::NotFormatted { path: path.to_owned() });
        }
        Err(source) => return Err(IdentityError::Unreadable { source }),
    };
    let malformed = |reason: String| IdentityError::Malformed { path: file.clone(), reason };
    let (version, record) = body
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed(format!("{} bytes are too few", body.len())))?;
    let format_version = u32::from_le_bytes(*version);
    if format_version > FORMAT_VERSION {
        return Err(IdentityError::NewerFormat {
            path: path.to_owned(),
            found: format_version,
            known: FORMAT_VERSION,
        });
    }
    let record: IdentityRecord = minicbor::decode(record).map_err(|error| malformed(error.to_string()))?;
    Ok(Identity {
        format_version,
        cluster_id: record.cluster_id,
        node_id: record.node_id,
        incarnation: u128::from_be_bytes(record.incarnation),
        founding_members: record.founding_members,
    })
}

fn encode(identity: &Identity) -> Vec<u8> {
    let record = IdentityRecord {
        cluster_id: identity.cluster_id,
        node_id: identity.node_id,
        incarnation: identity.incarnation.to_be_bytes(),
        founding_members: identity.founding_members.clone(),
    };
    let mut bytes = identity.format_version.to_le_bytes().to_vec();
    minicbor::encode(&record, &mut bytes).expect("encoding integers and strings into memory cannot fail");
    checksummed(bytes)
}
