//! A permit for one message never signs another. Permits come from a guard: there is no other way to get one.

use super::*;
use ed25519_dalek::Verifier as _;
use interlock_chains::cometbft::parse_sign_vote;
use interlock_client::fake_guard::{CLUSTER, FakeGuard, PATIENCE};
use interlock_client::{ApproveOutcome, Channels, Guard, LeaderClient};
use interlock_core::{Epoch, Incarnation, NodeName};
use interlock_privval::{
    BlockId, PartSetHeader, SignVoteRequest, SignedMsgType, Timestamp as WireTime, Vote,
};
use interlock_proto::Role;

const ALPHA: Incarnation = Incarnation([1; 16]);

fn backend(seed: u8) -> Backend {
    let signing_key = SigningKey::from_bytes(&[seed; 32]);
    let public_key = PublicKey::new(signing_key.verifying_key().as_bytes()).unwrap();
    let chain = ChainIdentity::Cometbft(ChainId::parse("chain-1").unwrap());
    Backend::File(FileBackend { key: KeyId::of(&chain, &public_key), signing_key })
}

fn vote(height: i64, block: u8, seconds: i64) -> Guarded {
    let part_set_header = PartSetHeader { total: 1, hash: vec![block; 32] };
    let vote = Vote {
        msg_type: SignedMsgType::Prevote.into(),
        height,
        block_id: BlockId { hash: vec![block; 32], part_set_header },
        timestamp: Some(WireTime { seconds, nanos: 0 }),
        ..Vote::default()
    };
    let request = SignVoteRequest { vote: Some(vote), chain_id: "chain-1".to_owned() };
    let node = NodeName::parse("node-a").unwrap();
    Guarded::Vote(parse_sign_vote(&ChainId::parse("chain-1").unwrap(), request, &node).unwrap())
}

async fn permit_for(fake: &FakeGuard, key: KeyId, message: &Guarded) -> Permit {
    let tls = fake.tls("alpha", Role::Signer).load().unwrap();
    let leader = LeaderClient::new(Channels::new(&fake.endpoints, &tls).unwrap());
    let guard = Guard::new(leader, CLUSTER, ALPHA, PATIENCE);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    match guard.approve(key, Epoch(1), &message.intent(), deadline).await {
        ApproveOutcome::Permitted(permit) => permit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_permit_signs_its_own_message_with_the_approved_time_and_no_other() {
    let fake = FakeGuard::start(1).await;
    let ours = backend(1);
    let key = fake.add_key("val", "chain-1", &ours.public_key(), &["alpha"], 0);
    assert_eq!(key, ours.key());
    fake.grant(key, "alpha", ALPHA);
    let message = vote(5, 1, 100);

    let permit = permit_for(&fake, key, &message).await;
    let computed = vote(5, 2, 100).payload();
    let refused = ours.sign(permit, &vote(5, 2, 100)).unwrap_err();
    assert_eq!(refused, SignError::Payload { permitted: message.payload(), computed });

    let permit = permit_for(&fake, key, &message).await;
    assert!(matches!(ours.sign(permit, &vote(6, 1, 100)), Err(SignError::Position { .. })));

    let permit = permit_for(&fake, key, &message).await;
    assert!(matches!(backend(2).sign(permit, &message), Err(SignError::Key { .. })));

    let permit = permit_for(&fake, key, &message).await;
    let signed = ours.sign(permit, &vote(5, 1, 999)).unwrap();
    assert_eq!(signed.timestamp.seconds, 100);
    let Guarded::Vote(at_approved_time) = &message else { unreachable!() };
    assert_eq!(signed.sign_bytes, at_approved_time.sign_bytes(signed.timestamp));
    let signature = ed25519_dalek::Signature::from_slice(&signed.signature).unwrap();
    let Backend::File(file) = &ours;
    file.signing_key.verifying_key().verify(signed.sign_bytes.as_bytes(), &signature).unwrap();
}

#[test]
fn a_backend_prints_no_key() {
    let printed = format!("{:?}", backend(7));
    for secret in [hex::encode([7; 32]), format!("{:?}", [7_u8; 32])] {
        assert!(!printed.contains(&secret), "{printed}");
    }
}
