//! Peers that break the handshake in every way we could think of. The good cases are in `tests/`, against another
//! implementation and against ourselves.

use super::*;
use crate::secret_connection::SecretConnection;
use std::time::Duration;
use tokio::io::DuplexStream;

/// Long enough for any machine; no test here waits for it, except the one that lets it pass.
const DEADLINE: Duration = Duration::from_secs(20);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(64 * 1024)
}

/// What an honest side says to a peer that sends exactly these bytes and then closes.
async fn against_bytes(bytes: &[u8]) -> HandshakeError {
    let (mut peer, stream) = pipe();
    peer.write_all(bytes).await.unwrap();
    peer.shutdown().await.unwrap();
    SecretConnection::handshake(stream, &key(1), DEADLINE).await.unwrap_err()
}

/// What an honest side says to a peer that gets the keys right and then sends this as its proof.
async fn against_proof(make_proof: impl FnOnce(&[u8; 32]) -> Vec<u8>) -> HandshakeError {
    let (mut peer, stream) = pipe();
    let honest = tokio::spawn(async move { SecretConnection::handshake(stream, &key(1), DEADLINE).await });
    let secret = EphemeralSecret::random_from_rng(OsRng);
    let local = EphemeralKey::from(&secret).to_bytes();
    let remote = exchange_ephemeral_keys(&mut peer, &local).await.unwrap();
    let shared = secret.diffie_hellman(&EphemeralKey::from(remote));
    let (lower, upper) = if local < remote { (&local, &remote) } else { (&remote, &local) };
    let challenge = challenge(lower, upper, shared.as_bytes());
    let mut frames = FrameStream::new(peer, &frame_keys(shared.as_bytes(), local < remote));
    frames.write_all(&make_proof(&challenge)).await.unwrap();
    frames.shutdown().await.unwrap();
    honest.await.unwrap().unwrap_err()
}

fn proof(kind: PublicKeyKind, signature: Vec<u8>) -> Vec<u8> {
    AuthSignature { pub_key: PublicKey { kind: Some(kind) }, signature }.encode_length_delimited_to_vec()
}

fn ed25519(key: &SigningKey) -> PublicKeyKind {
    PublicKeyKind::Ed25519(key.verifying_key().to_bytes().to_vec())
}

#[tokio::test]
async fn all_low_order_points_are_refused() {
    // The canonical encodings of small-order u-coordinates of Curve25519: 0, 1, p-1, p, p+1 and the two of order 8.
    let mut points = vec![[0; 32], [0; 32]];
    points[1][0] = 1;
    for last in [0xec, 0xed, 0xee] {
        let mut point = [0xff; 32];
        point[0] = last;
        point[31] = 0x7f;
        points.push(point);
    }
    for text in [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ] {
        points.push(hex::decode(text).unwrap().try_into().unwrap());
    }
    for point in points {
        let error = against_bytes(&[&EPHEMERAL_PREFIX[..], &point].concat()).await;
        assert!(matches!(error, HandshakeError::LowOrderPoint), "{point:02x?}: {error}");
    }
}

#[tokio::test]
async fn wrong_lengths_of_the_ephemeral_key_are_refused() {
    for prefix in [[0x21, 0x0a, 0x1f], [0x23, 0x0a, 0x21], [0x00, 0x00, 0x00], *b"GET"] {
        let error = against_bytes(&[&prefix[..], &[7; 40]].concat()).await;
        assert!(matches!(error, HandshakeError::NotAnEphemeralKey { found } if found == prefix), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_cut_off_anywhere_is_an_error() {
    let hello = [&EPHEMERAL_PREFIX[..], &[9; 32]].concat();
    for length in [0, 1, 3, 20, 35] {
        let error = against_bytes(&hello[..length]).await;
        assert!(
            matches!(&error, HandshakeError::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof),
            "{error}"
        );
    }
    let in_first_frame = against_bytes(&[hello, vec![0; 100]].concat()).await;
    assert!(matches!(in_first_frame, HandshakeError::Io(_)));
}

#[tokio::test]
async fn a_first_frame_that_does_not_open_is_an_error() {
    let error = against_bytes(&[&EPHEMERAL_PREFIX[..], &[9; 32], &[5; 1044]].concat()).await;
    assert!(matches!(&error, HandshakeError::Io(io) if io.kind() == io::ErrorKind::InvalidData), "{error}");
}

#[tokio::test]
async fn an_echo_of_everything_we_send_is_refused() {
    let (mut peer, stream) = pipe();
    let honest = tokio::spawn(async move { SecretConnection::handshake(stream, &key(1), DEADLINE).await });
    let mut hello = [0; 35];
    peer.read_exact(&mut hello).await.unwrap();
    peer.write_all(&hello).await.unwrap();
    assert!(matches!(honest.await.unwrap(), Err(HandshakeError::Reflected)));
}

#[tokio::test]
async fn a_stalled_peer_meets_the_deadline() {
    let (_silent, stream) = pipe();
    let result = SecretConnection::handshake(stream, &key(1), Duration::from_millis(20)).await;
    assert!(matches!(result, Err(HandshakeError::DeadlinePassed { deadline_ms: 20 })));
}

#[tokio::test]
async fn a_signature_over_something_else_is_refused() {
    let error = against_proof(|_| proof(ed25519(&key(2)), key(2).sign(&[0; 32]).to_vec())).await;
    assert!(
        matches!(error, HandshakeError::WrongSignature { claimed } if claimed == key(2).verifying_key().to_bytes())
    );
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused() {
    let error = against_proof(|challenge| proof(ed25519(&key(2)), key(3).sign(challenge).to_vec())).await;
    assert!(matches!(error, HandshakeError::WrongSignature { .. }));
}

#[tokio::test]
async fn a_small_order_identity_key_is_refused() {
    // With the neutral element as key, R = neutral and s = 0 satisfy the plain verification equation for any message.
    let mut neutral = vec![0; 32];
    neutral[0] = 1;
    let signature = [neutral.clone(), vec![0; 32]].concat();
    let error = against_proof(|_| proof(PublicKeyKind::Ed25519(neutral), signature)).await;
    assert!(matches!(error, HandshakeError::WrongSignature { .. }));
}

#[tokio::test]
async fn keys_and_signatures_of_wrong_kind_or_length_are_refused() {
    let other_kind = against_proof(|_| proof(PublicKeyKind::Secp256k1(vec![2; 33]), vec![0; 64])).await;
    assert!(matches!(other_kind, HandshakeError::NotEd25519));
    let short_key = against_proof(|_| proof(PublicKeyKind::Ed25519(vec![2; 31]), vec![0; 64])).await;
    assert!(matches!(short_key, HandshakeError::InvalidProof { key_len: 31, .. }));
    let short_signature = against_proof(|_| proof(ed25519(&key(2)), vec![0; 63])).await;
    assert!(matches!(short_signature, HandshakeError::InvalidProof { signature_len: 63, .. }));
    let no_proof = against_proof(|_| vec![0]).await;
    assert!(matches!(no_proof, HandshakeError::NotEd25519));
}

#[tokio::test]
async fn a_proof_that_is_not_protobuf_or_too_long_is_refused() {
    let garbage = against_proof(|_| vec![3, 0xff, 0xff, 0xff]).await;
    assert!(matches!(garbage, HandshakeError::MalformedProof(_)));
    let too_long = against_proof(|_| vec![0x81, 0x04]).await;
    assert!(matches!(too_long, HandshakeError::MalformedProof(text) if text.contains("513")));
}
