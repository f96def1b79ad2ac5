//! Frames as a byte stream: what is written is cut and sealed, what is read is opened and joined.
//!
//! Invariant: after one frame failed, every later read fails with the same error; no byte of an unverified frame gets
//! out.

use super::frame::{DATA_MAX, FrameCipher, FrameError, SEALED_LEN};
use super::key_schedule::FrameKeys;
use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many frames one write call may seal, which bounds the memory of a connection.
const FRAMES_PER_WRITE_MAX: usize = 16;

/// A byte stream over sealed frames.
pub(super) struct FrameStream<S> {
    stream: S,
    opener: FrameCipher,
    /// The frame being received, opened in place once whole.
    incoming: Box<[u8; SEALED_LEN]>,
    /// Bytes of `incoming` that have arrived.
    received: usize,
    /// Opened bytes in `incoming` that nobody has read yet.
    unread: Range<usize>,
    failure: Option<FrameError>,
    sealer: FrameCipher,
    /// Sealed frames on their way out.
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that have left.
    sent: usize,
}

impl<S> FrameStream<S> {
    pub(super) fn new(stream: S, keys: &FrameKeys) -> Self {
        Self {
            stream,
            opener: FrameCipher::new(&keys.recv),
            incoming: Box::new([0; SEALED_LEN]),
            received: 0,
            unread: 0..0,
            failure: None,
            sealer: FrameCipher::new(&keys.send),
            outgoing: Vec::new(),
            sent: 0,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for FrameStream<S> {
    /// Shows no keys and no plaintext.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FrameStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + Unpin> FrameStream<S> {
    /// Receives and opens the next frame. Ready with `false` when the peer closed between two frames.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(invalid(failure)));
        }
        while self.received < SEALED_LEN {
            let mut buffer = ReadBuf::new(&mut self.incoming[self.received..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            match (buffer.filled().len(), self.received) {
                (0, 0) => return Poll::Ready(Ok(false)),
                (0, _) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                (count, _) => self.received += count,
            }
        }
        self.received = 0;
        match self.opener.open(&mut self.incoming) {
            Ok(range) => {
                self.unread = range;
                Poll::Ready(Ok(true))
            }
            Err(failure) => {
                self.failure = Some(failure);
                Poll::Ready(Err(invalid(failure)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() && !ready!(this.poll_frame(cx))? {
            return Poll::Ready(Ok(()));
        }
        let count = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.incoming[this.unread.start..this.unread.start + count]);
        this.unread.start += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> FrameStream<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameStream<S> {
    /// Seals into memory; the frames leave with the next write or flush.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let accepted = bytes.len().min(FRAMES_PER_WRITE_MAX * DATA_MAX);
        for data in bytes[..accepted].chunks(DATA_MAX) {
            this.outgoing.extend_from_slice(&this.sealer.seal(data).map_err(invalid)?);
        }
        Poll::Ready(Ok(accepted))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
