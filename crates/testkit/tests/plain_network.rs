//! The networks of the real-chain run without any guard: what later goes wrong is not the harness, and a double sign
//! that the guard would let through is seen on chain.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed step is a failed test; one not run says so"
)]

use std::path::Path;
use std::time::Duration;

use interlock_testkit::cometbft::{self, GUARDED_NODES, Layout, Network, PLAIN_NODES, VoteFlag};
use interlock_testkit::wait::{Seen, wait_until};

const HEIGHTS: u64 = 6;
const REQUIRE_CHAINS: &str = "INTERLOCK_REQUIRE_CHAINS";

/// A network whose guarded key lies on `key_holders`; `None`, said loudly, on a machine without Go.
fn network(directory: &Path, key_holders: &[&str]) -> Option<Network> {
    let chains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/chains");
    let program = match cometbft::install(&chains) {
        Ok(program) => program,
        // Whoever requires the chains (`cargo xtask test --require-chains`) says so; others are told what is missing.
        Err(error @ cometbft::InstallError::NoGo(_)) if std::env::var_os(REQUIRE_CHAINS).is_none() => {
            eprintln!("NOT RUN: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let layout = Layout::create(&program, directory, [None, None]).unwrap().with_key_on(key_holders).unwrap();
    let mut network = Network::new(layout);
    for name in GUARDED_NODES.into_iter().chain(PLAIN_NODES) {
        network.start(name).unwrap();
    }
    Some(network)
}

/// Nobody guards a key that two nodes hold: the chain must show it, or its silence in the real run proves nothing.
#[test]
fn a_key_on_two_nodes_leaves_evidence_on_chain() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut network) = network(directory.path(), &GUARDED_NODES) else { return };
    let rpc = network.rpc("node1").unwrap();
    let mut checked = 0;
    let evidence = wait_until("evidence of the double sign", Duration::from_secs(90), || {
        if let Err(error) = network.must_run() {
            return Seen::Hopeless(error.to_string());
        }
        let height = rpc.status().map_or(0, |status| status.height);
        while checked < height {
            checked += 1;
            if let Some(item) = rpc.evidence(checked).unwrap().pop() {
                return Seen::Done(item);
            }
        }
        Seen::Pending(format!("{checked} blocks without evidence"))
    })
    .unwrap();
    assert!(evidence.contains("DuplicateVoteEvidence"), "{evidence}");
    let address = &network.layout().identity.address;
    assert!(evidence.contains(address.as_str()), "evidence against another validator: {evidence}");
}

/// Starts every node, waits for blocks, and finds the guarded identity in a commit; then kills its node and sees the
/// chain go on without it, and take its votes again after the restart.
#[test]
fn four_validators_make_blocks_with_a_key_file() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut network) = network(directory.path(), &GUARDED_NODES[..1]) else { return };
    let address = network.layout().identity.address.clone();
    wait_for_height(&mut network, "node0b", HEIGHTS);
    assert!(signs_soon(&mut network, &address, true));

    network.kill(GUARDED_NODES[0]).unwrap();
    assert!(signs_soon(&mut network, &address, false));
    network.start(GUARDED_NODES[0]).unwrap();
    assert!(signs_soon(&mut network, &address, true));

    let height = network.rpc("node1").unwrap().status().unwrap().height;
    for checked in 1..height {
        assert_eq!(network.rpc("node1").unwrap().evidence(checked).unwrap(), Vec::<String>::new());
    }
}

fn wait_for_height(network: &mut Network, node: &str, height: u64) {
    wait_until("blocks", Duration::from_secs(60), || {
        if let Err(error) = network.must_run() {
            return Seen::Hopeless(error.to_string());
        }
        match network.rpc(node).unwrap().status() {
            Ok(status) if status.height >= height => Seen::Done(()),
            other => Seen::Pending(format!("{other:?}")),
        }
    })
    .unwrap();
}

/// Waits for a new commit that carries (or lacks) a vote of `address`.
fn signs_soon(network: &mut Network, address: &str, wanted: bool) -> bool {
    let rpc = network.rpc("node1").unwrap();
    let start = rpc.status().unwrap().height;
    wait_until("a commit", Duration::from_secs(60), || {
        if let Err(error) = network.must_run() {
            return Seen::Hopeless(error.to_string());
        }
        let height = rpc.status().unwrap().height;
        for candidate in start + 1..height {
            let votes = rpc.commit(candidate).unwrap();
            assert_eq!(votes.len(), 4);
            let signed = votes.iter().any(|vote| vote.address == address && vote.flag == VoteFlag::Block);
            if signed == wanted {
                return Seen::Done(true);
            }
        }
        Seen::Pending(format!("height {height}"))
    })
    .unwrap()
}
