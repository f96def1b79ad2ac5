//! Operator commands against nobody: every failure says whether something may have happened.

use crate::support::Scratch;
use interlock_testkit::ports::free_port;

fn with_certificates() -> Scratch {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    scratch.run("pki issue --dir pki --role operator --name ops");
    let port = free_port().unwrap();
    let tls = "ca = \"pki/ca.pem\"\ncert = \"pki/operator-ops.pem\"\nkey = \"pki/operator-ops.key\"";
    let text = format!("[tls]\n{tls}\n[[guard]]\nid = 1\naddress = \"127.0.0.1:{port}\"\n");
    scratch.write("operator.toml", &text);
    scratch
}

#[test]
fn without_a_cluster_nothing_was_changed_and_it_says_so() {
    let scratch = with_certificates();
    let key = "jLkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=";
    for line in [
        "cluster status --config operator.toml --output json",
        "key show val --config operator.toml",
        "key list --config operator.toml",
        "failover val --reason test --config operator.toml",
        &format!(
            "key add --name val --chain-id c --public-key {key} --signer a --at-height 0 --config operator.toml"
        ),
    ] {
        let ended = scratch.run(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{line}: {ended:?}");
        assert!(ended.stderr.contains("error IL-0041: "), "{line}: {ended:?}");
        assert!(ended.stderr.contains("hint: nothing was changed"), "{line}: {ended:?}");
    }
}

#[test]
fn wrong_arguments_are_found_before_anybody_is_asked() {
    let scratch = with_certificates();
    let add = |rest: &str| format!("key add --config operator.toml --at-height 0 --chain-id c {rest}");
    let key = "jLkUSWVMpJ9OaiVN3Dr9TXmN8Pf0QHPmpKiS5kRb5TA=";
    for (line, part) in [
        (
            add("--name val --public-key AAAA --signer a"),
            "--public-key \"AAAA\": it has 3 bytes instead of 32",
        ),
        (add("--name val --public-key *** --signer a"), "--public-key \"***\""),
        (add(&format!("--name val --public-key {key} --signer A_1")), "--signer \"A_1\""),
        (format!("key show {} --config operator.toml", "x".repeat(300)), "NAME "),
        ("failover val --to Bad_Name --reason r --config operator.toml".to_owned(), "--to \"Bad_Name\""),
    ] {
        let ended = scratch.run(&line);
        assert_eq!(ended.code, 2, "{line}: {ended:?}");
        assert!(ended.stderr.contains("IL-0005") && ended.stderr.contains(part), "{line}: {ended:?}");
    }
}
