//! A quarantine that is lifted because a chain saw no signature of the key, and everything that is no such sight.

use crate::guard::{Guard, Running, guard_section, tls, write_node};
use crate::validator::{CHAIN, write_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const NEWEST: u64 = 500;
const OTHER: &str = "0101010101010101010101010101010101010101";

/// What a node of a chain tells, and what is wrong with it.
#[derive(Debug, Clone)]
struct Tale {
    chain: &'static str,
    commit_chain: &'static str,
    catching_up: bool,
    newest: u64,
    /// One signature beside that of another validator, at one height.
    signature: (u64, Value),
    /// At which height it answers for the height below.
    off_by_one: Option<u64>,
    /// After how many answers it refuses connections.
    answers: usize,
}

impl Tale {
    fn clean() -> Self {
        Self {
            chain: CHAIN,
            commit_chain: CHAIN,
            catching_up: false,
            newest: NEWEST,
            signature: (NEWEST, json!({"block_id_flag": 1, "validator_address": ""})),
            off_by_one: None,
            answers: usize::MAX,
        }
    }

    fn signed(height: u64, flag: u64, address: &str) -> Self {
        let signature = json!({"block_id_flag": flag, "validator_address": address});
        Self { signature: (height, signature), ..Self::clean() }
    }

    fn answer(&self, path: &str) -> Value {
        if path == "/status" {
            return json!({"result": {
                "node_info": {"network": self.chain},
                "sync_info": {"latest_block_height": self.newest.to_string(), "catching_up": self.catching_up},
            }});
        }
        let asked: u64 = path.strip_prefix("/commit?height=").unwrap().parse().unwrap();
        let mut signatures = vec![json!({"block_id_flag": 2, "validator_address": OTHER})];
        signatures.extend((asked == self.signature.0).then(|| self.signature.1.clone()));
        let height = (asked - u64::from(self.off_by_one == Some(asked))).to_string();
        json!({"result": {"canonical": true, "signed_header": {
            "header": {"chain_id": self.commit_chain, "height": height},
            "commit": {"height": height, "signatures": signatures},
        }}})
    }
}

/// A CometBFT node that tells a tale, one request a connection.
struct Node {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(tale: Tale) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (paths, ends) = (Arc::clone(&asked), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            for _ in 0..tale.answers {
                let (mut stream, _) = listener.accept().unwrap();
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap();
                let request = std::str::from_utf8(&request[..read]).unwrap();
                let path = request.strip_prefix("GET ").unwrap().split_once(" HTTP/1.0\r\n").unwrap().0;
                paths.lock().unwrap().push(path.to_owned());
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{}", tale.answer(path)).unwrap();
            }
        });
        Self { address, asked, over, thread: Some(thread) }
    }

    /// Ends it; returns what it was asked.
    fn end(mut self) -> Vec<String> {
        self.over.store(true, Ordering::SeqCst);
        // It may have ended by itself and refuse this.
        let _woken = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// A restored cluster whose keys `val` and `baker` are quarantined; the address of `val`.
fn restored() -> (Guard, String) {
    let mut guard = Guard::start();
    let scratch = &guard.scratch;
    let public = write_key(scratch, "key.json", 1);
    let add = format!("key add --config operator.toml --signer alpha --chain-id {CHAIN}");
    let val = format!("{add} --name val --public-key {public} --at-height 7");
    let baker = format!("{add} --name baker --protocol tezos --public-key 0102 --at-level 5");
    for line in [val, baker] {
        let added = scratch.run(&line);
        assert_eq!(added.code, 0, "{added:?}");
    }
    guard.refused(&lift("val", "http://127.0.0.1:1", 100), 2, "IL-0005");
    guard.json("backup save --out backup");
    drop(guard.node.take());
    guard.clients = write_node(scratch, "restored", 1, "data-restored", &[1]);
    let restore = "backup restore backup --config restored.toml --reason disaster --bump-heights 9";
    assert_eq!(scratch.run(restore).code, 0);
    scratch.write("operator.toml", &(tls("operator-ops") + &guard_section(&guard.clients)));
    guard.node = Some(Running::start(scratch, "node start --config restored.toml", "restored.log"));
    guard.wait_for_leader();
    let digest = Sha256::digest(BASE64.decode(public).unwrap());
    (guard, hex::encode_upper(&digest[..20]))
}

fn lift(name: &str, url: &str, blocks: u64) -> String {
    format!("key lift-quarantine {name} --config operator.toml --comet-rpc {url} --blocks {blocks}")
}

#[test]
fn a_quarantine_is_lifted_only_by_a_whole_span_without_a_signature() {
    let (guard, address) = restored();
    let clean = Tale::clean;
    let first = NEWEST - 99;
    for (tale, exit, code, part) in [
        (Tale::signed(NEWEST, 2, &address), 1, "IL-0085", "height 500 carries"),
        (Tale::signed(first, 2, &address), 1, "IL-0085", "height 401 carries"),
        (Tale::signed(450, 3, &address.to_lowercase()), 1, "IL-0085", "height 450 carries"),
        (Tale::signed(450, 4, &address), 3, "IL-0083", "height 450"),
        (Tale { catching_up: true, ..clean() }, 3, "IL-0083", "catching up"),
        (Tale { chain: "other", ..clean() }, 2, "IL-0005", "other"),
        (Tale { commit_chain: "other", ..clean() }, 3, "IL-0083", "other"),
        (Tale { off_by_one: Some(first), ..clean() }, 3, "IL-0083", "answered for height 400"),
        (Tale { newest: 99, ..clean() }, 3, "IL-0083", "99 blocks"),
        // The status and 99 of 100 commits.
        (Tale { answers: 100, ..clean() }, 3, "IL-0083", "height 401"),
        (Tale { answers: 0, ..clean() }, 3, "IL-0083", "refused"),
    ] {
        let told = format!("{tale:?}");
        let node = Node::start(tale);
        let error = guard.refused(&lift("val", &format!("http://{}", node.address), 100), exit, code);
        node.end();
        assert!(error.contains(part), "{told}: {error}");
        assert!(code != "IL-0085" || error.contains(&address), "{told}: {error}");
        assert_eq!(guard.json("key show val")["state"], "quarantined", "{told}");
    }

    let node = Node::start(Tale::clean());
    let url = format!("http://{}", node.address);
    let other_protocol = guard.refused(&lift("baker", &url, 10), 2, "IL-0005");
    assert!(other_protocol.contains("tezos"), "{other_protocol}");
    let lifted = guard.scratch.run(&lift("val", &url, 100));
    let words = format!("no signature in 100 blocks, heights 401 to 500, seen by {url}");
    assert!(lifted.code == 0 && lifted.stderr.contains(&words), "{lifted:?}");
    let mut asked = node.end();
    asked[1..].sort();
    let commits = (401..=500).map(|height| format!("/commit?height={height}"));
    assert_eq!(asked, std::iter::once("/status".to_owned()).chain(commits).collect::<Vec<_>>());
    assert_eq!(guard.json("key show val")["state"], "active");
    assert_eq!(guard.json("key show baker")["state"], "quarantined");
    let trail = guard.scratch.run("audit export --config operator.toml");
    assert!(trail.stdout.contains(&words), "{trail:?}");
}

/// The key signed before the span: that is what the quarantine waited for.
#[test]
fn a_signature_older_than_the_span_does_not_count() {
    let (guard, address) = restored();
    let node = Node::start(Tale::signed(NEWEST - 10, 2, &address));
    let url = format!("http://{}", node.address);
    guard.refused(&lift("val", &url, 11), 1, "IL-0085");
    let lifted = guard.scratch.run(&lift("val", &url, 10));
    node.end();
    assert!(lifted.code == 0 && lifted.stderr.contains("heights 491 to 500"), "{lifted:?}");
    assert_eq!(guard.json("key show val")["state"], "active");
}
