//! Nonsense from outside while the signer works: it costs the connection that it came on, and nothing else.

use std::process::Command;
use std::time::Duration;

use interlock_privval::SecretConnection;
use interlock_testkit::process::{RunError, run_to_end};
use interlock_toychain::{Address, Chain, ChainConfig, Event, SigningKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::program::interlock;
use crate::world::{CHAIN_ID, DEADLINE, SIGNERS, World, append};

/// Longer than a signer gives a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a node does instead of what it should.
struct Misdeed {
    name: &'static str,
    /// The handshake comes first, as it should.
    after_handshake: bool,
    bytes: &'static [u8],
    /// It ends its side of the stream after the bytes; otherwise it waits.
    hangs_up: bool,
}

const fn early(name: &'static str, bytes: &'static [u8], hangs_up: bool) -> Misdeed {
    Misdeed { name, after_handshake: false, bytes, hangs_up }
}

const fn late(name: &'static str, bytes: &'static [u8], hangs_up: bool) -> Misdeed {
    Misdeed { name, after_handshake: true, bytes, hangs_up }
}

const MISDEEDS: [Misdeed; 8] = [
    early("hangs up", &[], true),
    early("stalls in the handshake", &[], false),
    early("breaks off in the handshake", &[0x22, 0x0a, 0x20, 1, 2, 3], true),
    early("talks something else", &[0x5a; 256], false),
    late("breaks off in a message", &[100, 1, 2, 3], true),
    late("announces a message of 2 GiB", &[0xff, 0xff, 0xff, 0xff, 0x07], false),
    late("sends no protobuf", &[3, 0xff, 0xff, 0xff], false),
    late("sends an answer instead of a request", &[2, 0x42, 0x00], false),
];

/// Does the misdeed to the next signer that dials, and waits until that signer hangs up. A connection that its signer
/// gave up while it waited in the backlog is passed over.
async fn misbehave(listener: &TcpListener, misdeed: &Misdeed) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if !misdeed.after_handshake {
            if send_and_wait::<TcpStream>(stream, misdeed).await.is_ok() {
                return;
            }
            continue;
        }
        let identity = SigningKey::from_bytes(&[9; 32]);
        let shaken = SecretConnection::handshake(stream, &identity, HANDSHAKE_TIMEOUT).await;
        if let Ok(stream) = shaken
            && send_and_wait(stream, misdeed).await.is_ok()
        {
            return;
        }
    }
}

async fn send_and_wait<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    misdeed: &Misdeed,
) -> std::io::Result<()> {
    stream.write_all(misdeed.bytes).await?;
    stream.flush().await?;
    if misdeed.hangs_up {
        stream.shutdown().await?;
    }
    // The signer has hung up; an error is an end as well.
    let _ended = stream.read_to_end(&mut Vec::new()).await;
    Ok(())
}

impl World {
    /// How many dropped connections to the bad node alpha has logged.
    fn told_of_the_bad_node(&self) -> usize {
        let log = std::fs::read_to_string(self.directory().join("logs/alpha.log")).unwrap();
        log.lines().filter(|line| line.contains("bad-node") && line.contains("connection dropped")).count()
    }
}

/// Alpha serves two nodes, one of them bad in every way; the other is served on, and the lease stays.
#[test]
fn a_bad_node_costs_its_own_connection_only() {
    let mut world = World::created(SIGNERS.len());
    let listener = world.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::Tcp { peer_id: None, host: "127.0.0.1".to_owned(), port };
    let bad_node = format!("\n[[key.node]]\nname = \"bad-node\"\naddress = \"{address}\"\n");
    append(&world.directory().join("alpha/signer.toml"), &bad_node);
    world.cluster.start_all().unwrap();
    world.begin();
    world.sign_on(1);
    let (holder, epoch) = world.lease();
    assert_eq!(holder, "alpha");
    for misdeed in &MISDEEDS {
        let told_before = world.told_of_the_bad_node();
        world.wait(&format!("the end of a connection whose node {}", misdeed.name), |world| {
            let done = async { tokio::time::timeout(DEADLINE, misbehave(&listener, misdeed)).await };
            world.runtime.block_on(done).map_err(|_| "it lasts, or nobody dialled".to_owned())?;
            // Of failed handshakes in a row the log tells only the first.
            let told = !misdeed.after_handshake || world.told_of_the_bad_node() > told_before;
            if told { Ok(()) } else { Err("no word of it in the log".to_owned()) }
        });
        world.sign_on(1);
    }
    drop(listener);

    let of_another_chain = ChainConfig::new("another-chain", world.key.verifying_key(), vec![address]);
    let other = world.runtime.block_on(Chain::start(of_another_chain)).unwrap();
    let answer =
        world.wait_for_event(&mut other.events(), "an answer to the wrong chain", |event| match event {
            Event::WrongKey { answer, .. } => Some(answer),
            _ => None,
        });
    assert!(answer.contains("another-chain") && answer.contains(CHAIN_ID), "{answer}");
    world.runtime.block_on(other.stop());

    assert_eq!(
        world.lease(),
        ("alpha".to_owned(), epoch),
        "the lease moved although alpha served its good node"
    );
    world.finish();
}

#[test]
fn a_key_that_the_guard_does_not_know_is_named() {
    let mut world = World::running();
    let text = std::fs::read_to_string(world.directory().join("beta/signer.toml")).unwrap();
    let state = world.directory().join("beta/state").display().to_string();
    let text = text.replace("name = \"val\"", "name = \"vla\"").replace(&state, &format!("{state}-of-vla"));
    let config = world.directory().join("beta/unknown.toml");
    std::fs::write(&config, text).unwrap();
    let enrolled = run_to_end(Command::new(interlock()).args(["signer", "enroll", "--config"]).arg(&config));
    let Err(RunError::Failed { stderr, .. }) = enrolled else {
        panic!("enrolled for an unknown key: {enrolled:?}")
    };
    assert!(stderr.contains("vla"), "{stderr}");
    let shown = world.cluster.operate(&["key", "show", "vla"]).unwrap_err().to_string();
    assert!(shown.contains("vla"), "{shown}");
    world.sign_on(1);
    world.finish();
}
