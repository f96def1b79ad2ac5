//! Operators and signers on a guard that works: what is refused, and that refusing changes nothing.

use crate::guard::{Guard, Running, guard_section, tls};
use crate::validator::write_key;

const KEY: &str = "jLkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=";

fn add(name: &str, key: &str) -> String {
    format!(
        "key add --config operator.toml --name {name} --chain-id chain-1 --public-key {key} --signer alpha \
         --signer beta --at-height 7"
    )
}

#[test]
fn the_life_of_a_key() {
    let guard = Guard::start();
    let added = guard.scratch.run(&add("val", KEY));
    assert!(added.code == 0 && added.stdout.trim().len() == 64, "{added:?}");
    let again = guard.scratch.run(&add("val", KEY));
    assert!(again.code == 0 && again.stdout == added.stdout, "the same again is done already: {again:?}");

    let key = guard.json("key show val");
    assert_eq!(key["key_id"], added.stdout.trim());
    assert_eq!((&key["public_key"], &key["floor_height"]), (&KEY.into(), &7.into()));
    assert_eq!(key["signers"], serde_json::json!(["alpha", "beta"]));
    assert!(key["holder"].is_null() && key["approved"].is_null(), "{key}");
    assert_eq!(guard.json("key list"), serde_json::json!([key]));

    let frozen = guard.scratch.run("key freeze val --reason drill --config operator.toml");
    assert_eq!(frozen.code, 0, "{frozen:?}");
    assert_eq!(guard.json("key show val")["state"], "frozen");
    let failover = "failover val --to alpha --force --reason r --config operator.toml";
    assert!(guard.refused(failover, 1, "IL-0046").contains("alpha"));
    assert_eq!(guard.scratch.run("key unfreeze val --reason over --config operator.toml").code, 0);
    let unfrozen = guard.json("key show val");
    assert_eq!((&unfrozen["state"], &unfrozen["epoch"]), (&"active".into(), &key["epoch"]));
}

#[test]
fn refusals_name_the_rule_and_change_nothing() {
    let guard = Guard::start();
    assert_eq!(guard.scratch.run(&add("val", KEY)).code, 0);
    let before = guard.json("key show val");
    let other_key = "7LkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=";
    let message = guard.refused(&add("val", other_key), 1, "IL-0040");
    assert!(message.contains("R31 NameFree"), "{message}");
    let message = guard.refused(&add("other", KEY), 1, "IL-0040");
    assert!(message.contains("R30 KeyNew"), "{message}");
    guard.refused("key show nobody --config operator.toml", 1, "IL-0043");
    guard.refused("key freeze nobody --reason r --config operator.toml", 1, "IL-0043");
    guard.refused("failover nobody --reason r --config operator.toml", 1, "IL-0043");
    let message =
        guard.refused("failover val --to gamma --force --reason r --config operator.toml", 1, "IL-0046");
    assert!(message.contains("gamma"), "{message}");
    assert_eq!(guard.json("key show val"), before);
}

#[test]
fn roles_are_kept_apart() {
    let guard = Guard::start();
    assert_eq!(guard.scratch.run(&add("val", KEY)).code, 0);
    let before = guard.json("key show val");
    assert_eq!(guard.scratch.run("key show val --config viewer.toml").code, 0);
    guard.refused("key freeze val --reason r --config viewer.toml", 1, "IL-0044");
    guard.refused(&add("second", KEY).replace("operator.toml", "viewer.toml"), 1, "IL-0044");
    guard.refused("failover val --reason r --config viewer.toml", 1, "IL-0044");
    guard.refused("key freeze val --reason r --config stranger.toml", 1, "IL-0044");
    assert_eq!(guard.json("key show val"), before);
}

fn write_signer(guard: &Guard, file: &str, signer: &str, chain_id: &str, key_file: &str) {
    let head = format!("state_dir = \"state-{signer}\"\n{}", tls(&format!("signer-{signer}")));
    let key = format!("[[key]]\nname = \"val\"\nchain_id = \"{chain_id}\"\nkey_file = \"{key_file}\"\n");
    let node = "[[key.node]]\nname = \"n\"\naddress = \"tcp://127.0.0.1:9\"\n";
    guard.scratch.write(file, &(head + &guard_section(&guard.clients) + &key + node));
}

#[test]
fn a_signer_is_enrolled_once_and_runs_once() {
    let guard = Guard::start();
    let public = write_key(&guard.scratch, "key.json", 1);
    write_signer(&guard, "signer.toml", "alpha", "chain-1", "key.json");
    guard.refused("signer start --config signer.toml", 2, "IL-0030");
    assert_eq!(guard.scratch.run(&add("val", &public)).code, 0);
    assert_eq!(guard.scratch.run("signer enroll --config signer.toml").code, 0);
    guard.refused("signer enroll --config signer.toml", 2, "IL-0031");

    let signer = Running::start(&guard.scratch, "signer start --config signer.toml", "signer.log");
    guard.wait_for_signer("alpha");
    guard.refused("signer start --config signer.toml", 2, "IL-0023");
    guard.refused("signer enroll --config signer.toml", 2, "IL-0023");
    assert_eq!(signer.end(), 0);
}

#[test]
fn paths_in_a_configuration_start_where_it_lies() {
    let guard = Guard::start();
    let public = write_key(&guard.scratch, "key.json", 1);
    assert_eq!(guard.scratch.run(&add("val", &public)).code, 0);
    write_signer(&guard, "signer.toml", "alpha", "chain-1", "key.json");
    std::fs::create_dir(guard.scratch.path("etc")).unwrap();
    for name in ["signer.toml", "operator.toml", "node.toml"] {
        let text = std::fs::read_to_string(guard.scratch.path(name)).unwrap();
        let text = text.replace("\"pki/", "\"../pki/").replace("\"key.json", "\"../key.json");
        guard.scratch.write(&format!("etc/{name}"), &text);
    }
    let enrolled = guard.scratch.run("signer enroll --config etc/signer.toml");
    assert_eq!(enrolled.code, 0, "{enrolled:?}");
    assert!(guard.scratch.path("etc/state-alpha").is_dir());
    assert_eq!(guard.scratch.run("key list --config etc/operator.toml").code, 0);
    assert_eq!(guard.scratch.run("node format --config etc/node.toml").code, 0);
    assert!(guard.scratch.path("etc/data").is_dir());
}

#[test]
fn what_does_not_belong_together_is_not_enrolled() {
    let guard = Guard::start();
    let public = write_key(&guard.scratch, "key.json", 1);
    write_key(&guard.scratch, "other.json", 2);
    write_signer(&guard, "unknown.toml", "alpha", "chain-1", "key.json");
    guard.refused("signer enroll --config unknown.toml", 1, "IL-0040");
    assert_eq!(guard.scratch.run(&add("val", &public)).code, 0);
    write_signer(&guard, "wrong-chain.toml", "alpha", "chain-2", "key.json");
    write_signer(&guard, "wrong-key.toml", "alpha", "chain-1", "other.json");
    write_signer(&guard, "not-registered.toml", "gamma", "chain-1", "key.json");
    let message = guard.refused("signer enroll --config wrong-chain.toml", 2, "IL-0033");
    assert!(message.contains("chain-1") && message.contains("chain-2"), "{message}");
    guard.refused("signer enroll --config wrong-key.toml", 2, "IL-0033");
    let message = guard.refused("signer enroll --config not-registered.toml", 1, "IL-0040");
    assert!(message.contains("gamma"), "{message}");
    for state in ["state-alpha", "state-gamma"] {
        let left: Vec<_> = guard.scratch.names(state).into_iter().filter(|name| name != "lock").collect();
        assert_eq!(left, [""; 0], "{state} holds no watermark");
    }
}

impl Guard {
    fn wait_for_signer(&self, name: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let status = self.json("cluster status");
            if status["signers"].as_array().unwrap().iter().any(|signer| signer["signer"] == name) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{status}");
        }
    }
}
