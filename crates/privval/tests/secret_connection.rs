//! SecretConnection against another implementation, against itself, and with somebody on the line.

#![allow(clippy::unwrap_used, reason = "a test whose set-up fails must fail there")]

use cometbft_p2p::{AsyncReadMsg, AsyncSecretConnection, AsyncWriteMsg};
use ed25519_dalek::SigningKey;
use interlock_privval::{HandshakeError, PeerId, SecretConnection};
use prost::Message as _;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const DEADLINE: Duration = Duration::from_secs(20);
const PIPE_BYTES: usize = 64 * 1024;
const HELLO_LEN: usize = 35;
const FRAME_LEN: usize = 1044;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Any protobuf message will do to talk to the other implementation.
#[derive(Clone, PartialEq, prost::Message)]
struct Blob {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

fn blob(len: usize) -> Blob {
    Blob { bytes: (0..len).map(|index| index as u8).collect() }
}

/// Lengths around every frame border, and one of many frames.
const BLOB_LENGTHS: [usize; 8] = [0, 1, 1000, 1019, 1020, 1021, 2048, 40_000];

async fn handshake(stream: DuplexStream, seed: u8) -> Result<SecretConnection<DuplexStream>, HandshakeError> {
    SecretConnection::handshake(stream, &key(seed), DEADLINE).await
}

async fn write_blob(connection: &mut SecretConnection<DuplexStream>, blob: &Blob) {
    connection.write_all(&blob.encode_length_delimited_to_vec()).await.unwrap();
    connection.flush().await.unwrap();
}

async fn read_blob(connection: &mut SecretConnection<DuplexStream>, expected: &Blob) {
    let mut bytes = vec![0; expected.encode_length_delimited_to_vec().len()];
    connection.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&Blob::decode_length_delimited(bytes.as_slice()).unwrap(), expected);
}

#[tokio::test]
async fn talks_with_another_implementation() {
    // Ephemeral keys are random: over several rounds each side is the "lower" one, with certainty for all practical
    // purposes.
    for _ in 0..8 {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let oracle = tokio::spawn(async move {
            let mut oracle = AsyncSecretConnection::new(theirs, &key(2)).await.unwrap();
            for length in BLOB_LENGTHS {
                let received: Blob = oracle.read_msg().await.unwrap();
                assert_eq!(received, blob(length));
                oracle.write_msg(received).await.unwrap();
            }
            *oracle.peer_public_key().ed25519().unwrap().as_bytes()
        });
        let mut connection = handshake(ours, 1).await.unwrap();
        assert_eq!(connection.remote_key(), &key(2).verifying_key());
        for length in BLOB_LENGTHS {
            write_blob(&mut connection, &blob(length)).await;
            read_blob(&mut connection, &blob(length)).await;
        }
        assert_eq!(oracle.await.unwrap(), key(1).verifying_key().to_bytes());
    }
}

#[tokio::test]
async fn peer_ids_agree_with_another_implementation() {
    let verifying = key(7).verifying_key();
    let theirs = cometbft_p2p::PublicKey::from_raw_ed25519(verifying.as_bytes()).unwrap().peer_id();
    assert_eq!(PeerId::of(&verifying).to_string(), theirs.to_string().to_lowercase());
}

#[tokio::test]
async fn both_roles_are_ours_and_each_learns_the_other() {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (near, far) = tokio::join!(handshake(near, 1), handshake(far, 2));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.remote_id(), PeerId::of(&key(2).verifying_key()));
    assert_eq!(far.remote_id(), PeerId::of(&key(1).verifying_key()));
    for length in BLOB_LENGTHS {
        let blob = blob(length);
        tokio::join!(write_blob(&mut near, &blob), read_blob(&mut far, &blob));
        tokio::join!(write_blob(&mut far, &blob), read_blob(&mut near, &blob));
    }
    // More than a pipe holds: writing must wait for the reader, not fail or lose anything.
    let big = blob(10 * PIPE_BYTES);
    tokio::join!(write_blob(&mut near, &big), read_blob(&mut far, &big));
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0, "a close between frames is a plain end");
}

/// Two honest ends whose bytes all pass through our hands: (ours towards `near`, ours towards `far`, near, far).
async fn with_somebody_on_the_line()
-> (DuplexStream, DuplexStream, SecretConnection<DuplexStream>, SecretConnection<DuplexStream>) {
    let (near, mut to_near) = tokio::io::duplex(PIPE_BYTES);
    let (far, mut to_far) = tokio::io::duplex(PIPE_BYTES);
    let near = tokio::spawn(handshake(near, 1));
    let far = tokio::spawn(handshake(far, 2));
    for length in [HELLO_LEN, FRAME_LEN] {
        let mut bytes = vec![0; length];
        to_near.read_exact(&mut bytes).await.unwrap();
        to_far.write_all(&bytes).await.unwrap();
        to_far.read_exact(&mut bytes).await.unwrap();
        to_near.write_all(&bytes).await.unwrap();
    }
    (to_near, to_far, near.await.unwrap().unwrap(), far.await.unwrap().unwrap())
}

async fn take_frame(line: &mut DuplexStream) -> Vec<u8> {
    let mut frame = vec![0; FRAME_LEN];
    line.read_exact(&mut frame).await.unwrap();
    frame
}

#[tokio::test]
async fn every_frame_has_the_same_length() {
    let (mut to_near, _to_far, mut near, _far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(1)).await;
    take_frame(&mut to_near).await;
    drop(near);
    assert_eq!(to_near.read(&mut [0; 1]).await.unwrap(), 0, "one short message is exactly one frame");
}

#[tokio::test]
async fn an_altered_frame_ends_the_connection() {
    let (mut to_near, mut to_far, mut near, mut far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(10)).await;
    write_blob(&mut near, &blob(10)).await;
    let mut altered = take_frame(&mut to_near).await;
    altered[500] ^= 0x10;
    to_far.write_all(&altered).await.unwrap();
    to_far.write_all(&take_frame(&mut to_near).await).await.unwrap();
    assert_eq!(far.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
    // The frame after it is good, and must not get through either.
    assert_eq!(far.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_replayed_frame_ends_the_connection() {
    let (mut to_near, mut to_far, mut near, mut far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(10)).await;
    let frame = take_frame(&mut to_near).await;
    to_far.write_all(&frame).await.unwrap();
    to_far.write_all(&frame).await.unwrap();
    read_blob(&mut far, &blob(10)).await;
    assert_eq!(far.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_frame_sent_back_to_its_sender_ends_the_connection() {
    let (mut to_near, _to_far, mut near, _far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(10)).await;
    let frame = take_frame(&mut to_near).await;
    to_near.write_all(&frame).await.unwrap();
    assert_eq!(near.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn frames_in_another_order_end_the_connection() {
    let (mut to_near, mut to_far, mut near, mut far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(10)).await;
    write_blob(&mut near, &blob(11)).await;
    let (first, second) = (take_frame(&mut to_near).await, take_frame(&mut to_near).await);
    to_far.write_all(&second).await.unwrap();
    to_far.write_all(&first).await.unwrap();
    assert_eq!(far.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_frame_cut_off_is_not_a_plain_end() {
    let (mut to_near, mut to_far, mut near, mut far) = with_somebody_on_the_line().await;
    write_blob(&mut near, &blob(10)).await;
    let frame = take_frame(&mut to_near).await;
    to_far.write_all(&frame[..FRAME_LEN - 1]).await.unwrap();
    drop(to_far);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_man_in_the_middle_cannot_pass_on_the_identity() {
    // Mallory runs a handshake of its own with each side: each side then sees Mallory's key, never the other's.
    let (near, to_near) = tokio::io::duplex(PIPE_BYTES);
    let (far, to_far) = tokio::io::duplex(PIPE_BYTES);
    let (near, far, _left, _right) =
        tokio::join!(handshake(near, 1), handshake(far, 2), handshake(to_near, 66), handshake(to_far, 66));
    assert_eq!(near.unwrap().remote_key(), &key(66).verifying_key());
    assert_eq!(far.unwrap().remote_key(), &key(66).verifying_key());
}
