//! Certificates: what they say, who can read the keys, and that nothing is ever overwritten.

use crate::support::{Scratch, golden};
use std::os::unix::fs::PermissionsExt as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn der(scratch: &Scratch, name: &str) -> Vec<u8> {
    let pem = std::fs::read(scratch.path(name)).unwrap();
    x509_parser::pem::parse_x509_pem(&pem).unwrap().1.contents
}

#[test]
fn an_issued_certificate_names_its_owner_and_is_signed_by_the_authority() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run("pki init --dir pki").code, 0);
    assert_eq!(scratch.run("pki issue --dir pki --role signer --name alpha").code, 0);
    let (authority, leaf) = (der(&scratch, "pki/ca.pem"), der(&scratch, "pki/signer-alpha.pem"));
    let authority = X509Certificate::from_der(&authority).unwrap().1;
    let leaf = X509Certificate::from_der(&leaf).unwrap().1;

    assert!(authority.is_ca() && !leaf.is_ca());
    leaf.verify_signature(Some(authority.public_key())).unwrap();
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(format!("{names:?}"), "[DNSName(\"alpha.signer.interlock\")]");
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let days = leaf.validity().time_to_expiration().unwrap().whole_days();
    assert!((363..=365).contains(&days), "{days}");
    let constraints = authority.name_constraints().unwrap().unwrap().value;
    assert_eq!(
        format!("{:?}", constraints.permitted_subtrees.as_ref().unwrap()[0].base),
        "DNSName(\"interlock\")"
    );
}

#[test]
fn keys_are_readable_by_their_owner_only() {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    scratch.run("pki issue --dir pki --role node --name 1");
    assert_eq!(scratch.names("pki"), ["ca.key", "ca.pem", "node-1.key", "node-1.pem"]);
    for (name, mode) in [("pki", 0o700), ("pki/ca.key", 0o600), ("pki/node-1.key", 0o600)] {
        let found = std::fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    scratch.run("pki issue --dir pki --role operator --name ops");
    let read = || {
        ["ca.pem", "ca.key", "operator-ops.pem", "operator-ops.key"]
            .map(|name| std::fs::read(scratch.path("pki").join(name)).unwrap())
    };
    let before = read();
    for line in ["pki init --dir pki", "pki issue --dir pki --role operator --name ops"] {
        let ended = scratch.run(line);
        assert!(ended.code == 2 && ended.stderr.contains("IL-0010"), "{ended:?}");
    }
    // Half a pair is as precious as a whole one.
    std::fs::remove_file(scratch.path("pki/operator-ops.key")).unwrap();
    assert_eq!(scratch.run("pki issue --dir pki --role operator --name ops").code, 2);
    assert!(!scratch.path("pki/operator-ops.key").exists());
    std::fs::write(scratch.path("pki/operator-ops.key"), &before[3]).unwrap();
    assert!(read() == before);
}

#[test]
fn bad_input_is_refused_by_name() {
    let scratch = Scratch::new();
    scratch.run("pki init --dir pki");
    scratch.write("pki-file", "");
    std::fs::create_dir(scratch.path("broken")).unwrap();
    scratch.write("broken/ca.pem", "not a certificate");
    scratch.write("broken/ca.key", "not a key");
    let transcript = scratch.transcript(&[
        "pki issue --dir pki --role king --name alpha",
        "pki issue --dir pki --role signer --name Alpha",
        "pki issue --dir pki --role signer --name a.b",
        "pki issue --dir pki --role node --name one",
        "pki issue --dir pki --role node --name 0",
        "pki issue --dir pki --role node --name 01",
        "pki issue --dir nowhere --role node --name 1",
        "pki issue --dir broken --role node --name 1",
        "pki init --dir pki-file",
        "pki init --dir pki",
    ]);
    golden("pki-errors.txt", &transcript);
    assert_eq!(scratch.names("pki"), ["ca.key", "ca.pem"]);
}
