//! The signature tap: every signature, written down before its answer leaves. For tests of the whole system, which
//! judge what came out and not what the signer says about itself.

use interlock_core::cometbft::{Position, Step};
use interlock_core::{ChainId, SignerId};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A tap that failed: the answer must not leave.
#[derive(Debug, thiserror::Error)]
#[error("the signature tap {} cannot be written: {source}", path.display())]
pub struct TapError {
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

#[derive(Serialize)]
struct Line<'a> {
    time_unix_ns: u128,
    signer: &'a str,
    chain_id: &'a str,
    kind: &'static str,
    height: u64,
    round: u32,
    sign_bytes: String,
    signature: String,
}

/// An open tap.
#[derive(Debug)]
pub(crate) struct Tap {
    path: PathBuf,
    file: Mutex<File>,
    signer: SignerId,
}

/// What kind of message a position's main signature is over.
pub(crate) fn kind_of(position: Position) -> &'static str {
    match position.step {
        Step::Proposal => "proposal",
        Step::Prevote | Step::Precommit => "vote",
    }
}

impl Tap {
    pub(crate) fn open(path: &Path, signer: SignerId) -> Result<Self, TapError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| TapError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), signer })
    }

    pub(crate) fn record(
        &self,
        chain_id: &ChainId,
        kind: &'static str,
        position: Position,
        sign_bytes: &[u8],
        signature: &[u8],
    ) -> Result<(), TapError> {
        let line = Line {
            // A clock before 1970 only spoils the record's time, which nothing decides on.
            time_unix_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()),
            signer: self.signer.as_str(),
            chain_id: chain_id.as_str(),
            kind,
            height: position.height,
            round: position.round,
            sign_bytes: hex::encode(sign_bytes),
            signature: hex::encode(signature),
        };
        let failed = |source| TapError { path: self.path.clone(), source };
        let mut text = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).map_err(failed)
    }
}
