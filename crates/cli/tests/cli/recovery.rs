//! A majority lost for good: a new cluster from what one surviving node knew, which may be less than what was signed.

use crate::guard::{Guard, Running, guard_section, tls, write_node};
use crate::support::Scratch;
use crate::validator::{CHAIN, Validator, write_key, write_signer};
use interlock_testkit::ports::free_port;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const IDS: [u64; 3] = [1, 2, 3];

/// Writes `node-<id>.toml` for three nodes that know one another; returns their client addresses.
fn write_nodes(scratch: &Scratch) -> BTreeMap<u64, String> {
    let address = || format!("127.0.0.1:{}", free_port().unwrap());
    let addresses: BTreeMap<u64, [String; 2]> = IDS.map(|id| (id, [address(), address()])).into();
    let members: String = addresses
        .iter()
        .map(|(id, [peers, clients])| {
            format!("[[member]]\nid = {id}\npeer_address = \"{peers}\"\nclient_address = \"{clients}\"\n")
        })
        .collect();
    for (id, [peers, clients]) in &addresses {
        let head = format!("node_id = {id}\ndata_dir = \"data-{id}\"\n{}", tls(&format!("node-{id}")));
        let listen = format!("[listen]\npeers = \"{peers}\"\nclients = \"{clients}\"\n");
        scratch.write(&format!("node-{id}.toml"), &(head + &listen + &members));
    }
    addresses.into_iter().map(|(id, [_, clients])| (id, clients)).collect()
}

fn guards(clients: &BTreeMap<u64, String>) -> String {
    clients.iter().map(|(id, address)| format!("[[guard]]\nid = {id}\naddress = \"{address}\"\n")).collect()
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("lock") {
                // The lock says which process looked last.
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Three nodes in place of the one that `Guard::start` made.
fn three_nodes() -> (Guard, BTreeMap<u64, Running>, String) {
    let mut guard = Guard::start();
    drop(guard.node.take());
    let scratch = &guard.scratch;
    for (role, name) in [("node", "2"), ("node", "3"), ("signer", "beta")] {
        assert_eq!(scratch.run(&format!("pki issue --dir pki --role {role} --name {name}")).code, 0);
    }
    let clients = write_nodes(scratch);
    let first = scratch.run("node format --config node-1.toml").stdout.trim().to_owned();
    for id in [2, 3] {
        let format = format!("node format --config node-{id}.toml --cluster-id {first}");
        assert_eq!(scratch.run(&format).code, 0);
    }
    let guards = guards(&clients);
    scratch.write("operator.toml", &(tls("operator-ops") + &guards));
    let start = |id| Running::start(scratch, &format!("node start --config node-{id}.toml"), "nodes.log");
    let nodes = IDS.map(|id| (id, start(id))).into();
    guard.wait_for_some_leader();
    guard.cluster_id = first;
    (guard, nodes, guards)
}

impl Guard {
    fn wait_for_some_leader(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let ended = self.scratch.run("cluster status --config operator.toml --output json");
            let view: Option<serde_json::Value> = serde_json::from_str(&ended.stdout).ok();
            if view.is_some_and(|view| view["leader"].is_u64()) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "no leader: {ended:?}");
        }
    }
}

#[test]
fn a_cluster_forced_up_from_a_minority_that_lags_does_not_double_sign() {
    let (mut guard, mut nodes, guards) = three_nodes();
    let scratch = &guard.scratch;
    let public = write_key(scratch, "key.json", 1);
    let add = format!("key add --config operator.toml --name val --chain-id {CHAIN} --public-key {public}");
    assert_eq!(scratch.run(&format!("{add} --signer alpha --signer beta --at-height 7")).code, 0);
    let (mut primary, mut standby) = (Validator::bind(), Validator::bind());
    for (signer, validator) in [("alpha", &primary), ("beta", &standby)] {
        write_signer(scratch, signer, &guards, validator);
        assert_eq!(scratch.run(&format!("signer enroll --config {signer}.toml")).code, 0);
    }
    let alpha = Running::start(scratch, "signer start --config alpha.toml", "alpha.log");
    primary.accept();
    guard.wait_for_holder("alpha");
    assert_eq!(primary.prevote(8, 1), Ok(()));
    // Node 3 dies here, and knows nothing of what is signed from now on; the two others are lost with their disks.
    let floors = "--watermark state-alpha/val.watermark --watermark state-beta/val.watermark";
    write_node(scratch, "recovered", 3, "data-recovered", &[3]);
    let recover = "node recover --config recovered.toml --from data-3 --reason flood";
    guard.refused(&format!("{recover} {floors}"), 2, "IL-0023");
    drop(nodes.remove(&3));
    guard.wait_for_some_leader();
    guard.wait_for_holder("alpha");
    for height in 9..=13 {
        assert_eq!(primary.prevote(height, 1), Ok(()));
    }
    drop((alpha, nodes));

    let before = contents(&scratch.path("data-3"));
    guard.refused(recover, 2, "IL-0082");
    let look = scratch.run("node recover --config recovered.toml --from data-3 --look");
    assert!(look.code == 0 && look.stderr.contains("node 3 of cluster"), "{look:?}");
    assert!(!scratch.path("data-recovered").exists());
    let recovered = scratch.run(&format!("{recover} {floors}"));
    assert!(recovered.code == 0 && recovered.stderr.contains("reached height 8, now 13"), "{recovered:?}");
    // Not `assert_eq`: a log segment has 16 MiB.
    assert!(contents(&scratch.path("data-3")) == before, "the survivor's directory is untouched");
    assert!(!scratch.path("data-recovered.recovering").exists(), "the working copy is gone");
    assert_ne!(recovered.stdout.trim(), guard.cluster_id);

    let text = std::fs::read_to_string(scratch.path("recovered.toml")).unwrap();
    let clients = text.lines().find_map(|line| line.strip_prefix("clients = ")).unwrap().trim_matches('"');
    let section = guard_section(clients).replace("id = 1", "id = 3");
    scratch.write("operator.toml", &(tls("operator-ops") + &section));
    guard.node = Some(Running::start(scratch, "node start --config recovered.toml", "recovered.log"));
    guard.wait_for_some_leader();
    write_signer(scratch, "beta", &section, &standby);
    assert_eq!(scratch.run("signer enroll --repin --config beta.toml").code, 0);
    assert_eq!(guard.json("key show val")["state"], "quarantined");
    let lift = "key lift-quarantine val --config operator.toml --attestation fenced";
    assert_eq!(scratch.run(lift).code, 0);
    let _beta = Running::start(scratch, "signer start --config beta.toml", "beta.log");
    standby.accept();
    assert!(standby.prevote(12, 2).is_err());
    guard.wait_for_holder("beta");
    let refused = standby.prevote(13, 2).unwrap_err();
    assert!(refused.contains("AboveFloor") || refused.contains("S7"), "{refused}");
    assert_eq!(standby.prevote(14, 2), Ok(()));
}
