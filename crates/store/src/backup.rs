//! Backup files: the whole record of a cluster at one place in its log, with what a person needs to recognise it.
//!
//! Invariants: a backup is verified whole before anything is made of it (checksum, format, canonical state, and that
//! the description is that of the state); it is never put in place of another file. It begins nothing by itself: the
//! cluster that is restored from it is another cluster ([`crate::restore()`]).

use std::path::{Path, PathBuf};

use interlock_core::state::StateError;
use interlock_core::{ClusterId, Digest, LogPosition, State};
use interlock_disk::{Disk, DiskError, checksummed, read_all, replace_file, verify_checksum};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::snapshot::SNAPSHOT_BYTES_MAX;

/// First bytes of a backup.
const MAGIC: [u8; 8] = *b"INTLKBKP";
/// Version of the layout.
const FORMAT_VERSION: u32 = 1;

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BackupLabel {
    /// The cluster it is the record of.
    #[n(0)]
    pub cluster: ClusterId,
    /// The newest applied command in it; `None` for a cluster that never applied one.
    #[n(1)]
    pub applied: Option<LogPosition>,
    /// The rule version in force.
    #[n(2)]
    pub rules: u32,
    /// How many keys it holds.
    #[n(3)]
    pub keys: u64,
    /// SHA-256 of the state.
    #[n(4)]
    pub state_digest: Digest,
    /// The node that saved it.
    #[n(5)]
    pub node_id: u64,
    /// When, in seconds since the Unix epoch by that node's clock. For people only.
    #[n(6)]
    pub saved_at_unix_seconds: u64,
    /// Who asked for it.
    #[n(7)]
    pub saved_by: String,
    /// Version of the program that saved it.
    #[n(8)]
    pub program: String,
}

/// A verified backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What it says about itself.
    pub label: BackupLabel,
    /// The record.
    pub state: State,
}

/// Who saves a backup, and when.
#[derive(Debug, Clone)]
pub struct BackupOrigin {
    /// See [`BackupLabel::node_id`].
    pub node_id: u64,
    /// See [`BackupLabel::saved_at_unix_seconds`].
    pub saved_at_unix_seconds: u64,
    /// See [`BackupLabel::saved_by`].
    pub saved_by: String,
    /// See [`BackupLabel::program`].
    pub program: String,
}

/// Why a file is not a backup that can be used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Checksum, lengths or encoding do not fit.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// Something else than a backup.
    #[error("this is no backup of Interlock: it does not begin as one")]
    NotABackup,
    /// Written by a newer release.
    #[error("the backup has format {found}, this program reads up to {known}; upgrade it")]
    NewerFormat {
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// The state in it does not read.
    #[error("the state in the backup does not read: {0}")]
    State(#[from] StateError),
    /// Description and state belong to two backups.
    #[error("the backup says {what} {label}, the state in it has {state}")]
    Differs {
        /// What differs.
        what: &'static str,
        /// As described.
        label: String,
        /// As found.
        state: String,
    },
    /// A file of this name exists.
    #[error("{} exists already; nothing was overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The device failed, or the file is not there.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Backup {
    /// A backup of this state.
    #[must_use]
    pub fn of(state: State, origin: BackupOrigin) -> Backup {
        let BackupOrigin { node_id, saved_at_unix_seconds, saved_by, program } = origin;
        let label = BackupLabel {
            cluster: state.cluster(),
            applied: state.applied(),
            rules: state.rule_version(),
            keys: state.keys().len() as u64,
            state_digest: state.digest(),
            node_id,
            saved_at_unix_seconds,
            saved_by,
            program,
        };
        Backup { label, state }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut label = Vec::new();
        minicbor::encode(&self.label, &mut label).expect("integers and strings encode into memory");
        let state = self.state.to_bytes();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + label.len() + state.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        // A few hundred bytes: its texts are bounded by who sends them.
        bytes.extend_from_slice(&(label.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&label);
        bytes.extend_from_slice(&state);
        checksummed(bytes)
    }

    /// Reads and verifies what [`Backup::encode`] made.
    ///
    /// # Errors
    /// When it is anything else, damaged, or of a later release.
    pub fn decode(bytes: &[u8]) -> Result<Backup, BackupError> {
        let damaged = |reason: &str| BackupError::Damaged(reason.to_owned());
        let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Err(BackupError::NotABackup) };
        let (version, _) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it is cut short"))?;
        let found = u32::from_le_bytes(*version);
        if found > FORMAT_VERSION {
            return Err(BackupError::NewerFormat { found, known: FORMAT_VERSION });
        }
        let body = verify_checksum(bytes).map_err(BackupError::Damaged)?;
        let rest = body.get(MAGIC.len() + 4..).ok_or_else(|| damaged("it is cut short"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it is cut short"))?;
        let (label, state) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(|| damaged("it is cut short"))?;
        let label: BackupLabel =
            minicbor::decode(label).map_err(|error| BackupError::Damaged(error.to_string()))?;
        let backup = Backup { label, state: State::from_bytes(state)? };
        backup.check_label()?;
        Ok(backup)
    }

    fn check_label(&self) -> Result<(), BackupError> {
        let Backup { label, state } = self;
        let position = |at: Option<LogPosition>| at.map_or("nothing applied".to_owned(), |at| at.to_string());
        let pairs = [
            ("cluster", label.cluster.to_string(), state.cluster().to_string()),
            ("log position", position(label.applied), position(state.applied())),
            ("rule version", label.rules.to_string(), state.rule_version().to_string()),
            ("number of keys", label.keys.to_string(), state.keys().len().to_string()),
            ("state digest", label.state_digest.to_string(), state.digest().to_string()),
        ];
        match pairs.into_iter().find(|(_, label, state)| label != state) {
            Some((what, label, state)) => Err(BackupError::Differs { what, label, state }),
            None => Ok(()),
        }
    }

    /// Reads and verifies a file.
    ///
    /// # Errors
    /// As [`Backup::decode`], or when the file cannot be read.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Backup, BackupError> {
        Backup::decode(&read_all(disk, path, SNAPSHOT_BYTES_MAX)?)
    }
}

/// Writes a backup under a name that is free, and reads it back. Durable when it returns.
///
/// # Errors
/// When a file of this name exists, the device fails, or the bytes are no backup.
pub fn write_backup(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<Backup, BackupError> {
    Backup::decode(bytes)?;
    // A bare name has the empty path as its parent, which cannot be listed or synced.
    let path = if path.parent() == Some(Path::new("")) { Path::new(".").join(path) } else { path.to_owned() };
    match disk.open(&path) {
        Ok(_) => return Err(BackupError::Exists { path }),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    replace_file(disk, &path, bytes)?;
    Backup::read(disk, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_disk::SimDisk;

    fn backup() -> Backup {
        let origin = BackupOrigin {
            node_id: 1,
            saved_at_unix_seconds: 7,
            saved_by: "operator ops".to_owned(),
            program: "0.1.0".to_owned(),
        };
        Backup::of(State::genesis(ClusterId([3; 16])), origin)
    }

    #[test]
    fn a_backup_reads_back_as_it_was_saved() {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/b")).unwrap();
        let path = Path::new("/b/file");
        assert_eq!(write_backup(&disk, path, &backup().encode()).unwrap(), backup());
        let again = write_backup(&disk, path, &backup().encode());
        assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let whole = backup().encode();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(Backup::decode(&bytes).is_err(), "byte {at}");
            assert!(Backup::decode(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_label_of_another_state_and_a_later_format_are_refused() {
        let mut swapped = backup();
        swapped.label.cluster = ClusterId([4; 16]);
        let error = Backup::decode(&swapped.encode()).unwrap_err();
        assert!(matches!(error, BackupError::Differs { what: "cluster", .. }), "{error}");
        let mut later = backup().encode();
        later[8] = 2;
        assert!(matches!(Backup::decode(&later), Err(BackupError::NewerFormat { found: 2, known: 1 })));
    }
}
