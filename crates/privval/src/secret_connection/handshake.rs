//! The handshake: ephemeral keys in clear, then an identity proof each way, encrypted.
//!
//! Invariant: stops at the first thing that is not exactly as it must be; nothing of a peer is used before it is
//! checked.

use super::key_schedule::{challenge, frame_keys};
use super::stream::FrameStream;
use crate::framing::{RecvError, read_delimited};
use crate::messages::{PublicKey, PublicKeyKind};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message as _;
use rand_core::OsRng;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use x25519_dalek::{EphemeralSecret, PublicKey as EphemeralKey};

/// Start of the first message: 34 bytes follow, which are field 1, which has 32 bytes.
const EPHEMERAL_PREFIX: [u8; 3] = [0x22, 0x0a, 0x20];

/// An identity proof has 102 bytes (a key of 32, a signature of 64); the rest is slack for fields of later versions.
const AUTH_BYTES_MAX: usize = 512;

/// Why a handshake failed. The connection must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer stalled.
    #[error("the peer did not finish the handshake within {deadline_ms} ms")]
    DeadlinePassed {
        /// The deadline that was set.
        deadline_ms: u128,
    },
    /// Reading or writing failed, or the peer closed; a frame that does not open is here too.
    #[error("the handshake broke off: {0}")]
    Io(#[from] io::Error),
    /// The first message is not a 32-byte ephemeral key.
    #[error(
        "the peer's first bytes are {found:02x?}, not those of an ephemeral key; does it speak SecretConnection?"
    )]
    NotAnEphemeralKey {
        /// What came where the prefix should have been.
        found: [u8; 3],
    },
    /// The peer sent our own ephemeral key back.
    #[error("the peer sent our own ephemeral key back")]
    Reflected,
    /// The peer's ephemeral key makes the shared secret a constant.
    #[error("the peer's ephemeral key is a low-order point: the shared secret would be known to everybody")]
    LowOrderPoint,
    /// The identity proof cannot be read.
    #[error("the peer's identity proof is malformed: {0}")]
    MalformedProof(String),
    /// The identity key is not ed25519.
    #[error("the peer's identity key is not an ed25519 key")]
    NotEd25519,
    /// The identity key or the signature has a wrong length, or the key is not a point of the curve.
    #[error(
        "the peer's identity proof holds a key of {key_len} and a signature of {signature_len} bytes that are not valid"
    )]
    InvalidProof {
        /// 32 when right.
        key_len: usize,
        /// 64 when right.
        signature_len: usize,
    },
    /// The signature does not verify: the peer does not hold the key it claims, or somebody sits in between.
    #[error("the peer does not hold the identity key it claims ({}), or the link is intercepted", hex::encode(.claimed))]
    WrongSignature {
        /// The claimed key.
        claimed: [u8; 32],
    },
}

#[derive(Clone, PartialEq, prost::Message)]
struct AuthSignature {
    #[prost(message, required, tag = "1")]
    pub_key: PublicKey,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

/// Runs the handshake and returns the encrypted stream with the key that the remote proved to hold.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    identity: &SigningKey,
) -> Result<(FrameStream<S>, VerifyingKey), HandshakeError> {
    let secret = EphemeralSecret::random_from_rng(OsRng);
    let local = EphemeralKey::from(&secret).to_bytes();
    let remote = exchange_ephemeral_keys(&mut stream, &local).await?;
    if remote == local {
        return Err(HandshakeError::Reflected);
    }
    let shared = secret.diffie_hellman(&EphemeralKey::from(remote));
    if !shared.was_contributory() {
        return Err(HandshakeError::LowOrderPoint);
    }
    let local_is_lower = local < remote;
    let (lower, upper) = if local_is_lower { (&local, &remote) } else { (&remote, &local) };
    let challenge = challenge(lower, upper, shared.as_bytes());
    let mut frames = FrameStream::new(stream, &frame_keys(shared.as_bytes(), local_is_lower));

    let proof = AuthSignature {
        pub_key: PublicKey::ed25519(identity.verifying_key().to_bytes()),
        signature: identity.sign(&challenge).to_vec(),
    };
    frames.write_all(&proof.encode_length_delimited_to_vec()).await?;
    frames.flush().await?;
    let remote_key = receive_proof(&mut frames, &challenge).await?;
    Ok((frames, remote_key))
}

async fn exchange_ephemeral_keys<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    local: &[u8; 32],
) -> Result<[u8; 32], HandshakeError> {
    stream.write_all(&[&EPHEMERAL_PREFIX[..], local].concat()).await?;
    stream.flush().await?;
    let mut prefix = [0; EPHEMERAL_PREFIX.len()];
    stream.read_exact(&mut prefix).await?;
    if prefix != EPHEMERAL_PREFIX {
        return Err(HandshakeError::NotAnEphemeralKey { found: prefix });
    }
    let mut remote = [0; 32];
    stream.read_exact(&mut remote).await?;
    Ok(remote)
}

async fn receive_proof<S: AsyncRead + Unpin>(
    frames: &mut FrameStream<S>,
    challenge: &[u8; 32],
) -> Result<VerifyingKey, HandshakeError> {
    let bytes = read_delimited(frames, AUTH_BYTES_MAX).await.map_err(|error| match error {
        RecvError::Io(source) => HandshakeError::Io(source),
        other => HandshakeError::MalformedProof(other.to_string()),
    })?;
    let proof = AuthSignature::decode(bytes.as_slice())
        .map_err(|error| HandshakeError::MalformedProof(error.to_string()))?;
    let Some(PublicKeyKind::Ed25519(key_bytes)) = &proof.pub_key.kind else {
        return Err(HandshakeError::NotEd25519);
    };
    let invalid =
        || HandshakeError::InvalidProof { key_len: key_bytes.len(), signature_len: proof.signature.len() };
    let claimed: [u8; 32] = key_bytes.as_slice().try_into().map_err(|_| invalid())?;
    let key = VerifyingKey::from_bytes(&claimed).map_err(|_| invalid())?;
    let signature = Signature::from_slice(&proof.signature).map_err(|_| invalid())?;
    // Strict: a small-order key would verify anything.
    key.verify_strict(challenge, &signature).map_err(|_| HandshakeError::WrongSignature { claimed })?;
    Ok(key)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
