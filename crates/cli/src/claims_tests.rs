//! Claims as operators write them: what is not said is asked for.

use super::*;

fn flags(change: impl FnOnce(&mut ClaimFlags)) -> ClaimFlags {
    let mut flags = ClaimFlags::default();
    change(&mut flags);
    flags
}

fn refused(protocol: Protocol, flags: &ClaimFlags) -> String {
    claim(protocol, flags).unwrap_err().to_string()
}

#[test]
fn without_a_claim_every_protocol_asks_for_its_own() {
    for (protocol, flag) in [
        (Protocol::Cometbft, "--at-height"),
        (Protocol::Ethereum, "--at-slot and --at-epochs"),
        (Protocol::Tezos, "--at-level"),
        (Protocol::Generic, "--at-height and --at-position"),
    ] {
        let message = refused(protocol, &ClaimFlags::default());
        assert!(message.contains(&format!("give {flag}, or --never-signed")), "{message}");
        assert!(claim(protocol, &flags(|flags| flags.never_signed = true)).is_ok());
    }
}

#[test]
fn half_an_ethereum_claim_is_none() {
    let slot_only = flags(|flags| flags.at_slot = Some("7".into()));
    assert!(refused(Protocol::Ethereum, &slot_only).contains("--at-epochs is missing"));
    let both = flags(|flags| {
        flags.at_slot = Some("none".into());
        flags.at_epochs = Some("3/4".into());
    });
    let epochs = Some(ClaimedEpochs { source_epoch: 3, target_epoch: 4 });
    assert_eq!(
        claim(Protocol::Ethereum, &both).unwrap(),
        Claim::Ethereum(EthereumClaim { slot: None, epochs })
    );
    for wrong in ["3", "3/", "/4", "3/4/5", "-1/4", "a/b"] {
        let flags = flags(|flags| {
            flags.at_slot = Some("none".into());
            flags.at_epochs = Some(wrong.into());
        });
        assert!(refused(Protocol::Ethereum, &flags).contains("--at-epochs"), "{wrong}");
    }
}

#[test]
fn a_claim_of_another_protocol_and_a_contradiction_are_refused() {
    let level = flags(|flags| flags.at_level = Some(7));
    assert!(refused(Protocol::Cometbft, &level).contains("--at-level says nothing about a cometbft key"));
    let both = flags(|flags| {
        flags.at_height = Some(7);
        flags.never_signed = true;
    });
    assert!(refused(Protocol::Cometbft, &both).contains("contradicts --never-signed"));
}

#[test]
fn a_short_position_excludes_everything_under_it() {
    let at = |text: &str| claim(Protocol::Generic, &flags(|flags| flags.at_position = Some(text.into())));
    let newest = |claim| match claim {
        Ok(Claim::Generic(GenericClaim { newest, floor_height: None })) => newest,
        other => panic!("{other:?}"),
    };
    assert_eq!(newest(at("5")), Some([5, u64::MAX, u64::MAX]));
    assert_eq!(newest(at("5/0/1")), Some([5, 0, 1]));
    assert!(at("5/0/1/2").is_err() && at("5//1").is_err() && at("").is_err());
}

#[test]
fn an_export_is_the_reach_and_reads_back_as_a_claim() {
    let key = v1::Key {
        name: "val".into(),
        protocol: "cometbft".into(),
        floor_height: 5,
        window_up_to_height: Some(12),
        reach_height: 12,
        ..v1::Key::default()
    };
    let line = serde_json::to_string(&reach(&key).unwrap()).unwrap();
    assert_eq!(line, r#"{"name":"val","protocol":"cometbft","at_height":12}"#);
    let read: KeyClaim = serde_json::from_str(&line).unwrap();
    assert_eq!(read.claim().unwrap(), Claim::Cometbft(CometbftClaim::floor(12)));

    let ethereum = v1::Key { protocol: "ethereum".into(), reach_height: 0, ..key.clone() };
    let claim = reach(&ethereum).unwrap();
    assert_eq!((claim.at_slot.as_deref(), claim.at_epochs.as_deref()), (Some("none"), Some("none")));
    let tezos = v1::Key { protocol: "tezos".into(), reach_height: 0, ..key };
    let claim = reach(&tezos).unwrap();
    assert_eq!((claim.at_level, claim.never_signed), (Some(0), false), "a floor of 0 is not lost");
}

#[test]
fn a_line_with_a_typing_error_is_refused() {
    assert!(serde_json::from_str::<KeyClaim>(r#"{"name":"v","protocol":"cometbft","at_hight":7}"#).is_err());
    let empty: KeyClaim = serde_json::from_str(r#"{"name":"v","protocol":"cometbft"}"#).unwrap();
    assert!(empty.claim().is_err());
}
