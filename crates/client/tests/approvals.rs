//! What a call is told when the guard misbehaves: the outcome classes are never mixed.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use interlock_client::fake_guard::{Answer, CLUSTER, FakeGuard};
use interlock_client::{
    ApproveOutcome, Channels, EchoMismatch, Guard, LeaderClient, ReleaseOutcome, UnknownCause,
};
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::{Digest, Epoch, Incarnation, Intent, KeyId, NodeName};
use interlock_proto::Role;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

const ALPHA: Incarnation = Incarnation([1; 16]);
/// Long enough for a busy machine; every attempt that must fail by timeout takes exactly this long.
const ATTEMPT: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(15);
/// For calls that are expected to run out of time.
const SHORT: Duration = Duration::from_millis(1_200);

struct World {
    fake: FakeGuard,
    guard: Guard,
    key: KeyId,
}

impl World {
    async fn new() -> Self {
        let fake = FakeGuard::start(3).await;
        let key = fake.add_key("val", "chain-1", &[3; 32], &["alpha", "beta"], 0);
        fake.grant(key, "alpha", ALPHA);
        let tls = fake.tls("alpha", Role::Signer).load().unwrap();
        let leader = LeaderClient::new(Channels::new(&fake.endpoints, &tls).unwrap());
        let guard = Guard::new(leader, CLUSTER, ALPHA, ATTEMPT);
        Self { fake, guard, key }
    }

    async fn approve(&self, height: u64, payload: u8) -> ApproveOutcome {
        self.approve_within(height, payload, DEADLINE).await
    }

    async fn approve_within(&self, height: u64, payload: u8, limit: Duration) -> ApproveOutcome {
        self.guard.approve(self.key, Epoch(1), &intent(height, payload), Instant::now() + limit).await
    }

    fn asked(&self) -> Vec<u64> {
        self.fake.shared.inner().asked.iter().map(|(node, _)| *node).collect()
    }
}

fn intent(height: u64, payload: u8) -> Intent {
    Intent::Cometbft(CometbftIntent {
        position: Position { height, round: 0, step: Step::Prevote },
        block: Some(Digest([payload; 32])),
        payload: Digest([payload; 32]),
        timestamp: Timestamp { seconds: 100, nanos: 0 },
        node: NodeName::parse("node-a").unwrap(),
    })
}

#[track_caller]
fn permitted(outcome: ApproveOutcome) -> interlock_client::Permit {
    let ApproveOutcome::Permitted(permit) = outcome else { panic!("{outcome:?}") };
    permit
}

#[tokio::test]
async fn a_verdict_of_the_leader_is_passed_on() {
    let world = World::new().await;
    let permit = permitted(world.approve(5, 1).await);
    assert_eq!((permit.position().height(), permit.payload()), (5, Digest([1; 32])));
    assert!(permitted(world.approve(5, 1).await).is_repeat());

    let ApproveOutcome::Denied { refusal, after_unknown: false } = world.approve(5, 2).await else {
        panic!("a double sign was not denied")
    };
    assert_eq!(refusal.rule, 11);
    assert!(refusal.message.starts_with("R11 NoConflict: double sign"), "{refusal}");
    assert_eq!(world.asked(), [1, 1, 1]);
}

#[tokio::test]
async fn the_hint_is_followed_and_remembered() {
    let world = World::new().await;
    world.fake.set_leader(Some(3));
    permitted(world.approve(5, 1).await);
    permitted(world.approve(6, 1).await);
    assert_eq!(world.asked(), [1, 3, 3]);
}

#[tokio::test]
async fn nodes_without_a_leader_are_unavailable_and_asked_with_pauses() {
    let world = World::new().await;
    world.fake.set_leader(None);
    let outcome = world.approve_within(5, 1, SHORT).await;
    assert!(matches!(outcome, ApproveOutcome::Unavailable { .. }), "{outcome:?}");
    let asked = world.asked().len();
    assert!((3..100).contains(&asked), "{asked} attempts");

    world.fake.set_leader(Some(2));
    permitted(world.approve(5, 1).await);
}

#[tokio::test]
async fn two_nodes_that_point_at_each_other_are_not_asked_in_a_spin() {
    let world = World::new().await;
    world.fake.set_leader(None);
    for _ in 0..500 {
        world.fake.script(1, Answer::NotCommitted { hint: Some(2) });
        world.fake.script(2, Answer::NotCommitted { hint: Some(1) });
    }
    let outcome = world.approve_within(5, 1, SHORT).await;
    assert!(matches!(outcome, ApproveOutcome::Unavailable { .. }), "{outcome:?}");
    let asked = world.asked().len();
    assert!((3..200).contains(&asked), "{asked} attempts");
}

#[tokio::test]
async fn unreachable_nodes_are_unavailable() {
    let world = World::new().await;
    (1..=3).for_each(|node| world.fake.set_up(node, false));
    let outcome = world.approve_within(5, 1, SHORT).await;
    assert!(matches!(outcome, ApproveOutcome::Unavailable { .. }), "{outcome:?}");
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over() {
    let world = World::new().await;
    world.fake.set_up(1, false);
    world.fake.set_leader(Some(2));
    permitted(world.approve(5, 1).await);
}

#[tokio::test]
async fn a_leader_that_hangs_costs_one_attempt_and_a_later_verdict_counts() {
    let world = World::new().await;
    world.fake.script(1, Answer::Hang { commit: true });
    world.fake.script(2, Answer::NotCommitted { hint: None });
    let permit = permitted(world.approve(5, 1).await);
    assert!(permit.is_repeat(), "the first attempt was committed");
    assert_eq!(&world.asked()[..2], [1, 2]);
}

#[tokio::test]
async fn an_unknown_attempt_makes_the_call_unknown() {
    for answer in
        [Answer::Hang { commit: false }, Answer::Cut { commit: true }, Answer::Status(Code::Unavailable)]
    {
        let world = World::new().await;
        world.fake.script(1, answer);
        world.fake.set_leader(None);
        let outcome = world.approve_within(5, 1, SHORT).await;
        let unknown = matches!(outcome, ApproveOutcome::Unknown(UnknownCause::NoVerdict(_)));
        assert!(unknown, "{outcome:?}");
        assert!(world.asked().len() > 1, "other nodes were asked too");
    }
}

#[tokio::test]
async fn a_denial_after_an_unknown_attempt_says_so() {
    let world = World::new().await;
    world.fake.script(1, Answer::Cut { commit: false });
    world.fake.grant(world.key, "beta", Incarnation([2; 16]));
    let outcome = world.approve(5, 1).await;
    let ApproveOutcome::Denied { refusal, after_unknown: true } = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.rule, 4);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_used_twice() {
    let world = World::new().await;
    world.fake.script(1, Answer::Late(ATTEMPT * 4));
    let permit = permitted(world.approve(5, 1).await);
    assert!(permit.is_repeat());
    let heights: Vec<_> = world.fake.shared.inner().asked.iter().map(|(_, r)| r.intent.clone()).collect();
    assert!(heights.windows(2).all(|pair| pair[0] == pair[1]), "every attempt asks for the same");
}

fn elsewhere() -> interlock_proto::v1::Position {
    interlock_proto::any_position_to_wire(interlock_core::Position::Generic([5, 0, 0]))
}

#[tokio::test]
async fn a_wrong_echo_is_never_a_permit() {
    type Case = (fn(&mut interlock_proto::v1::Approved), fn(&EchoMismatch) -> bool);
    let cases: [Case; 5] = [
        (|a| a.cluster_id = vec![9; 16], |e| matches!(e, EchoMismatch::Cluster { .. })),
        (|a| a.key_id = vec![9; 32], |e| matches!(e, EchoMismatch::Key { .. })),
        (|a| a.position = Some(elsewhere()), |e| matches!(e, EchoMismatch::Position { .. })),
        (|a| a.payload = vec![9; 32], |e| matches!(e, EchoMismatch::Payload { .. })),
        (|a| a.epoch += 1, |e| matches!(e, EchoMismatch::Epoch { .. })),
    ];
    let world = World::new().await;
    for (height, (change, expected)) in (5..).zip(cases) {
        world.fake.script(1, Answer::Change(change));
        let outcome = world.approve(height, 1).await;
        let ApproveOutcome::Unknown(UnknownCause::Echo(mismatch)) = &outcome else { panic!("{outcome:?}") };
        assert!(expected(mismatch), "{mismatch}");
    }
}

#[tokio::test]
async fn malformed_and_rejected_answers_are_unknown() {
    let world = World::new().await;
    world.fake.script(1, Answer::Empty);
    assert!(matches!(world.approve(5, 1).await, ApproveOutcome::Unknown(UnknownCause::Empty)));
    world.fake.script(1, Answer::Change(|a| a.payload = vec![1]));
    assert!(matches!(world.approve(5, 1).await, ApproveOutcome::Unknown(UnknownCause::Malformed(_))));
    world.fake.script(1, Answer::Status(Code::PermissionDenied));
    assert!(matches!(world.approve(5, 1).await, ApproveOutcome::Unknown(UnknownCause::Rejected(_))));
}

#[tokio::test]
async fn a_lease_is_given_back_once() {
    let world = World::new().await;
    let release = |epoch| world.guard.release(world.key, Epoch(epoch), Instant::now() + DEADLINE);
    assert!(matches!(release(9).await, ReleaseOutcome::Denied(_)));
    assert_eq!(release(1).await, ReleaseOutcome::Released);
    assert_eq!(world.fake.holder(world.key), None);
    assert_eq!(release(1).await, ReleaseOutcome::Released, "a duplicate is harmless");
}

#[tokio::test]
async fn a_server_with_the_certificate_of_another_node_is_not_used() {
    let world = World::new().await;
    let mut swapped = world.fake.endpoints.clone();
    swapped.truncate(1);
    swapped[0].id = 2;
    let tls = world.fake.tls("alpha", Role::Signer).load().unwrap();
    let leader = LeaderClient::new(Channels::new(&swapped, &tls).unwrap());
    let guard = Guard::new(leader, CLUSTER, ALPHA, ATTEMPT);
    let outcome = guard.approve(world.key, Epoch(1), &intent(5, 1), Instant::now() + SHORT).await;
    assert!(matches!(outcome, ApproveOutcome::Unavailable { .. }), "{outcome:?}");
    assert!(world.asked().is_empty());
}
