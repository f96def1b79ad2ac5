//! Nodes: state is made once, by `format`, and nobody starts on state that is not its own.

use crate::guard::{Guard, Running, write_node};
use crate::support::{Scratch, golden};

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    for id in 1..=2 {
        scratch.run(&format!("pki issue --dir pki --role node --name {id}"));
    }
    scratch
}

#[test]
fn format_makes_state_once() {
    let scratch = scratch();
    write_node(&scratch, "node", 1, "data", &[1]);
    let first = scratch.run("node format --config node.toml");
    let cluster_id = first.stdout.trim();
    assert!(first.code == 0 && cluster_id.len() == 32, "{first:?}");
    assert!(cluster_id.chars().all(|c| c.is_ascii_hexdigit()), "{first:?}");
    let names = scratch.names("data");
    for line in [
        "node format --config node.toml".to_owned(),
        format!("node format --config node.toml --cluster-id {cluster_id}"),
        format!("node format --config node.toml --cluster-id {}", "0".repeat(32)),
    ] {
        let again = scratch.run(&line);
        assert!(again.code == 2 && again.stderr.contains("IL-0021"), "{again:?}");
        assert_eq!(again.stdout, "");
    }
    assert_eq!(scratch.names("data"), names);
}

#[test]
fn start_makes_no_state() {
    let scratch = scratch();
    write_node(&scratch, "node", 1, "data", &[1]);
    let ended = scratch.run("node start --config node.toml");
    assert!(ended.code == 2 && ended.stderr.contains("error IL-0020: "), "{ended:?}");
    assert!(!scratch.path("data").exists());
}

#[test]
fn the_data_of_another_node_is_left_alone() {
    let scratch = scratch();
    write_node(&scratch, "one", 1, "data", &[1]);
    write_node(&scratch, "two", 2, "data", &[2]);
    assert_eq!(scratch.run("node format --config one.toml").code, 0);
    let ended = scratch.run("node start --config two.toml");
    assert!(ended.code == 2 && ended.stderr.contains("error IL-0022: "), "{ended:?}");
    assert!(ended.stderr.contains("node 1") && ended.stderr.contains("node 2"), "{ended:?}");
}

#[test]
fn the_data_of_another_cluster_is_left_alone() {
    let scratch = scratch();
    write_node(&scratch, "node", 1, "data", &[1]);
    let ours = scratch.run("node format --config node.toml").stdout.trim().to_owned();
    let text = std::fs::read_to_string(scratch.path("node.toml")).unwrap();
    let theirs = "0123456789abcdef0123456789abcdef";
    scratch.write("node.toml", &format!("cluster_id = \"{theirs}\"\n{text}"));
    let ended = scratch.run("node start --config node.toml");
    assert!(ended.code == 2 && ended.stderr.contains("error IL-0022: "), "{ended:?}");
    assert!(ended.stderr.contains(&ours) && ended.stderr.contains(theirs), "{ended:?}");
    let ended = scratch.run(&format!("node format --config node.toml --cluster-id {ours}"));
    assert!(ended.code == 2 && ended.stderr.contains("error IL-0002: "), "{ended:?}");
}

#[test]
fn wrong_configurations() {
    let scratch = scratch();
    write_node(&scratch, "good", 1, "data", &[1]);
    let good = std::fs::read_to_string(scratch.path("good.toml")).unwrap();
    for (name, from, to) in [
        ("unknown", "node_id = 1", "node_id = 1\nnode_name = \"one\""),
        ("no-id", "node_id = 1\n", ""),
        ("zero", "node_id = 1", "node_id = 0"),
        ("no-parent", "\"data\"", "\"gone/data\""),
        ("no-certificate", "node-1.pem", "node-3.pem"),
        ("bad-listen", "peers = \"127", "peers = \"nowhere"),
        ("not-a-member", "[[member]]\nid = 1", "[[member]]\nid = 2"),
        (
            "two-members",
            "[[member]]\nid = 1",
            "[[member]]\nid = 2\npeer_address = \"a:1\"\nclient_address = \"a:2\"\n[[member]]\nid = 1",
        ),
        ("bad-timing", "[listen]", "[timing]\nheartbeat_interval_ms = 1000\n[listen]"),
    ] {
        assert!(good.contains(from), "{name}");
        scratch.write(&format!("{name}.toml"), &good.replacen(from, to, 1));
    }
    let names = [
        "unknown",
        "no-id",
        "zero",
        "no-parent",
        "no-certificate",
        "bad-listen",
        "not-a-member",
        "two-members",
        "bad-timing",
    ];
    let mut lines = names.map(|name| format!("node format --config {name}.toml")).to_vec();
    lines.push("node format --config good.toml --cluster-id 12345".to_owned());
    let transcript = scratch.transcript(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    golden("node-configuration-errors.txt", &without_ports(&transcript));
    assert_eq!(transcript.matches("[exit 2]").count(), lines.len());
    assert!(!scratch.path("data").exists(), "nothing was made");
}

/// Ports differ each time.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("nowhere.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "nowhere.0.0.1:[PORT]" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

#[test]
fn the_certificate_must_be_this_nodes() {
    let scratch = scratch();
    write_node(&scratch, "node", 1, "data", &[1]);
    let text =
        std::fs::read_to_string(scratch.path("node.toml")).unwrap().replace("pki/node-1", "pki/node-2");
    scratch.write("node.toml", &text);
    assert_eq!(scratch.run("node format --config node.toml").code, 0);
    let ended = scratch.run("node start --config node.toml");
    assert!(ended.code == 2 && ended.stderr.contains("error IL-0002: "), "{ended:?}");
    assert!(ended.stderr.contains("2.node.interlock") || ended.stderr.contains("node 2"), "{ended:?}");
}

#[test]
fn a_second_process_on_the_same_data_leaves_the_first_alone() {
    let mut guard = Guard::start();
    // Other ports, so that only the data directory is contested.
    write_node(&guard.scratch, "second", 1, "data", &[1]);
    let message = guard.refused("node start --config second.toml", 2, "IL-0023");
    assert!(message.contains("data"), "{message}");
    guard.refused("node format --config second.toml", 2, "IL-0023");
    assert_eq!(guard.json("cluster status")["leader"], 1);
    assert_eq!(guard.node.take().map(Running::end), Some(0));
}

#[test]
fn a_taken_address_is_named() {
    let scratch = scratch();
    let clients = write_node(&scratch, "node", 1, "data", &[1]);
    assert_eq!(scratch.run("node format --config node.toml").code, 0);
    let _taken = std::net::TcpListener::bind(&clients).unwrap();
    let ended = scratch.run("node start --config node.toml");
    assert!(ended.code == 5 && ended.stderr.contains("error IL-0024: "), "{ended:?}");
    assert!(ended.stderr.contains(&clients), "{ended:?}");
}

#[test]
fn a_node_of_another_cluster_is_not_taken_for_one_of_ours() {
    let guard = Guard::start();
    let other = Guard::start();
    let text = std::fs::read_to_string(guard.scratch.path("operator.toml")).unwrap();
    // The certificates of the other installation are another authority's: TLS itself refuses.
    let text = text.replace(&guard.clients, &other.clients);
    guard.scratch.write("crossed.toml", &text);
    guard.refused("cluster status --config crossed.toml", 3, "IL-0041");
    assert_ne!(guard.cluster_id, other.cluster_id);
}

#[test]
fn a_node_that_was_found_to_differ_never_starts_again() {
    let scratch = scratch();
    write_node(&scratch, "node", 1, "data", &[1]);
    assert_eq!(scratch.run("node format --config node.toml").code, 0);
    scratch.write("data/diverged", "at log index 7 node 1 has aa, node 2 has bb, node 3 has bb\n");
    for _ in 0..2 {
        let ended = scratch.run("node start --config node.toml");
        assert!(ended.code == 70 && ended.stderr.contains("error IL-0029: "), "{ended:?}");
        assert!(ended.stderr.contains("node 1 has aa"), "{ended:?}");
    }
}
