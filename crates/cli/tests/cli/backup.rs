//! Backups, and clusters restored from them: what was signed after the backup is never contradicted.

use crate::guard::{Guard, Running, guard_section, tls, write_node};
use crate::validator::{CHAIN, Validator, write_key, write_signer};

/// A guard whose key has signed, a backup of it, and signatures after the backup.
struct Disaster {
    guard: Guard,
    standby: Validator,
}

impl Disaster {
    /// The backup stands at height 8, the key signed block 1 up to height 13 afterwards; then all processes end.
    fn strike() -> Self {
        let mut guard = Guard::start();
        let scratch = &guard.scratch;
        assert_eq!(scratch.run("pki issue --dir pki --role signer --name beta").code, 0);
        let public = write_key(scratch, "key.json", 1);
        let add =
            format!("key add --config operator.toml --name val --chain-id {CHAIN} --public-key {public}");
        let added = scratch.run(&format!("{add} --signer alpha --signer beta --at-height 7"));
        assert_eq!(added.code, 0, "{added:?}");
        let (mut primary, standby) = (Validator::bind(), Validator::bind());
        for (signer, validator) in [("alpha", &primary), ("beta", &standby)] {
            write_signer(scratch, signer, &guard.guards(), validator);
            let enrolled = scratch.run(&format!("signer enroll --config {signer}.toml"));
            assert_eq!(enrolled.code, 0, "{enrolled:?}");
        }
        let alpha = Running::start(scratch, "signer start --config alpha.toml", "alpha.log");
        primary.accept();
        guard.wait_for_holder("alpha");
        assert_eq!(primary.prevote(8, 1), Ok(()));
        let saved = guard.json("backup save --out backup");
        assert_eq!((&saved["cluster_id"], &saved["keys"]), (&guard.cluster_id.clone().into(), &1.into()));
        for height in 9..=13 {
            assert_eq!(primary.prevote(height, 1), Ok(()));
        }
        drop(alpha);
        drop(guard.node.take());
        Self { guard, standby }
    }

    /// Restores the backup with these words on what was signed since, starts the new cluster and lifts the quarantine;
    /// beta, which never signed, pins it and takes the lease.
    fn restore(&mut self, floors: &str) -> (Running, String) {
        let Self { guard, standby } = self;
        let scratch = &guard.scratch;
        guard.clients = write_node(scratch, "restored", 1, "data-restored", &[1]);
        let restore = "backup restore backup --config restored.toml --reason disaster";
        let restored = scratch.run(&format!("{restore} {floors}"));
        assert_eq!(restored.code, 0, "{restored:?}");
        let cluster_id = restored.stdout.trim().to_owned();
        assert!(cluster_id.len() == 32 && cluster_id != guard.cluster_id, "{restored:?}");
        scratch.write("operator.toml", &(tls("operator-ops") + &guard_section(&guard.clients)));
        guard.node = Some(Running::start(scratch, "node start --config restored.toml", "restored.log"));
        guard.wait_for_leader();
        assert_eq!(guard.json("cluster status")["cluster_id"], cluster_id);

        let key = guard.json("key show val");
        assert_eq!((&key["state"], &key["holder"]), (&"quarantined".into(), &serde_json::Value::Null));
        write_signer(scratch, "beta", &guard.guards(), standby);
        let repinned = scratch.run("signer enroll --repin --config beta.toml");
        assert!(repinned.code == 0 && repinned.stderr.contains(&cluster_id), "{repinned:?}");
        guard.refused("signer enroll --repin --config beta.toml", 2, "IL-0031");
        let lift = "key lift-quarantine val --config operator.toml --attestation fenced";
        assert_eq!(scratch.run(lift).code, 0);
        let beta = Running::start(scratch, "signer start --config beta.toml", "beta.log");
        standby.accept();
        // A signer takes the lease once its node asks near the newest height. What comes of it is not judged here.
        let _asked = standby.prevote(12, 2);
        guard.wait_for_holder("beta");
        (beta, cluster_id)
    }
}

#[test]
fn a_restored_old_backup_does_not_sign_what_contradicts_later_signatures() {
    let mut disaster = Disaster::strike();
    let floors = "--watermark state-alpha/val.watermark --watermark state-beta/val.watermark";
    let (_beta, cluster_id) = disaster.restore(floors);
    let standby = &mut disaster.standby;
    let refused = standby.prevote(13, 2).unwrap_err();
    assert!(refused.contains("R9 AboveFloor") || refused.contains("S7"), "{refused}");
    assert!(standby.prevote(12, 2).is_err());
    assert_eq!(standby.prevote(14, 2), Ok(()));
    // The old primary still pins the cluster that is gone, and is of no use until an operator pins the new one.
    let (guard, primary) = (&disaster.guard, Validator::bind());
    write_signer(&guard.scratch, "alpha", &guard.guards(), &primary);
    let _alpha = Running::start(&guard.scratch, "signer start --config alpha.toml", "alpha-again.log");
    guard.wait_for_log("alpha-again.log", &cluster_id);
}

/// The same, told less than what was signed: the record itself would have signed a second block. This is what the
/// floors are for.
#[test]
fn the_backup_by_itself_would_have_double_signed() {
    let mut disaster = Disaster::strike();
    let (_beta, _) = disaster.restore("--bump-heights 1");
    assert!(disaster.standby.prevote(9, 2).is_err(), "the bump excludes height 9");
    assert_eq!(disaster.standby.prevote(13, 2), Ok(()), "alpha signed block 1 here");
}

/// Step 4 of the operating page: the restored node is the only voter until the others have joined.
#[test]
fn other_nodes_join_a_restored_cluster() {
    let mut disaster = Disaster::strike();
    let (_beta, cluster_id) = disaster.restore("--bump-heights 100");
    let Disaster { guard, standby } = &mut disaster;
    let scratch = &guard.scratch;
    let mut nodes = Vec::new();
    for id in [2, 3] {
        assert_eq!(scratch.run(&format!("pki issue --dir pki --role node --name {id}")).code, 0);
        let (name, data) = (format!("joining-{id}"), format!("data-{id}"));
        let clients = write_node(scratch, &name, id, &data, &[]);
        let text = std::fs::read_to_string(scratch.path(&format!("{name}.toml"))).unwrap();
        let peers = text.lines().find_map(|line| line.strip_prefix("peers = \"")?.strip_suffix('"')).unwrap();
        let format = format!("node format --join --cluster-id {cluster_id} --config {name}.toml");
        assert_eq!(scratch.run(&format).code, 0);
        let log = format!("{name}.log");
        nodes.push(Running::start(scratch, &format!("node start --config {name}.toml"), &log));
        let add = format!("cluster add {id} --peer-address {peers} --client-address {clients}");
        let added = scratch.run(&format!("{add} --config operator.toml"));
        assert_eq!(added.code, 0, "{added:?}");
    }
    let members = guard.json("cluster members");
    let voters = members["members"].as_array().unwrap().iter().filter(|member| member["role"] == "voter");
    assert_eq!(voters.count(), 3, "{members}");
    assert!(standby.prevote(50, 2).is_err(), "the bump excludes height 50");
    assert_eq!(standby.prevote(109, 2), Ok(()), "a majority of three approves");
    drop(nodes);
    assert!(standby.prevote(110, 2).is_err(), "one of three is no majority");
}

#[test]
fn nothing_is_restored_without_a_word_on_what_was_signed_since() {
    let guard = Guard::start();
    let scratch = &guard.scratch;
    let public = write_key(scratch, "key.json", 1);
    let add = format!("key add --config operator.toml --name val --chain-id {CHAIN} --public-key {public}");
    assert_eq!(scratch.run(&format!("{add} --signer alpha --signer beta --at-height 7")).code, 0);
    guard.json("backup save --out backup");
    guard.refused("backup save --out backup --config operator.toml", 2, "IL-0081");
    guard.refused("backup save --out other --config viewer.toml", 1, "IL-0044");
    write_node(scratch, "restored", 1, "data-restored", &[1]);
    let restore = "backup restore backup --config restored.toml --reason r";
    guard.refused(restore, 2, "IL-0082");
    scratch.write("claims", "{\"name\":\"other\",\"protocol\":\"cometbft\",\"at_height\":7}\n");
    assert!(guard.refused(&format!("{restore} --claims claims"), 2, "IL-0082").contains("other"));
    scratch.write("claims", "{\"name\":\"val\",\"protocol\":\"cometbft\"}\n");
    guard.refused(&format!("{restore} --claims claims"), 2, "IL-0007");
    guard.refused(&format!("{restore} --bump-heights 0"), 2, "IL-0082");
    guard.refused(&format!("{restore} --watermark key.json"), 2, "IL-0007");
    guard.refused(&format!("{restore} --comet-rpc http://127.0.0.1:1"), 3, "IL-0083");
    assert!(!scratch.path("data-restored").exists(), "nothing was made");

    let exported = scratch.run("key export val --config operator.toml");
    scratch.write("claims", &exported.stdout);
    assert_eq!(scratch.run(&format!("{restore} --claims claims")).code, 0);
    guard.refused(&format!("{restore} --claims claims"), 2, "IL-0021");
}

/// A CometBFT node that answers one request with its status.
fn rpc(chain: &str, height: u64, catching_up: bool) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = serde_json::json!({"result": {
        "node_info": {"network": chain},
        "sync_info": {"latest_block_height": height.to_string(), "catching_up": catching_up},
    }});
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /status HTTP/1.0\r\n"));
        write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
    });
    (url, thread)
}

#[test]
fn a_chains_head_becomes_a_floor_with_a_margin() {
    let guard = Guard::start();
    let scratch = &guard.scratch;
    let public = write_key(scratch, "key.json", 1);
    let add = format!("key add --config operator.toml --name val --chain-id {CHAIN} --public-key {public}");
    assert_eq!(scratch.run(&format!("{add} --signer alpha --at-height 7")).code, 0);
    guard.json("backup save --out backup");
    write_node(scratch, "restored", 1, "data-restored", &[1]);
    let restore = "backup restore backup --config restored.toml --reason r --comet-rpc";
    for (chain, catching_up, exit, code) in [(CHAIN, true, 3, "IL-0083"), ("other", false, 2, "IL-0082")] {
        let (url, node) = rpc(chain, 1000, catching_up);
        guard.refused(&format!("{restore} {url}"), exit, code);
        node.join().unwrap();
    }
    let (url, node) = rpc(CHAIN, 1000, false);
    let restored = scratch.run(&format!("{restore} {url}"));
    node.join().unwrap();
    // The largest window of 8 heights and a margin of 16.
    assert!(restored.code == 0 && restored.stderr.contains("reached height 7, now 1024"), "{restored:?}");
}

#[test]
fn damage_to_a_backup_is_found_by_verify_and_by_restore() {
    let guard = Guard::start();
    let scratch = &guard.scratch;
    let saved = guard.json("backup save --out backup");
    let verified = scratch.run("backup verify backup --output json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&verified.stdout).unwrap(), saved);
    let mut bytes = std::fs::read(scratch.path("backup")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(scratch.path("damaged"), bytes).unwrap();
    write_node(scratch, "restored", 1, "data-restored", &[1]);
    guard.refused("backup verify damaged", 5, "IL-0080");
    let restore = "backup restore damaged --config restored.toml --reason r --bump-heights 1";
    guard.refused(restore, 5, "IL-0080");
    guard.refused("backup verify operator.toml", 5, "IL-0080");
    guard.refused("backup verify nothing", 2, "IL-0007");
    let named = std::fs::read_to_string(scratch.path("restored.toml")).unwrap();
    scratch.write("restored.toml", &format!("cluster_id = \"{}\"\n{named}", guard.cluster_id));
    let named = guard.refused(&restore.replace("damaged", "backup"), 2, "IL-0002");
    assert!(named.contains("remove cluster_id"), "{named}");
    assert!(!scratch.path("data-restored").exists());
}
