//! Restored records: quarantined, raised, and never lower than before.

use super::*;
use interlock_core::cometbft::{
    CometbftClaim, CometbftIntent, Position as CometbftPosition, Step, Timestamp,
};
use interlock_core::command::AddKey;
use interlock_core::{
    ChainIdentity, Digest, Epoch, Holder, Incarnation, Intent, KeyState, Policy, PublicKey, Rule,
};

pub(super) const OLD: ClusterId = ClusterId([1; 16]);
const NEW: ClusterId = ClusterId([2; 16]);

pub(super) fn add(name: &str, chain: ChainIdentity, claim: Claim, signers: &[&str]) -> Command {
    let signers = signers.iter().map(|name| name.parse().unwrap()).collect();
    let policy = Policy::default();
    let public_key = PublicKey::new(&[7; 32]).unwrap();
    AddKey { name: name.parse().unwrap(), chain, public_key, signers, claim, policy }.into_command(OLD)
}

pub(super) fn cometbft(name: &str, chain: &str) -> Command {
    let chain = ChainIdentity::Cometbft(chain.parse().unwrap());
    add(name, chain, Claim::Cometbft(CometbftClaim::floor(100)), &["alpha", "beta"])
}

pub(super) fn state(commands: &[Command]) -> State {
    let mut state = State::genesis(OLD);
    for (log_index, command) in (1..).zip(commands) {
        let verdict = state.apply(LogPosition { log_index, item: 0 }, command);
        assert!(!matches!(verdict, Verdict::Denied(_)), "{verdict:?}");
    }
    state
}

fn holder() -> Holder {
    Holder { signer: "alpha".parse().unwrap(), incarnation: Incarnation([9; 16]) }
}

fn approve(height: u64, payload: u8) -> Action {
    let intent = CometbftIntent {
        position: CometbftPosition { height, round: 0, step: Step::Prevote },
        block: Some(Digest([payload; 32])),
        payload: Digest([payload; 32]),
        timestamp: Timestamp { seconds: 1, nanos: 0 },
        node: "node".parse().unwrap(),
    };
    Action::Approve { holder: holder(), epoch: Epoch(1), intent: Intent::Cometbft(intent) }
}

/// The disaster that restoring has to survive: the backup stands at height 101, the key signed 106 afterwards.
#[test]
fn a_restored_record_refuses_what_was_signed_after_the_backup() {
    let add = cometbft("val", "chain");
    let key = add.key;
    let acquire = Action::Acquire { holder: holder(), expected_epoch: Epoch(0) };
    let command = |action| Command { cluster: OLD, key, action };
    let backup = state(&[add, command(acquire), command(approve(101, 1))]);

    let sources = [FloorSource::Bump { heights: 10 }];
    let claims = floors::floors(&backup, &sources).unwrap();
    let reason: Reason = "restored".parse().unwrap();
    let mut restored = continued(&backup, NEW, &claims, &reason).unwrap();

    assert_eq!(restored.cluster(), NEW);
    let record = restored.key(key).unwrap();
    assert!(matches!(record.state, KeyState::Quarantined { .. }));
    assert_eq!((record.holder.clone(), record.reach_height()), (None, 111));

    let mut index = 10;
    let mut rule = |state: &mut State, action| {
        index += 1;
        state.apply(LogPosition { log_index: index, item: 0 }, &Command { cluster: NEW, key, action }).rule()
    };
    let acquire = |epoch| Action::Acquire { holder: holder(), expected_epoch: Epoch(epoch) };
    assert_eq!(rule(&mut restored, acquire(1)), Rule::KeyActive);
    let expected_version = restored.key(key).unwrap().version;
    let lift = Action::LiftQuarantine { expected_version, attestation: reason };
    assert_eq!(rule(&mut restored, lift), Rule::KeyChanged);
    assert_eq!(rule(&mut restored, acquire(1)), Rule::LeaseGranted);
    let other_block = |height| match approve(height, 2) {
        Action::Approve { holder, intent, .. } => Action::Approve { holder, epoch: Epoch(2), intent },
        _ => unreachable!("it approves"),
    };
    assert_eq!(rule(&mut restored, other_block(106)), Rule::AboveFloor);
    assert_eq!(rule(&mut restored, other_block(111)), Rule::AboveFloor);
    assert_eq!(rule(&mut restored, other_block(112)), Rule::Advance);
}

/// A floor below the record changes nothing, and is no reason to fail.
#[test]
fn a_low_claim_lowers_nothing() {
    let add = cometbft("val", "chain");
    let key = add.key;
    let before = state(&[add]);
    let claim = Claim::Cometbft(CometbftClaim::floor(3));
    let restored = continued(&before, NEW, &[(key, claim)], &"r".parse().unwrap()).unwrap();
    assert_eq!(restored.key(key).unwrap().watermark, before.key(key).unwrap().watermark);
}
