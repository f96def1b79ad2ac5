//! Wrong configurations: each error names the file, the field and what to do, and nothing is touched.

use crate::support::{Scratch, golden};

const TLS: &str =
    "[tls]\nca = \"pki/ca.pem\"\ncert = \"pki/operator-ops.pem\"\nkey = \"pki/operator-ops.key\"\n";
const GUARD: &str = "[[guard]]\nid = 1\naddress = \"127.0.0.1:9\"\n";

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    scratch.run("pki issue --dir pki --role operator --name ops");
    scratch
}

#[test]
fn of_an_operator() {
    let scratch = scratch();
    scratch.write("unknown.toml", &format!("{TLS}{GUARD}tiemout = 3\n"));
    scratch.write("unknown-section.toml", &format!("{TLS}{GUARD}[signer]\n"));
    scratch.write("no-tls.toml", GUARD);
    scratch.write("no-guard.toml", TLS);
    scratch.write("twice.toml", &format!("{TLS}{GUARD}{GUARD}"));
    scratch.write("wrong-type.toml", &format!("{TLS}[[guard]]\nid = \"one\"\naddress = \"127.0.0.1:9\"\n"));
    scratch.write("bad-address.toml", &format!("{TLS}[[guard]]\nid = 1\naddress = \"no port\"\n"));
    scratch.write("not-toml.toml", "this is not TOML");
    scratch.write("no-certificate.toml", &format!("{}{GUARD}", TLS.replace("operator-ops.pem", "other.pem")));
    scratch.write("swapped.toml", &format!("{}{GUARD}", TLS.replace("operator-ops.key", "operator-ops.pem")));
    std::fs::create_dir(scratch.path("directory.toml")).unwrap();
    let names = [
        "missing",
        "directory",
        "unknown",
        "unknown-section",
        "no-tls",
        "no-guard",
        "twice",
        "wrong-type",
        "bad-address",
        "not-toml",
        "no-certificate",
        "swapped",
    ];
    let lines = names.map(|name| format!("key list --config {name}.toml"));
    let transcript = scratch.transcript(&lines.each_ref().map(String::as_str));
    golden("operator-configuration-errors.txt", &transcript);
    assert_eq!(transcript.matches("[exit 2]").count(), names.len());
}

#[test]
fn of_a_signer() {
    let scratch = scratch();
    std::fs::create_dir(scratch.path("var")).unwrap();
    scratch.write("key.json", "{}");
    let key = "[[key]]\nname = \"val\"\nchain_id = \"c\"\nkey_file = \"key.json\"\n";
    let node = "[[key.node]]\nname = \"n\"\naddress = \"tcp://127.0.0.1:9\"\n";
    let good = format!("state_dir = \"var/state\"\n{TLS}{GUARD}{key}{node}");
    for (name, text) in [
        ("unknown", good.replace("state_dir", "colour = 1\nstate_dir")),
        ("no-parent", good.replace("var/state", "gone/state")),
        ("no-key-file", good.replace("key.json", "other.json")),
        ("no-certificate", good.replace("operator-ops.pem", "other.pem")),
        ("bad-address", good.replace("tcp://127.0.0.1:9", "127.0.0.1:9")),
        ("no-key", good.replace(key, "").replace(node, "key = []\n")),
        ("bad-timing", format!("{good}[timing]\nredial_ms = 60000\n")),
        ("bad-key-file", good.clone()),
        ("operators-certificate", good.clone()),
    ] {
        scratch.write(&format!("{name}.toml"), &text);
    }
    let names =
        ["unknown", "no-parent", "no-key-file", "no-certificate", "bad-address", "no-key", "bad-timing"];
    let mut lines = names.map(|name| format!("signer start --config {name}.toml")).to_vec();
    lines.push("signer enroll --config operators-certificate.toml".to_owned());
    lines.push("signer start --config operators-certificate.toml".to_owned());
    let transcript = scratch.transcript(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    golden("signer-configuration-errors.txt", &transcript);
    assert_eq!(transcript.matches("[exit 2]").count(), lines.len());
    assert_eq!(scratch.names("var"), [""; 0], "nothing was made");
}
