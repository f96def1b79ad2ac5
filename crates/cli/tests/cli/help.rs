//! Help and usage errors, frozen: scripts and fingers rely on them.

use crate::support::{Scratch, golden};

#[test]
fn help_of_every_command() {
    let lines = [
        "--help",
        "pki --help",
        "pki init --help",
        "pki issue --help",
        "node --help",
        "node format --help",
        "node start --help",
        "node recover --help",
        "signer --help",
        "signer enroll --help",
        "signer start --help",
        "key --help",
        "key add --help",
        "key list --help",
        "key show --help",
        "key freeze --help",
        "key unfreeze --help",
        "key policy --help",
        "key signers --help",
        "key retire --help",
        "key lift-quarantine --help",
        "key import --help",
        "key export --help",
        "failover --help",
        "cluster --help",
        "cluster status --help",
        "cluster members --help",
        "cluster add --help",
        "cluster remove --help",
        "cluster replace --help",
        "cluster set-address --help",
        "audit --help",
        "audit tail --help",
        "audit verify --help",
        "audit export --help",
        "cluster raise-rules --help",
        "backup --help",
        "backup save --help",
        "backup verify --help",
        "backup restore --help",
        "demo --help",
    ];
    let transcript = Scratch::new().transcript(&lines);
    assert!(!transcript.contains("signature-tap"), "the tap is for tests only and must not be advertised");
    golden("help.txt", &transcript);
}

#[test]
fn wrong_usage_exits_with_2_and_prints_nothing_on_stdout() {
    let lines = [
        "",
        "nod start",
        "node start",
        "pki issue --dir pki --role node",
        "pki init --dir pki --valid-days 0",
        "key add --config o.toml --name val --chain-id c --public-key x --signer a --at-height minus-one",
        "failover val --config o.toml",
        "audit verify",
        "audit export --config o.toml --data-dir data",
        "audit export --data-dir data --node 1",
        "audit tail --config o.toml --limit 1001",
        "backup restore backup --config n.toml",
        "node recover --config n.toml --from old",
        "key lift-quarantine val --config o.toml",
        "key lift-quarantine val --config o.toml --attestation a --comet-rpc http://h:1",
        "key lift-quarantine val --config o.toml --attestation a --blocks 10",
        "key lift-quarantine val --config o.toml --comet-rpc http://h:1 --blocks 9",
        "key lift-quarantine val --config o.toml --comet-rpc http://h:1 --blocks 1001",
    ];
    let scratch = Scratch::new();
    for line in lines {
        let ended = scratch.run(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{line}: {ended:?}");
    }
    golden("usage.txt", &scratch.transcript(&lines));
}
