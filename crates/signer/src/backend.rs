//! Key backends: what turns a permit into a signature.
//!
//! Invariant: a guarded payload is signed only by consuming a permit for exactly that payload, and the bytes that are
//! signed are checked against the permit here, next to the key. No method takes raw bytes.

use crate::key_file::{self, KeyFileError};
use ed25519_dalek::{Signer as _, SigningKey};
use interlock_chains::cometbft::{ExtensionSignBytes, ProposalToSign, SignBytes, VoteToSign};
use interlock_client::Permit;
use interlock_core::cometbft::{self, Timestamp};
use interlock_core::{ChainId, ChainIdentity, Digest, Intent, KeyId, Position, PublicKey};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::Path;

/// A vote's payload is the digest of its sign bytes at this timestamp, so that time does not count.
const NO_TIME: Timestamp = Timestamp { seconds: 0, nanos: 0 };

/// A message whose signature needs an approval.
#[derive(Debug, Clone)]
pub(crate) enum Guarded {
    Vote(VoteToSign),
    Proposal(ProposalToSign),
}

impl Guarded {
    pub(crate) fn intent(&self) -> Intent {
        match self {
            Self::Vote(vote) => vote.intent(),
            Self::Proposal(proposal) => proposal.intent(),
        }
    }

    pub(crate) fn position(&self) -> cometbft::Position {
        match self {
            Self::Vote(vote) => vote.position(),
            Self::Proposal(proposal) => proposal.position(),
        }
    }

    pub(crate) fn payload(&self) -> Digest {
        match self {
            Self::Vote(vote) => vote.cometbft_intent().payload,
            Self::Proposal(proposal) => proposal.cometbft_intent().payload,
        }
    }

    fn sign_bytes(&self, timestamp: Timestamp) -> SignBytes {
        match self {
            Self::Vote(vote) => vote.sign_bytes(timestamp),
            Self::Proposal(proposal) => proposal.sign_bytes(),
        }
    }

    /// The payload anew, from the bytes that would be signed.
    fn payload_of_bytes(&self) -> Digest {
        Digest(Sha256::digest(self.sign_bytes(NO_TIME).as_bytes()).into())
    }
}

/// Why a permit did not become a signature. Each means a fault in this program: nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignError {
    #[error("the permit is for key {permitted}, this is key {ours}")]
    Key { permitted: KeyId, ours: KeyId },
    #[error("the permit is for {permitted}, the message is at {asked}")]
    Position { permitted: Position, asked: Position },
    #[error("the permit is for payload {permitted}, the bytes to sign have payload {computed}")]
    Payload { permitted: Digest, computed: Digest },
    #[error("the permit for {asked} does not say which timestamp to sign with")]
    NoTimestamp { asked: Position },
}

/// A signature and what it is over.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) sign_bytes: SignBytes,
    pub(crate) signature: Vec<u8>,
    pub(crate) timestamp: Timestamp,
}

/// Where a key lives.
#[derive(Debug)]
pub(crate) enum Backend {
    File(FileBackend),
}

/// A key from a file, in memory.
pub(crate) struct FileBackend {
    key: KeyId,
    signing_key: SigningKey,
}

impl fmt::Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBackend").field("key", &self.key).finish_non_exhaustive()
    }
}

impl FileBackend {
    pub(crate) fn open(path: &Path, chain_id: &ChainId) -> Result<Self, KeyFileError> {
        let signing_key = key_file::load(path)?;
        let public_key = PublicKey::new(signing_key.verifying_key().as_bytes())
            .expect("an ed25519 public key has 32 bytes, which is in range");
        let key = KeyId::of(&ChainIdentity::Cometbft(chain_id.clone()), &public_key);
        Ok(Self { key, signing_key })
    }
}

impl Backend {
    /// The key's identity.
    pub(crate) fn key(&self) -> KeyId {
        let Self::File(file) = self;
        file.key
    }

    /// The public key's bytes.
    pub(crate) fn public_key(&self) -> [u8; 32] {
        let Self::File(file) = self;
        file.signing_key.verifying_key().to_bytes()
    }

    /// Signs what the permit allows, with the permit's timestamp.
    pub(crate) fn sign(&self, permit: Permit, message: &Guarded) -> Result<Signed, SignError> {
        let Self::File(file) = self;
        if permit.key() != file.key {
            return Err(SignError::Key { permitted: permit.key(), ours: file.key });
        }
        let asked = Position::Cometbft(message.position());
        if permit.position() != asked {
            return Err(SignError::Position { permitted: permit.position(), asked });
        }
        let computed = message.payload_of_bytes();
        if permit.payload() != computed {
            return Err(SignError::Payload { permitted: permit.payload(), computed });
        }
        let timestamp = permit.timestamp().ok_or(SignError::NoTimestamp { asked })?;
        let sign_bytes = message.sign_bytes(timestamp);
        let signature = file.signing_key.sign(sign_bytes.as_bytes()).to_vec();
        Ok(Signed { sign_bytes, signature, timestamp })
    }

    /// Signs a vote extension. Extensions cannot be slashed and need no permit.
    pub(crate) fn sign_extension(&self, extension: &ExtensionSignBytes) -> Vec<u8> {
        let Self::File(file) = self;
        file.signing_key.sign(extension.as_bytes()).to_vec()
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
