//! The audit trail through the binary: from a node, and from its files.

use crate::guard::Guard;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

const KEYS: [&str; 2] =
    ["jLkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=", "7LkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA="];

fn add(guard: &Guard, name: &str, key: &str) {
    let line = format!(
        "key add --config operator.toml --name {name} --chain-id chain-1 --public-key {key} --signer alpha \
         --at-height 7"
    );
    let added = guard.scratch.run(&line);
    assert_eq!(added.code, 0, "{added:?}");
}

fn guard_with_two_keys() -> Guard {
    let guard = Guard::start();
    add(&guard, "one", KEYS[0]);
    add(&guard, "two", KEYS[1]);
    let frozen = guard.scratch.run("key freeze one --reason drill --config operator.toml");
    assert_eq!(frozen.code, 0, "{frozen:?}");
    guard
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_newest_records_of_all_keys_and_of_one() {
    let guard = guard_with_two_keys();
    let all = guard.scratch.run("audit tail --config operator.toml --output json");
    assert!(all.code == 0 && all.stderr.contains("from node 1; its index: "), "{all:?}");
    let records = lines(&all.stdout);
    let summaries: Vec<&str> = records.iter().map(|record| record["summary"].as_str().unwrap()).collect();
    assert!(summaries[0].starts_with("add key one: ") && summaries[1].starts_with("add key two: "));
    assert!(summaries[2].contains("drill"), "{summaries:?}");
    assert!(records[0]["applied_at_ms"].as_u64().unwrap() > 1_700_000_000_000, "{records:?}");
    let newest = guard.scratch.run("audit tail --config viewer.toml --limit 1 --output json");
    assert_eq!(lines(&newest.stdout), records[2..]);
    let two = guard.scratch.run("audit tail --config operator.toml --key two --output json");
    assert_eq!(lines(&two.stdout), records[1..2]);
    let id = records[1]["key_id"].as_str().unwrap();
    let by_id = guard.scratch.run(&format!("audit tail --config operator.toml --key {id} --output json"));
    assert_eq!(by_id.stdout, two.stdout);
    let table = guard.scratch.run("audit tail --config operator.toml");
    assert!(table.stdout.starts_with("PLACE") && table.stdout.lines().count() == 4, "{table:?}");
    guard.refused("audit tail --config operator.toml --key nobody", 1, "IL-0043");
    guard.refused("audit tail --config operator.toml --node 9", 1, "IL-0046");
    guard.refused("audit tail --config stranger.toml", 1, "IL-0044");
}

#[test]
fn a_follower_sees_what_comes_after() {
    let guard = Guard::start();
    add(&guard, "one", KEYS[0]);
    let mut follow = guard.scratch.command("audit tail --config operator.toml --follow --output json");
    let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = output.next().unwrap().unwrap();
    add(&guard, "two", KEYS[1]);
    let second = output.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.contains("add key one") && second.contains("add key two"), "{first}\n{second}");
}

#[test]
fn the_chain_is_checked_from_a_node_and_from_its_files() {
    let mut guard = guard_with_two_keys();
    let view = guard.json("audit verify");
    assert!(view["holds"] == true && view["records"] == 3 && view["gap_count"] == 0, "{view}");
    assert_eq!(view["node"], 1);
    let exported = guard.scratch.run("audit export --config operator.toml");
    assert_eq!((exported.code, exported.stdout.lines().count()), (0, 3), "{exported:?}");
    assert_eq!(lines(&exported.stdout)[2]["chain"], view["chain"]);
    let running = guard.scratch.run("audit verify --data-dir data");
    assert!(running.code == 0 && running.stdout.contains("3 records"), "{running:?}");
    assert_eq!(guard.node.take().unwrap().end(), 0);
    let offline = guard.scratch.run("audit export --data-dir data");
    assert_eq!(offline.stdout, exported.stdout);

    let segment = segment(&guard);
    let whole = std::fs::read(&segment).unwrap();
    let length = |at: usize| 8 + u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let second = 64 + length(64);
    let without_second = [&whole[..second], &whole[second + length(second)..]].concat();
    std::fs::write(&segment, without_second).unwrap();
    let broken = guard.scratch.run("audit verify --data-dir data --output json");
    assert!(broken.code == 5 && broken.stderr.contains("error IL-0060: "), "{broken:?}");
    let view: serde_json::Value = serde_json::from_str(&broken.stdout).unwrap();
    assert!(view["holds"] == false && view["records"] == 2, "{view}");
}

fn segment(guard: &Guard) -> PathBuf {
    let names = guard.scratch.names("data/audit");
    let [segment] = &names.iter().filter(|name| name.ends_with(".audit")).collect::<Vec<_>>()[..] else {
        panic!("one segment: {names:?}")
    };
    guard.scratch.path("data/audit").join(segment)
}

#[test]
fn a_directory_that_is_no_nodes_has_no_trail() {
    let guard = Guard::start();
    std::fs::create_dir(guard.scratch.path("empty")).unwrap();
    for (command, directory) in [("verify", "empty"), ("export", "nowhere")] {
        guard.refused(&format!("audit {command} --data-dir {directory}"), 2, "IL-0061");
    }
}
