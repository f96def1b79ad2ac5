//! SecretConnection: the authenticated encryption under every tcp link between a CometBFT node and its signer.
//!
//! Both ends run the same protocol: exchange ephemeral X25519 keys, derive one key per direction, then prove an ed25519
//! identity over the transcript. [`key_schedule`] is pure, [`frame`] is pure, [`handshake`] and [`stream`] do I/O.
//!
//! Invariant: a [`SecretConnection`] value exists only after the remote's signature over this very handshake was
//! verified.

mod frame;
mod handshake;
mod key_schedule;
mod stream;

pub use handshake::HandshakeError;

use crate::peer_id::PeerId;
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stream::FrameStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An encrypted, authenticated byte stream over `S`.
#[derive(Debug)]
pub struct SecretConnection<S> {
    frames: FrameStream<S>,
    remote_key: VerifyingKey,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SecretConnection<S> {
    /// Runs the handshake, the same for whoever dialed and whoever accepted.
    ///
    /// # Errors
    /// When the peer breaks the protocol, does not prove its identity, closes, or is not done within `deadline`.
    pub async fn handshake(
        stream: S,
        identity: &SigningKey,
        deadline: Duration,
    ) -> Result<Self, HandshakeError> {
        match tokio::time::timeout(deadline, handshake::run(stream, identity)).await {
            Ok(result) => result.map(|(frames, remote_key)| Self { frames, remote_key }),
            Err(_) => Err(HandshakeError::DeadlinePassed { deadline_ms: deadline.as_millis() }),
        }
    }
}

impl<S> SecretConnection<S> {
    /// The key that the remote proved to hold.
    pub fn remote_key(&self) -> &VerifyingKey {
        &self.remote_key
    }

    /// The short name of that key.
    pub fn remote_id(&self) -> PeerId {
        PeerId::of(&self.remote_key)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SecretConnection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SecretConnection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().frames).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_shutdown(cx)
    }
}
