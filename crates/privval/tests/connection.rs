//! Dialing and listening over real sockets, with both transports.

#![allow(clippy::unwrap_used, reason = "a test whose set-up fails must fail there")]

use ed25519_dalek::SigningKey;
use interlock_privval::{
    AcceptError, Address, Connection, DialError, HandshakeError, Listener, MAX_RESPONSE_BYTES, Message,
    PeerId, PingRequest, PingResponse, PubKeyRequest, RecvError, SignVoteRequest, SignedMsgType, Vote,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(20);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn any_tcp_port() -> Address {
    "tcp://127.0.0.1:0".parse().unwrap()
}

async fn connect(address: &Address) -> (Listener, Connection, Connection) {
    let listener = Listener::bind(address).await.unwrap();
    let dialed = listener.local_address();
    let (signer_key, node_key) = (key(1), key(2));
    let (signer, node) =
        tokio::join!(Connection::dial(&dialed, &signer_key, TIMEOUT), listener.accept(&node_key, TIMEOUT));
    (listener, signer.unwrap(), node.unwrap())
}

async fn talk(mut signer: Connection, mut node: Connection) {
    node.send(Message::PingRequest(PingRequest {})).await.unwrap();
    assert_eq!(signer.recv().await.unwrap(), Message::PingRequest(PingRequest {}));
    signer.send(Message::PingResponse(PingResponse {})).await.unwrap();
    assert_eq!(node.recv().await.unwrap(), Message::PingResponse(PingResponse {}));

    // The largest extension that a chain can have, 1 MiB: over a thousand frames.
    let vote = Vote {
        msg_type: SignedMsgType::Precommit.into(),
        height: 9,
        extension: vec![0x5a; 1024 * 1024],
        ..Vote::default()
    };
    let request = Message::SignVoteRequest(SignVoteRequest { vote: Some(vote), chain_id: "c".into() });
    let (sent, received) = tokio::join!(node.send(request.clone()), signer.recv());
    sent.unwrap();
    assert_eq!(received.unwrap(), request);

    drop(node);
    assert!(matches!(signer.recv().await, Err(RecvError::Closed | RecvError::Io(_))));
}

#[tokio::test]
async fn over_tcp() {
    let (_listener, signer, node) = connect(&any_tcp_port()).await;
    assert_eq!(signer.remote_id(), Some(PeerId::of(&key(2).verifying_key())));
    assert_eq!(node.remote_id(), Some(PeerId::of(&key(1).verifying_key())));
    talk(signer, node).await;
}

#[tokio::test]
async fn over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signer.sock");
    let (listener, signer, node) = connect(&Address::Unix { path: path.clone() }).await;
    assert_eq!((signer.remote_id(), node.remote_id()), (None, None));
    talk(signer, node).await;
    drop(listener);
    assert!(!path.exists(), "the socket file goes with the listener");
}

#[tokio::test]
async fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signer.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves the file behind");
    let address = Address::Unix { path: path.clone() };
    let _live = Listener::bind(&address).await.unwrap();
    let error = Listener::bind(&address).await.unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);

    let file = directory.path().join("precious.txt");
    std::fs::write(&file, "data").unwrap();
    assert!(Listener::bind(&Address::Unix { path: file.clone() }).await.is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
}

#[tokio::test]
async fn an_answer_over_the_cap_of_a_node_is_refused() {
    let (_listener, mut signer, mut node) = connect(&any_tcp_port()).await;
    let chain_id = "x".repeat(MAX_RESPONSE_BYTES);
    let (sent, received) =
        tokio::join!(signer.send(Message::PubKeyRequest(PubKeyRequest { chain_id })), node.recv());
    sent.unwrap();
    assert!(matches!(received, Err(RecvError::TooLong { limit: MAX_RESPONSE_BYTES, .. })));
}

fn pinned(address: &Address, seed: u8) -> Address {
    let Address::Tcp { host, port, .. } = address.clone() else { panic!("pins are for tcp") };
    Address::Tcp { peer_id: Some(PeerId::of(&key(seed).verifying_key())), host, port }
}

#[tokio::test]
async fn a_pinned_node_must_be_that_node() {
    let listener = Listener::bind(&any_tcp_port()).await.unwrap();
    let (signer_key, node_key) = (key(1), key(2));
    for (expected, is_right) in [(2, true), (3, false)] {
        let address = pinned(&listener.local_address(), expected);
        let (dialed, accepted) = tokio::join!(
            Connection::dial(&address, &signer_key, TIMEOUT),
            listener.accept(&node_key, TIMEOUT)
        );
        accepted.unwrap();
        match dialed {
            Ok(_) => assert!(is_right),
            Err(DialError::WrongPeer { found, .. }) => {
                assert!(!is_right);
                assert_eq!(found, PeerId::of(&key(2).verifying_key()));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_pinned_signer_must_be_that_signer() {
    let listener = Listener::bind(&pinned(&any_tcp_port(), 5)).await.unwrap();
    let (signer_key, node_key) = (key(1), key(2));
    let address = listener.local_address();
    let (_dialed, accepted) =
        tokio::join!(Connection::dial(&address, &signer_key, TIMEOUT), listener.accept(&node_key, TIMEOUT));
    assert!(matches!(accepted, Err(AcceptError::WrongPeer { .. })));
}

#[tokio::test]
async fn nobody_listening_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = Connection::dial(&address, &key(1), TIMEOUT).await.unwrap_err();
    assert!(matches!(error, DialError::Connect { .. }));
    assert!(error.to_string().contains(&address.to_string()));
    let missing: Address = "unix:///nonexistent/signer.sock".parse().unwrap();
    assert!(matches!(Connection::dial(&missing, &key(1), TIMEOUT).await, Err(DialError::Connect { .. })));
}

#[tokio::test]
async fn a_node_that_accepts_and_stalls_meets_the_deadline() {
    // Nobody calls accept: the kernel completes the connection, as it does for a second signer of a busy node.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let error = Connection::dial(&address, &key(1), Duration::from_millis(50)).await.unwrap_err();
    assert!(
        matches!(
            error,
            DialError::Handshake { source: HandshakeError::DeadlinePassed { deadline_ms: 50 }, .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_stranger_at_the_listener_is_an_error_and_the_next_signer_gets_in() {
    let listener = Listener::bind(&any_tcp_port()).await.unwrap();
    let Address::Tcp { host, port, .. } = listener.local_address() else { panic!("not tcp") };
    let mut stranger = TcpStream::connect((host, port)).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let refused = listener.accept(&key(2), TIMEOUT).await;
    assert!(matches!(refused, Err(AcceptError::Handshake(HandshakeError::NotAnEphemeralKey { .. }))));
    let (signer_key, node_key) = (key(1), key(2));
    let address = listener.local_address();
    let (dialed, accepted) =
        tokio::join!(Connection::dial(&address, &signer_key, TIMEOUT), listener.accept(&node_key, TIMEOUT));
    dialed.unwrap();
    accepted.unwrap();
}
