//! Nodes that behave badly: a connection is lost, never the signer.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod rig;

use interlock_client::fake_guard::PATIENCE;
use rig::{Node, Rig, prevote};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Sends bytes to a signer that dialled a unix socket; waits until it hangs up. Returns what it said before.
async fn send_raw(listener: &UnixListener, bytes: &[u8], close: bool) -> Vec<u8> {
    let (mut stream, _): (UnixStream, _) =
        tokio::time::timeout(PATIENCE, listener.accept()).await.expect("the signer did not dial").unwrap();
    stream.write_all(bytes).await.unwrap();
    if close {
        stream.shutdown().await.unwrap();
    }
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it did not hang up").unwrap();
    said
}

#[tokio::test]
async fn broken_frames_end_the_connection_and_the_signer_dials_again() {
    let rig = Rig::new().await;
    let path = rig.path("node.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = format!("unix://{}", path.display());
    let signer = rig.start("alpha", &address).await;
    rig.grant("alpha", signer.holder().incarnation);

    // A message of 100 bytes that ends after 3; one of 2 GiB; a length that is none; no protobuf; an unknown kind; an
    // answer instead of a request.
    for (bytes, close) in [
        (&[100, 1, 2, 3][..], true),
        (&[0xff, 0xff, 0xff, 0xff, 0x07], false),
        (&[0xff; 11], false),
        (&[3, 0xff, 0xff, 0xff], false),
        (&[2, 0x4a, 0x00], false),
        (&[2, 0x42, 0x00], false),
    ] {
        let said = send_raw(&listener, bytes, close).await;
        assert!(said.is_empty(), "{bytes:x?} was answered with {said:x?}");
    }
    assert!(rig.tap("alpha").is_empty());

    drop(listener);
    std::fs::remove_file(&path).unwrap();
    let mut node = Node::bind_at(&address).await;
    node.accept().await;
    node.vote(prevote(5, 1)).await.unwrap();
}

#[tokio::test]
async fn a_node_that_fails_or_stalls_the_handshake_is_dialled_again() {
    let rig = Rig::new().await;
    let stalling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stalling.local_addr().unwrap();
    let signer = rig.start("alpha", &format!("tcp://{address}")).await;
    rig.grant("alpha", signer.holder().incarnation);

    let accept = || async {
        tokio::time::timeout(PATIENCE, stalling.accept()).await.expect("it did not dial again").unwrap().0
    };
    let stalled = accept().await;
    let mut garbage = accept().await;
    garbage.write_all(&[0x5a; 64]).await.unwrap();
    let closed = accept().await;
    drop((stalled, garbage, closed, stalling));

    let mut node = Node::bind_at(&format!("tcp://{address}")).await;
    node.accept().await;
    node.vote(prevote(5, 1)).await.unwrap();
}

#[tokio::test]
async fn the_guard_hears_of_nodes_coming_and_going() {
    let rig = Rig::new().await;
    let (_signer, mut node) = rig.start_holder("alpha").await;
    let heard = |connected: bool| {
        rig.guard.wait("the node's state", move |inner| {
            let same = |keys: &[interlock_proto::v1::KeyHealth]| {
                keys.iter().any(|key| key.fit && key.node_connected == connected)
            };
            (inner.sessions.values().filter(|(_, keys)| same(keys)).count() == 3).then_some(())
        })
    };
    heard(true).await;
    node.vote(prevote(5, 1)).await.unwrap();
    let position = rig.guard.approved(rig.key_id).map(interlock_proto::position_to_wire);
    rig.guard
        .wait("the signed position", |inner| {
            let same = |keys: &[interlock_proto::v1::KeyHealth]| {
                keys.iter().any(|key| key.signed == position && key.asked == position)
            };
            inner.sessions.values().all(|(_, keys)| same(keys)).then_some(())
        })
        .await;
    drop(node);
    heard(false).await;
}
