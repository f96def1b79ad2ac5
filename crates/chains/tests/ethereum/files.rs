//! Interchange files by hand: what is understood, what is refused and how the refusal names the field.

use interlock_chains::ethereum::interchange::{Interchange, InterchangeError};
use interlock_core::ethereum::{AttestationMark, BlockMark, ClaimedEpochs, EthereumClaim, EthereumRecord};
use interlock_core::{Digest, PublicKey};

const NETWORK: Digest = Digest([4; 32]);

fn public_key(byte: u8) -> PublicKey {
    PublicKey::new(&[byte; 48]).unwrap()
}

/// A file with these records, each as JSON.
fn file(records: &str) -> String {
    let root = format!("0x{NETWORK}");
    format!(
        r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"{root}"}},"data":[{records}]}}"#
    )
}

fn record(byte: u8, blocks: &str, attestations: &str) -> String {
    let key = hex::encode([byte; 48]);
    format!(r#"{{"pubkey":"0x{key}","signed_blocks":[{blocks}],"signed_attestations":[{attestations}]}}"#)
}

fn parse(text: &str) -> Result<Interchange, InterchangeError> {
    Interchange::parse(text, NETWORK)
}

#[test]
fn maxima_are_taken_over_all_records_of_a_key() {
    let blocks = r#"{"slot":"7"},{"slot":"3"}"#;
    let attestations = r#"{"source_epoch":"2","target_epoch":"9"},{"source_epoch":"5","target_epoch":"6"}"#;
    let records =
        [record(1, blocks, attestations), record(2, "", ""), record(1, r#"{"slot":"8"}"#, "")].join(",");
    let claims = parse(&file(&records)).unwrap().claims();
    let epochs = Some(ClaimedEpochs { source_epoch: 5, target_epoch: 9 });
    assert_eq!(claims[&public_key(1)], EthereumClaim { slot: Some(8), epochs });
    assert_eq!(claims[&public_key(2)], EthereumClaim { slot: None, epochs: None });
    assert_eq!(claims.len(), 2);
}

/// No valid attestation is like that; what it excludes stays excluded.
#[test]
fn a_source_after_its_target_raises_the_target_as_well() {
    let record = record(1, "", r#"{"source_epoch":"8","target_epoch":"7"}"#);
    let epochs = Some(ClaimedEpochs { source_epoch: 8, target_epoch: 8 });
    let claims = parse(&file(&record)).unwrap().claims();
    assert_eq!(claims[&public_key(1)], EthereumClaim { slot: None, epochs });
}

#[test]
fn what_is_written_is_read_again() {
    let root = Some(Digest([6; 32]));
    let full = EthereumRecord {
        block: Some(BlockMark { slot: u64::MAX, signing_root: root }),
        attestation: Some(AttestationMark { source_epoch: 0, target_epoch: 3, signing_root: None }),
    };
    let keys = [(public_key(1), full), (public_key(2), EthereumRecord::default())];
    let written = Interchange::of_records(NETWORK, keys.iter().map(|(key, record)| (key, record)));
    assert_eq!(parse(&written.to_json()), Ok(written.clone()));
    let claims = written.claims();
    let epochs = Some(ClaimedEpochs { source_epoch: 0, target_epoch: 3 });
    assert_eq!(claims[&public_key(1)], EthereumClaim { slot: Some(u64::MAX), epochs });
    assert_eq!(claims[&public_key(2)], EthereumClaim::default());
}

/// The schema allows more fields than it names; `null` for a root says as much as no root.
#[test]
fn fields_that_the_format_does_not_know_are_passed_over() {
    let text = file(&record(1, r#"{"slot":"7","signing_root":null,"note":"x"}"#, ""));
    let text = text.replacen('{', r#"{"exported_by":{"name":"y"},"#, 1);
    let blocks = &parse(&text).unwrap().records[0].blocks;
    assert_eq!(blocks, &[BlockMark { slot: 7, signing_root: None }]);
}

#[test]
fn a_number_that_is_not_plain_digits_is_refused_by_name() {
    for found in ["", "+7", "-7", "07", "7.0", "0x7", " 7", "1e3", "18446744073709551616"] {
        let block = record(1, &format!(r#"{{"slot":"1"}},{{"slot":"{found}"}}"#), "");
        let field = "data[1].signed_blocks[1].slot".to_owned();
        let refused = InterchangeError::Number { field, found: found.to_owned() };
        assert_eq!(parse(&file(&format!("{},{block}", record(2, "", "")))), Err(refused));
        for (source, target, name) in [(found, "1", "source_epoch"), ("1", found, "target_epoch")] {
            let attestation = format!(r#"{{"source_epoch":"{source}","target_epoch":"{target}"}}"#);
            let field = format!("data[0].signed_attestations[0].{name}");
            let refused = InterchangeError::Number { field, found: found.to_owned() };
            assert_eq!(parse(&file(&record(1, "", &attestation))), Err(refused));
        }
    }
}

#[test]
fn bytes_that_are_not_hexadecimal_of_the_right_length_are_refused_by_name() {
    let root = "0x".to_owned() + &"ab".repeat(32);
    for found in [&root[2..], &root[..64], "", "0x", &root.replace('a', "g"), &(root.clone() + "00")] {
        let signing_root = format!(r#"{{"slot":"1","signing_root":"{found}"}}"#);
        let field = "data[0].signed_blocks[0].signing_root".to_owned();
        let refused = InterchangeError::Hexadecimal { field, found: found.to_owned(), bytes: 32 };
        assert_eq!(parse(&file(&record(1, &signing_root, ""))), Err(refused));
        let text = file("").replace(&format!("0x{NETWORK}"), found);
        let field = "metadata.genesis_validators_root".to_owned();
        let refused = InterchangeError::Hexadecimal { field, found: found.to_owned(), bytes: 32 };
        assert_eq!(parse(&text), Err(refused));
    }
    let text = file(&record(1, "", "")).replace(&hex::encode([1; 48]), &hex::encode([1; 47]));
    let refused = parse(&text).unwrap_err().to_string();
    assert!(refused.starts_with("data[0].pubkey is \"0x01"), "{refused}");
    assert!(parse(&file(&record(1, &format!(r#"{{"slot":"1","signing_root":"{root}"}}"#), ""))).is_ok());
}

#[test]
fn another_network_or_version_is_refused_with_both_values() {
    let ours = Digest([5; 32]);
    let refused = InterchangeError::OtherNetwork { ours, found: NETWORK };
    assert_eq!(Interchange::parse(&file(""), ours), Err(refused));
    for found in ["4", "6", "5.0", ""] {
        let text = file("").replace(r#""5""#, &format!("{found:?}"));
        assert_eq!(parse(&text), Err(InterchangeError::Version { found: found.to_owned() }));
    }
}

/// Reading an absent list as empty, or the second of two slots, would sign what was signed already.
#[test]
fn absent_fields_fields_given_twice_and_bare_numbers_are_refused() {
    let slot_twice = file(&record(1, r#"{"slot":"9","slot":"1"}"#, ""));
    let whole = file(&record(1, r#"{"slot":"9"}"#, r#"{"source_epoch":"1","target_epoch":"2"}"#));
    let mut refused = vec![
        ("duplicate field `slot`", slot_twice),
        ("invalid type: integer", whole.replace(r#""9""#, "9")),
        ("invalid type: null", whole.replace(r#"[{"slot":"9"}]"#, "null")),
        ("EOF", whole[..whole.len() - 1].to_owned()),
        ("trailing characters", whole.clone() + "{}"),
        ("expected value", String::new() + "x"),
    ];
    for field in ["metadata", "data", "interchange_format_version", "genesis_validators_root"]
        .into_iter()
        .chain(["pubkey", "signed_blocks", "signed_attestations", "slot", "source_epoch", "target_epoch"])
    {
        refused.push(("missing field", whole.replace(&format!("\"{field}\":"), "\"other\":")));
    }
    assert!(parse(&whole).is_ok());
    for (reason, text) in refused {
        match parse(&text) {
            Err(InterchangeError::Shape { reason: found }) => assert!(found.contains(reason), "{found}"),
            other => panic!("{text} gave {other:?}"),
        }
    }
}
