//! Floors: each key needs a word, and no word lowers anything.

use super::super::tests::{add, cometbft, state};
use super::*;
use interlock_core::cometbft::{ClaimedMessage, Position, Step};
use interlock_core::{Action, Command, Digest};

fn floor_of(claim: &Claim) -> u64 {
    match claim {
        Claim::Cometbft(claim) => claim.floor_height,
        other => panic!("{other:?}"),
    }
}

fn watermark(command: &Command, file: &str) -> FloorSource {
    let position = Position { height: 120, round: 0, step: Step::Prevote };
    let signed = Some(ClaimedMessage { position, content: None, block: None });
    let claim = Claim::Cometbft(CometbftClaim { floor_height: 100, signed });
    FloorSource::Watermark { key: command.key, claim, file: file.into() }
}

#[test]
fn without_a_word_on_each_key_nothing_is_restored() {
    let (one, two) = (cometbft("one", "a"), cometbft("two", "b"));
    let state = state(&[one, two]);
    let uncovered = |sources: &[FloorSource]| match floors(&state, sources).unwrap_err() {
        FloorError::Uncovered { name, .. } => name.to_string(),
        other => panic!("{other}"),
    };
    assert!(["one", "two"].contains(&uncovered(&[]).as_str()));
    let head = |chain: &str| FloorSource::Head { chain_id: chain.into(), height: 500 };
    assert_eq!(uncovered(&[head("a")]), "two");
    let both = floors(&state, &[head("a"), head("b")]).unwrap();
    assert_eq!(both.iter().map(|(_, claim)| floor_of(claim)).collect::<Vec<_>>(), [524, 524]);
    assert_eq!(floors(&state, &[head("c")]), Err(FloorError::UnknownChain("c".into())));
}

/// The other signer may have signed more than the one whose watermark was found.
#[test]
fn watermarks_count_only_when_every_signer_gave_one() {
    let add = cometbft("val", "a");
    let state = state(std::slice::from_ref(&add));
    let one = floors(&state, &[watermark(&add, "alpha")]).unwrap_err();
    assert!(matches!(one, FloorError::Uncovered { watermarks: 1, signers: 2, .. }), "{one}");
    let twice = floors(&state, &[watermark(&add, "alpha"), watermark(&add, "alpha")]);
    assert!(twice.is_err(), "one file twice is one signer");
    assert_eq!(floors(&state, &[watermark(&add, "alpha"), watermark(&add, "beta")]).unwrap().len(), 2);
    let with_claim = floors(&state, &[watermark(&add, "alpha"), FloorSource::Bump { heights: 1 }]).unwrap();
    assert_eq!(with_claim.len(), 2, "what is known besides counts too");
}

#[test]
fn a_retired_key_needs_no_word() {
    let add = cometbft("val", "a");
    let retire = Action::Retire { expected_version: 1, reason: "old".parse().unwrap() };
    let state = state(&[add.clone(), Command { action: retire, ..add }]);
    assert_eq!(floors(&state, &[]), Ok(Vec::new()));
}

#[test]
fn a_bump_excludes_every_attestation_that_could_surround() {
    let chain = ChainIdentity::Ethereum { genesis_validators_root: Digest([4; 32]) };
    let epochs = Some(ClaimedEpochs { source_epoch: 9, target_epoch: 10 });
    let claim = Claim::Ethereum(EthereumClaim { slot: Some(300), epochs });
    let state = state(&[add("eth", chain, claim, &["alpha"])]);
    let found = floors(&state, &[FloorSource::Bump { heights: 64 }]).unwrap();
    // The record reaches slot 320, the first of epoch 10.
    let epochs = Some(ClaimedEpochs { source_epoch: 11, target_epoch: 12 });
    assert_eq!(found[0].1, Claim::Ethereum(EthereumClaim { slot: Some(384), epochs }));
}

#[test]
fn sources_that_do_not_fit_are_named() {
    let state = state(&[cometbft("val", "a")]);
    let claim = |name: &str, claim| FloorSource::Claim { key: name.parse().unwrap(), claim };
    let ethereum = Claim::Ethereum(EthereumClaim::default());
    let other = floors(&state, &[claim("val", ethereum)]).unwrap_err();
    assert!(matches!(other, FloorError::OtherProtocol { protocol: Protocol::Cometbft, .. }), "{other}");
    let floor = Claim::Cometbft(CometbftClaim::floor(1));
    assert_eq!(floors(&state, &[claim("vla", floor)]), Err(FloorError::UnknownKey("vla".into())));
    assert_eq!(floors(&state, &[FloorSource::Bump { heights: 0 }]), Err(FloorError::NoBump));
    let bump = FloorSource::Bump { heights: u64::MAX };
    assert!(matches!(floors(&state, &[bump]), Err(FloorError::TooHigh { .. })));
}
