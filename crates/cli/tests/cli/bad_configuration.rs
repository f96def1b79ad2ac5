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
