//! The local watermark (S7): this signer's own durable word on what it may have signed.
//!
//! `signed` is the newest position whose signature left, `pending` one whose approval was asked for and which was
//! perhaps approved; both count the same against a request. Keeps: it is created by enrolment alone; missing or damaged
//! is an error and never "nothing signed yet"; nothing is signed before `pending` is on disk; after a failed write
//! nothing is signed at all.

use interlock_core::cometbft::Position;
use interlock_core::{ClusterId, Digest, KeyId, KeyName};
use interlock_disk::{Disk, RecordError, RecordFile, read_record as read_record_file};
use minicbor::{Decode, Encode};
use std::path::{Path, PathBuf};

/// Version of the record's encoding.
const FORMAT_VERSION: u32 = 1;
/// Room for the record in its file; it has about 150 bytes.
const RECORD_MAX_BYTES: usize = 1024;

/// A position with what was signed there, or perhaps was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Mark {
    #[n(0)]
    pub(crate) position: Position,
    #[n(1)]
    pub(crate) payload: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Record {
    #[n(0)]
    cluster: ClusterId,
    #[n(1)]
    key: KeyId,
    /// No height up to and including this one is signed.
    #[n(2)]
    floor_height: u64,
    #[n(3)]
    signed: Option<Mark>,
    #[n(4)]
    pending: Option<Mark>,
}

/// What enrolment writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enrolment {
    pub(crate) cluster: ClusterId,
    pub(crate) key: KeyId,
    pub(crate) floor_height: u64,
    /// What the guard had approved: counts as signed.
    pub(crate) approved: Option<Mark>,
}

/// Why a watermark cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WatermarkError {
    /// There is none.
    #[error(
        "key {key} has no local watermark at {}; if this signer never signed with it, or its state is lost for good, run \
         `interlock signer enroll`",
        path.display()
    )]
    Missing {
        /// Of which key.
        key: KeyName,
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("key {key} has a local watermark already, at {}: it is created only once", path.display())]
    Exists {
        /// Of which key.
        key: KeyName,
        /// Where.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error(
        "the local watermark of key {key} cannot be used: {source}; repair the disk, or move the file away and run \
         `interlock signer enroll`, which reads the position from the guard"
    )]
    Unusable {
        /// Of which key.
        key: KeyName,
        /// What the disk said.
        source: RecordError,
    },
    /// Its contents make no sense.
    #[error("the local watermark of key {key} at {} does not decode: {reason}", path.display())]
    Undecodable {
        /// Of which key.
        key: KeyName,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It was read by itself, and is no watermark that this program can read.
    #[error("{} is no local watermark that can be read: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It belongs to another key.
    #[error(
        "the local watermark of key {name} belongs to key {found}, the key file and chain id give {configured}; correct \
         key_file or chain_id"
    )]
    OtherKey {
        /// Configured name.
        name: KeyName,
        /// In the file.
        found: KeyId,
        /// Of the key file.
        configured: KeyId,
    },
}

/// Why this signer does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocalRefusal {
    #[error("S7 local watermark: {asked} is not above the floor, height {floor_height}")]
    BelowFloor { floor_height: u64, asked: Position },
    #[error("S7 local watermark: {asked} is below {newest}, which this signer signed or may have signed")]
    Below { newest: Position, asked: Position },
    #[error(
        "S7 local watermark: double sign: at {at} this signer signed or may have signed {recorded}, not {asked}"
    )]
    Conflict { at: Position, recorded: Digest, asked: Digest },
    #[error(
        "S7 local watermark: it could not be written ({reason}); nothing is signed until this signer is restarted"
    )]
    Failed { reason: String },
}

/// A mark that [`Watermark::begin`] made durable, until its outcome is known. Dropping it keeps the mark pending.
#[derive(Debug)]
pub(crate) struct Attempt {
    mark: Mark,
    /// What was pending before, when this attempt replaced it; `None` when the mark stood there already.
    replaced: Option<Option<Mark>>,
}

/// The watermark of one key.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: RecordFile,
    record: Record,
    failed: Option<String>,
}

/// Where a key's watermark lies.
pub(crate) fn path_of(state_dir: &Path, key: &KeyName) -> PathBuf {
    state_dir.join(format!("{key}.watermark"))
}

impl Watermark {
    /// Creates the file. Only enrolment does this.
    pub(crate) fn create(
        disk: &dyn Disk,
        state_dir: &Path,
        name: &KeyName,
        enrolment: Enrolment,
    ) -> Result<(), WatermarkError> {
        let Enrolment { cluster, key, floor_height, approved } = enrolment;
        let record = Record { cluster, key, floor_height, signed: approved, pending: None };
        let path = path_of(state_dir, name);
        match RecordFile::create(disk, &path, FORMAT_VERSION, &encode(&record), RECORD_MAX_BYTES) {
            Ok(_) => Ok(()),
            Err(RecordError::Exists { path }) => Err(WatermarkError::Exists { key: name.clone(), path }),
            Err(source) => Err(WatermarkError::Unusable { key: name.clone(), source }),
        }
    }

    /// Opens the file of a key.
    pub(crate) fn open(
        disk: &dyn Disk,
        state_dir: &Path,
        name: &KeyName,
        key: KeyId,
    ) -> Result<Self, WatermarkError> {
        let path = path_of(state_dir, name);
        let file = match RecordFile::open(disk, &path, FORMAT_VERSION) {
            Ok(file) => file,
            Err(RecordError::Missing { path }) => {
                return Err(WatermarkError::Missing { key: name.clone(), path });
            }
            Err(source) => return Err(WatermarkError::Unusable { key: name.clone(), source }),
        };
        let record = decode(file.content()).map_err(|reason| WatermarkError::Undecodable {
            key: name.clone(),
            path,
            reason,
        })?;
        if record.key != key {
            return Err(WatermarkError::OtherKey { name: name.clone(), found: record.key, configured: key });
        }
        Ok(Self { file, record, failed: None })
    }

    /// The cluster that enrolment pinned.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.record.cluster
    }

    /// Pins another cluster, on an operator's word that the guard was restored. What this signer signed, or may have
    /// signed, stays; what the new guard says can only raise it (S4).
    pub(crate) fn repin(&mut self, name: &KeyName, enrolment: Enrolment) -> Result<(), WatermarkError> {
        let mut record = self.record.clone();
        record.cluster = enrolment.cluster;
        record.floor_height = record.floor_height.max(enrolment.floor_height);
        if let Some(approved) = enrolment.approved
            && record.signed.is_none_or(|signed| approved.position > signed.position)
        {
            record.signed = Some(approved);
        }
        self.file
            .update(&encode(&record))
            .map_err(|source| WatermarkError::Unusable { key: name.clone(), source })?;
        self.record = record;
        Ok(())
    }

    /// Whether this signer may ask for, and sign, this payload.
    pub(crate) fn check(&self, asked: Mark) -> Result<(), LocalRefusal> {
        if let Some(reason) = &self.failed {
            return Err(LocalRefusal::Failed { reason: reason.clone() });
        }
        let mut known = false;
        for mark in self.record.signed.iter().chain(&self.record.pending) {
            if asked.position < mark.position {
                return Err(LocalRefusal::Below { newest: mark.position, asked: asked.position });
            }
            if asked.position == mark.position && asked.payload != mark.payload {
                let (recorded, asked) = (mark.payload, asked);
                return Err(LocalRefusal::Conflict { at: asked.position, recorded, asked: asked.payload });
            }
            known |= asked == *mark;
        }
        if !known && asked.position.height <= self.record.floor_height {
            let floor_height = self.record.floor_height;
            return Err(LocalRefusal::BelowFloor { floor_height, asked: asked.position });
        }
        Ok(())
    }

    /// Makes the mark durable, as pending. After an error nothing is signed any more.
    pub(crate) fn begin(&mut self, mark: Mark) -> Result<Attempt, LocalRefusal> {
        self.check(mark)?;
        // As `signed` in memory, the mark stands on disk as `signed` or as `pending`: durable either way.
        if self.record.signed == Some(mark) || self.record.pending == Some(mark) {
            return Ok(Attempt { mark, replaced: None });
        }
        let replaced = self.record.pending.replace(mark);
        self.write()?;
        Ok(Attempt { mark, replaced: Some(replaced) })
    }

    /// The mark was signed. Not written: on disk it stands as pending, which counts the same, and the next update
    /// writes it as signed.
    pub(crate) fn signed(&mut self, attempt: Attempt) {
        self.record.signed = Some(attempt.mark);
        self.record.pending = None;
    }

    /// The mark was certainly not approved: what was pending before is pending again.
    pub(crate) fn withdraw(&mut self, attempt: Attempt) -> Result<(), LocalRefusal> {
        let Some(before) = attempt.replaced else { return Ok(()) };
        self.record.pending = before;
        self.write()
    }

    fn write(&mut self) -> Result<(), LocalRefusal> {
        self.file.update(&encode(&self.record)).map_err(|error| {
            let reason = error.to_string();
            self.failed = Some(reason.clone());
            LocalRefusal::Failed { reason }
        })
    }
}

/// What a watermark file says, without using it.
pub(crate) struct Found {
    pub(crate) cluster: ClusterId,
    pub(crate) key: KeyId,
    pub(crate) floor_height: u64,
    /// The newest of what was signed and what may have been.
    pub(crate) newest: Option<Mark>,
}

/// Reads a watermark file without writing to it.
pub(crate) fn read_record(disk: &dyn Disk, path: &Path) -> Result<Found, WatermarkError> {
    let unreadable = |reason: String| WatermarkError::Unreadable { path: path.to_owned(), reason };
    let content =
        read_record_file(disk, path, FORMAT_VERSION).map_err(|error| unreadable(error.to_string()))?;
    let Record { cluster, key, floor_height, signed, pending } = decode(&content).map_err(unreadable)?;
    let newest = signed.into_iter().chain(pending).max_by_key(|mark| mark.position);
    Ok(Found { cluster, key, floor_height, newest })
}

fn encode(record: &Record) -> Vec<u8> {
    let Ok(bytes) = minicbor::to_vec(record) else { unreachable!("writing to memory cannot fail") };
    bytes
}

fn decode(bytes: &[u8]) -> Result<Record, String> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let record = decoder.decode().map_err(|error| error.to_string())?;
    if decoder.position() != bytes.len() {
        return Err(format!("{} bytes follow the record", bytes.len() - decoder.position()));
    }
    Ok(record)
}

#[cfg(test)]
#[path = "watermark_tests.rs"]
mod tests;
