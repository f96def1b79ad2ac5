//! Messages on a byte stream: an unsigned varint length, then one protobuf message.
//!
//! Invariant: memory grows with the bytes that arrived, never with the length that was announced, and never past the
//! cap. A stream that failed once stays unusable, since nobody knows any more where a message begins.

use crate::messages::{Envelope, Message};
use prost::Message as _;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest request that a signer accepts from a node: an extension can have 1 MiB, and a node does not cap what it
/// writes.
pub const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024 + 64 * 1024;

/// Longest answer that a node before v0.40 accepts from its signer.
pub const MAX_RESPONSE_BYTES: usize = 10_240;

/// A varint of more bytes than this announces more than any cap allows (five bytes hold 32 bits and more).
const MAX_LENGTH_PREFIX_BYTES: usize = 5;

/// How much to ask the stream for at a time.
const READ_CHUNK_BYTES: usize = 4096;

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The peer closed the stream between two messages.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed the stream inside a message.
    #[error("the peer closed the connection inside a message: {received} bytes of it had arrived")]
    Truncated {
        /// Bytes of the message, prefix included, that had arrived.
        received: usize,
    },
    /// The length is not a varint that could be a length.
    #[error("the length of a message is malformed: {prefix:02x?}; is the peer a CometBFT node?")]
    MalformedLength {
        /// The bytes that should have been a length.
        prefix: Vec<u8>,
    },
    /// The announced length is over the cap.
    #[error("a message of {announced} bytes was announced; at most {limit} are accepted")]
    TooLong {
        /// What the peer announced.
        announced: u64,
        /// The cap of this stream.
        limit: usize,
    },
    /// The bytes are not the protobuf of a message.
    #[error("a message is not valid protobuf: {0}")]
    Malformed(prost::DecodeError),
    /// Valid protobuf that holds none of the messages of this protocol.
    #[error("a message is of a kind that this protocol version does not have")]
    UnknownMessage,
    /// The stream below failed; for SecretConnection this includes forged, replayed and reordered frames.
    #[error("reading from the peer failed: {0}")]
    Io(#[from] io::Error),
    /// An earlier failure made the stream unusable.
    #[error("the connection failed before; open a new one")]
    Unusable,
}

/// Why a message could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The stream below failed.
    #[error("writing to the peer failed: {0}")]
    Io(#[from] io::Error),
    /// An earlier failure, or a send that was dropped half way, made the stream unusable.
    #[error("the connection failed before; open a new one")]
    Unusable,
}

/// A stream of messages over any byte stream.
#[derive(Debug)]
pub struct MessageStream<S> {
    stream: S,
    inbox: Vec<u8>,
    max_recv_bytes: usize,
    usable: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// Wraps `stream`; messages of more than `max_recv_bytes` (without their prefix) will be refused.
    pub fn new(stream: S, max_recv_bytes: usize) -> Self {
        Self { stream, inbox: Vec::new(), max_recv_bytes, usable: true }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Waits for one message. Cancel safe: a message that had arrived in part is continued by the next call.
    ///
    /// # Errors
    /// See [`RecvError`]; after any of them the stream is unusable.
    pub async fn recv(&mut self) -> Result<Message, RecvError> {
        if !self.usable {
            return Err(RecvError::Unusable);
        }
        let result = self.recv_or_fail().await;
        self.usable = result.is_ok();
        result
    }

    async fn recv_or_fail(&mut self) -> Result<Message, RecvError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            self.inbox.reserve(READ_CHUNK_BYTES);
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(match self.inbox.len() {
                    0 => RecvError::Closed,
                    received => RecvError::Truncated { received },
                });
            }
        }
    }

    /// Takes the first message out of the inbox, if all of it is there.
    fn take_message(&mut self) -> Result<Option<Message>, RecvError> {
        let Some((prefix_len, body_len)) = parse_length(&self.inbox, self.max_recv_bytes)? else {
            return Ok(None);
        };
        let end = prefix_len + body_len;
        if self.inbox.len() < end {
            return Ok(None);
        }
        let envelope = Envelope::decode(&self.inbox[prefix_len..end]).map_err(RecvError::Malformed)?;
        self.inbox.drain(..end);
        envelope.message.map(Some).ok_or(RecvError::UnknownMessage)
    }

    /// Writes one message and flushes it. Not cancel safe: dropped half way, it leaves the stream unusable.
    ///
    /// # Errors
    /// When the stream below fails; it is unusable afterwards.
    pub async fn send(&mut self, message: Message) -> Result<(), SendError> {
        if !self.usable {
            return Err(SendError::Unusable);
        }
        let bytes = Envelope { message: Some(message) }.encode_length_delimited_to_vec();
        self.usable = false;
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        self.usable = true;
        Ok(())
    }
}

/// Reads the length at the start of `bytes`: `None` when more bytes are needed, else (bytes of prefix, bytes of body).
fn parse_length(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, RecvError> {
    let malformed = |len: usize| RecvError::MalformedLength { prefix: bytes[..len].to_vec() };
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().take(MAX_LENGTH_PREFIX_BYTES).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        // The only varint that may end in a zero byte is zero itself.
        if *byte == 0 && index > 0 {
            return Err(malformed(index + 1));
        }
        return match usize::try_from(length) {
            Ok(body_len) if body_len <= limit => Ok(Some((index + 1, body_len))),
            _ => Err(RecvError::TooLong { announced: length, limit }),
        };
    }
    if bytes.len() >= MAX_LENGTH_PREFIX_BYTES {
        return Err(malformed(MAX_LENGTH_PREFIX_BYTES));
    }
    Ok(None)
}

/// Reads exactly one length-delimited body and not a byte more; for the handshake, which goes before any message.
pub(crate) async fn read_delimited<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> Result<Vec<u8>, RecvError> {
    let mut prefix = Vec::with_capacity(MAX_LENGTH_PREFIX_BYTES);
    let body_len = loop {
        prefix.push(reader.read_u8().await?);
        if let Some((_, body_len)) = parse_length(&prefix, limit)? {
            break body_len;
        }
    };
    let mut body = vec![0; body_len];
    reader.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{PingRequest, PubKeyRequest};
    use proptest::prelude::*;
    use tokio::io::DuplexStream;

    const LIMIT: usize = 1000;

    fn pair() -> (DuplexStream, MessageStream<DuplexStream>) {
        let (raw, stream) = tokio::io::duplex(64 * 1024);
        (raw, MessageStream::new(stream, LIMIT))
    }

    /// What a reader says when exactly these bytes arrive and then the end.
    async fn read_bytes(bytes: &[u8]) -> Result<Message, RecvError> {
        let (mut raw, mut stream) = pair();
        raw.write_all(bytes).await.unwrap();
        drop(raw);
        stream.recv().await
    }

    fn request(chain_id: &str) -> Message {
        Message::PubKeyRequest(PubKeyRequest { chain_id: chain_id.to_owned() })
    }

    #[tokio::test]
    async fn messages_travel_both_ways_and_in_order() {
        let (raw, mut near) = pair();
        let mut far = MessageStream::new(raw, LIMIT);
        let long = "x".repeat(900);
        near.send(request("a")).await.unwrap();
        near.send(request(&long)).await.unwrap();
        assert_eq!(far.recv().await.unwrap(), request("a"));
        assert_eq!(far.recv().await.unwrap(), request(&long));
        far.send(Message::PingRequest(PingRequest {})).await.unwrap();
        assert_eq!(near.recv().await.unwrap(), Message::PingRequest(PingRequest {}));
    }

    #[tokio::test]
    async fn a_message_may_arrive_byte_by_byte_and_a_cancelled_recv_loses_nothing() {
        let (mut raw, mut stream) = pair();
        let bytes = Envelope { message: Some(request("chain")) }.encode_length_delimited_to_vec();
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            raw.write_all(&[*byte]).await.unwrap();
            // Nothing is complete yet, so this branch always loses; the byte must stay in the inbox.
            tokio::select! {
                biased;
                message = stream.recv() => panic!("complete too early: {message:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        raw.write_all(&[*last]).await.unwrap();
        assert_eq!(stream.recv().await.unwrap(), request("chain"));
    }

    #[tokio::test]
    async fn the_end_of_the_stream_says_where_it_came() {
        assert!(matches!(read_bytes(&[]).await, Err(RecvError::Closed)));
        assert!(matches!(read_bytes(&[0x02]).await, Err(RecvError::Truncated { received: 1 })));
        assert!(matches!(read_bytes(&[0x02, 0x3a]).await, Err(RecvError::Truncated { received: 2 })));
        assert!(matches!(read_bytes(&[0x80]).await, Err(RecvError::Truncated { received: 1 })));
    }

    #[tokio::test]
    async fn lengths_over_the_cap_are_refused_before_their_bytes_come() {
        let (mut raw, mut stream) = pair();
        raw.write_all(&[0xe9, 0x07]).await.unwrap();
        assert!(matches!(stream.recv().await, Err(RecvError::TooLong { announced: 1001, limit: LIMIT })));
        assert!(matches!(stream.recv().await, Err(RecvError::Unusable)));
        assert!(matches!(stream.send(request("a")).await, Err(SendError::Unusable)));
        let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(
            read_bytes(&four_gib).await,
            Err(RecvError::TooLong { announced: 0xffff_ffff, .. })
        ));
    }

    #[tokio::test]
    async fn malformed_lengths_and_bodies() {
        assert!(matches!(read_bytes(&[0xff; 5]).await, Err(RecvError::MalformedLength { .. })));
        assert!(matches!(
            read_bytes(&[0x82, 0x00, 0x3a, 0x00]).await,
            Err(RecvError::MalformedLength { .. })
        ));
        assert!(matches!(read_bytes(&[0x02, 0x3a, 0x05]).await, Err(RecvError::Malformed(_))));
        assert!(matches!(read_bytes(&[0x02, 0x4a, 0x00]).await, Err(RecvError::UnknownMessage)));
        assert!(matches!(read_bytes(&[0x00]).await, Err(RecvError::UnknownMessage)));
    }

    #[tokio::test]
    async fn a_dropped_send_leaves_the_stream_unusable() {
        // The pipe holds 4 bytes and nobody reads: the send stops half way and is dropped there.
        let (_raw, stream) = tokio::io::duplex(4);
        let mut stream = MessageStream::new(stream, LIMIT);
        tokio::select! {
            biased;
            sent = stream.send(request("a chain")) => panic!("cannot have been written: {sent:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert!(matches!(stream.send(request("a")).await, Err(SendError::Unusable)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_pass_the_cap(bytes: Vec<u8>) {
            let (_raw, mut stream) = pair();
            stream.inbox = bytes;
            if let Ok(Some((_, body_len))) = parse_length(&stream.inbox, LIMIT) {
                prop_assert!(body_len <= LIMIT);
            }
            let _outcome = stream.take_message();
        }
    }
}
