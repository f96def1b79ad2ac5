//! Keys of every protocol, their settings, and what comes in and goes out: each verb on a guard that works.

use crate::guard::Guard;
use serde_json::json;

const KEY: &str = "jLkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=";

fn cometbft(name: &str, claim: &str) -> String {
    let key = format!("--chain-id chain-1 --public-key {KEY} --signer alpha {claim}");
    format!("key add --config operator.toml --name {name} {key}")
}

fn ethereum(claim: &str) -> String {
    let (root, key) = ("4b".repeat(32), "0a".repeat(48));
    let key = format!("--protocol ethereum --genesis-validators-root 0x{root} --public-key 0x{key}");
    format!("key add --config operator.toml --name eth {key} --signer alpha {claim}")
}

fn done(guard: &Guard, line: &str) -> String {
    let ended = guard.scratch.run(line);
    assert_eq!(ended.code, 0, "{line}: {ended:?}");
    ended.stdout
}

#[test]
fn a_key_of_every_protocol_needs_its_claim() {
    let guard = Guard::start();
    for line in [
        cometbft("val", ""),
        cometbft("val", "--at-level 3"),
        cometbft("val", "--at-height 3 --never-signed"),
        ethereum(""),
        ethereum("--at-slot 10"),
        ethereum("--at-epochs 3/4"),
    ] {
        guard.refused(&line, 2, "IL-0006");
    }
    guard.refused(&ethereum("--at-slot 10 --at-epochs 4"), 2, "IL-0005");
    assert_eq!(guard.json("key list"), json!([]), "nothing was added");

    done(&guard, &cometbft("val", "--at-height 7 --max-jump 50 --lock-rule off"));
    done(&guard, &ethereum("--at-slot 300 --at-epochs 9/10"));
    let generic = "--public-key 0102 --signer alpha --chain-id net";
    done(
        &guard,
        &format!("key add --config operator.toml --name baker --protocol tezos {generic} --at-level 5"),
    );
    let other = format!("--name other --protocol generic {generic} --at-position 4/2");
    done(&guard, &format!("key add --config operator.toml {other}"));
    let fresh = format!("--name fresh --protocol generic {generic}2 --never-signed");
    done(&guard, &format!("key add --config operator.toml {}", fresh.replace("net2", "net-2")));

    let val = guard.json("key show val");
    assert_eq!((&val["reach_height"], &val["max_jump_heights"]), (&json!(7), &json!(50)));
    assert_eq!((&val["lock_rule"], &val["window_heights"]), (&json!(false), &json!(0)));
    let eth = guard.json("key show eth");
    assert_eq!(eth["chain_id"], "4b".repeat(32));
    let marks = json!([
        {"position": "block slot 300", "payload": null},
        {"position": "attestation source epoch 9 target epoch 10", "payload": null},
    ]);
    assert_eq!((&eth["marks"], &eth["reach_height"]), (&marks, &json!(320)));
    assert_eq!(guard.json("key show baker")["floor_height"], 5);
    let position = format!("position 4/2/{}", u64::MAX);
    assert_eq!(guard.json("key show other")["marks"], json!([{"position": position, "payload": null}]));
    assert_eq!(guard.json("key show fresh")["marks"], json!([]));

    let export = |name: &str| done(&guard, &format!("key export {name} --config operator.toml"));
    assert_eq!(export("val"), "{\"name\":\"val\",\"protocol\":\"cometbft\",\"at_height\":7}\n");
    let eth = "{\"name\":\"eth\",\"protocol\":\"ethereum\",\"at_slot\":\"300\",\"at_epochs\":\"9/10\"}\n";
    assert_eq!(export("eth"), eth);
    assert_eq!(export("baker"), "{\"name\":\"baker\",\"protocol\":\"tezos\",\"at_level\":5}\n");
    guard.refused("key export eth --form cometbft --config operator.toml", 2, "IL-0006");
}

#[test]
fn policy_and_rules_and_signers() {
    let guard = Guard::start();
    done(&guard, &cometbft("val", "--at-height 7"));
    let windows = "key policy val --window-heights 4 --reason w --config operator.toml";
    let message = guard.refused(windows, 1, "IL-0040");
    assert!(message.contains("R41 RulesInForce"), "{message}");
    guard.refused("cluster raise-rules --config viewer.toml", 1, "IL-0044");
    assert_eq!(guard.json("cluster raise-rules"), json!({"rules": 2, "already": false}));
    assert_eq!(guard.json("cluster raise-rules"), json!({"rules": 2, "already": true}));
    done(&guard, windows);
    let key = guard.json("key show val");
    assert_eq!((&key["window_heights"], &key["max_jump_heights"]), (&json!(4), &json!(10_000)));
    assert_eq!(key["version"], 2);
    done(&guard, "key policy val --max-jump 20 --lock-rule off --reason w --config operator.toml");
    let key = guard.json("key show val");
    assert_eq!((&key["window_heights"], &key["max_jump_heights"]), (&json!(4), &json!(20)), "kept");
    guard.refused("key policy val --reason nothing --config operator.toml", 2, "IL-0005");
    let message =
        guard.refused("key policy val --max-jump 0 --reason r --config operator.toml", 1, "IL-0040");
    assert!(message.contains("R33 PolicySound"), "{message}");

    done(&guard, "key signers val --signer beta --signer alpha --reason swap --config operator.toml");
    assert_eq!(guard.json("key show val")["signers"], json!(["beta", "alpha"]));
    let twice = "key signers val --signer beta --signer beta --reason r --config operator.toml";
    assert!(guard.refused(twice, 1, "IL-0040").contains("R32 SignersSound"));
}

#[test]
fn imports_only_raise_and_a_jump_is_confirmed() {
    let guard = Guard::start();
    let scratch = &guard.scratch;
    done(&guard, &cometbft("val", "--at-height 7"));
    let import = "key import val --reason moved --config operator.toml";
    scratch.write("comet.json", r#"{"height":"36","round":1,"step":2,"signature":"N8==","signbytes":"76"}"#);
    guard.refused(&format!("{import} --tmkms-state comet.json"), 2, "IL-0007");
    guard.refused(&format!("{import} --cometbft-state nothing.json"), 2, "IL-0007");
    guard.refused(import, 2, "IL-0006");
    guard.refused(&format!("{import} --cometbft-state comet.json --at-height 3"), 2, "IL-0006");
    done(&guard, &format!("{import} --cometbft-state comet.json"));
    let key = guard.json("key show val");
    assert_eq!(key["approved"], json!({"height": 36, "round": 1, "step": "prevote"}));
    scratch.write("tmkms.json", r#"{"height":"36","round":"1","step":2,"block_id":null}"#);
    done(&guard, &format!("{import} --tmkms-state tmkms.json"));
    let raised = guard.json("key show val");
    assert_eq!(raised["approved"], json!({"height": 36, "round": 1, "step": "precommit"}));
    done(&guard, &format!("{import} --at-height 3"));
    assert_eq!(guard.json("key show val"), raised, "what is lower changes nothing");

    let far = format!("{import} --at-height 99999999");
    assert!(guard.refused(&far, 1, "IL-0040").contains("R13 JumpBounded"));
    done(&guard, &format!("{far} --confirm-jump"));
    assert_eq!(guard.json("key show val")["reach_height"], 99_999_999);
    let file = done(&guard, "key export val --form tmkms --config operator.toml");
    let expected = json!({"height": "99999999", "round": "2147483647", "step": 2, "block_id": null});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&file).unwrap(), expected);
}

#[test]
fn the_interchange_of_an_ethereum_client_comes_in_and_goes_out() {
    let guard = Guard::start();
    let scratch = &guard.scratch;
    done(&guard, &ethereum("--at-slot 300 --at-epochs 9/10"));
    let file = |root: &str, key: &str| {
        let attestation = json!({"source_epoch": "11", "target_epoch": "12"});
        json!({
            "metadata": {"interchange_format_version": "5", "genesis_validators_root": format!("0x{}", root.repeat(32))},
            "data": [{
                "pubkey": format!("0x{}", key.repeat(48)),
                "signed_blocks": [{"slot": "299"}],
                "signed_attestations": [attestation],
            }],
        })
        .to_string()
    };
    let import = "key import eth --reason moved --config operator.toml --eip3076";
    for (name, root, key) in [("other-network", "4c", "0a"), ("other-key", "4b", "0b")] {
        scratch.write(name, &file(root, key));
        guard.refused(&format!("{import} {name}"), 2, "IL-0007");
    }
    scratch.write("history", &file("4b", "0a"));
    done(&guard, &format!("{import} history"));
    let marks = json!([
        {"position": "block slot 300", "payload": null},
        {"position": "attestation source epoch 11 target epoch 12", "payload": null},
    ]);
    assert_eq!(guard.json("key show eth")["marks"], marks, "maxima of both");
    let exported = done(&guard, "key export eth --form eip3076 --config operator.toml");
    let exported: serde_json::Value = serde_json::from_str(&exported).unwrap();
    let data = &exported["data"][0];
    assert_eq!(data["pubkey"], format!("0x{}", "0a".repeat(48)));
    assert_eq!(data["signed_blocks"], json!([{"slot": "300"}]));
    assert_eq!(data["signed_attestations"], json!([{"source_epoch": "11", "target_epoch": "12"}]));
    let before = guard.json("key show eth");
    scratch.write("again", &exported.to_string());
    done(&guard, &format!("{import} again"));
    assert_eq!(guard.json("key show eth"), before, "what we say is covered already");
}

#[test]
fn a_retired_key_is_known_for_ever() {
    let guard = Guard::start();
    done(&guard, &cometbft("val", "--at-height 7"));
    done(&guard, "key retire val --reason moved --config operator.toml");
    let key = guard.json("key show val");
    assert_eq!(key["state"], "retired");
    assert!(key["state_reason"].as_str().unwrap().ends_with(": moved"), "{key}");
    for line in [
        "key unfreeze val --reason r --config operator.toml",
        "key lift-quarantine val --attestation r --config operator.toml",
        "key signers val --signer beta --reason r --config operator.toml",
        "key import val --at-height 9 --reason r --config operator.toml",
    ] {
        assert!(guard.refused(line, 1, "IL-0040").contains("R35 StateFits"), "{line}");
    }
    guard.refused(&cometbft("val", "--at-height 9"), 1, "IL-0040");
}

#[test]
fn only_operators_change_anything() {
    let guard = Guard::start();
    done(&guard, &cometbft("val", "--at-height 7"));
    let before = guard.json("key show val");
    for line in [
        "key policy val --max-jump 5 --reason r",
        "key signers val --signer beta --reason r",
        "key retire val --reason r",
        "key lift-quarantine val --attestation r",
        "key import val --at-height 9 --reason r",
        "cluster raise-rules",
        "backup save --out backup",
    ] {
        guard.refused(&format!("{line} --config viewer.toml"), 1, "IL-0044");
        guard.refused(&format!("{line} --config stranger.toml"), 1, "IL-0044");
    }
    assert_eq!(guard.json("key show val"), before);
    assert_eq!(done(&guard, "key export val --config viewer.toml").lines().count(), 1);
}
