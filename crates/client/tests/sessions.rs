//! Sessions: what they report, what they learn, and how they come back.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use interlock_client::fake_guard::{CLUSTER, FakeGuard, PATIENCE};
use interlock_client::{
    Channels, KeyHealth, KeyView, LeaderClient, SessionIdentity, SessionSettings, Sessions,
};
use interlock_core::cometbft::{Position, Step};
use interlock_core::{ClusterId, Epoch, Incarnation, KeyId};
use interlock_proto::Role;
use std::time::Duration;
use tokio::sync::watch;

const ALPHA: Incarnation = Incarnation([1; 16]);

struct World {
    fake: FakeGuard,
    leader: LeaderClient,
    sessions: Sessions,
    health: watch::Sender<Vec<KeyHealth>>,
    key: KeyId,
}

impl World {
    async fn new(welcome_cluster: ClusterId) -> Self {
        Self::with_hello_checked(welcome_cluster, false).await
    }

    async fn with_hello_checked(welcome_cluster: ClusterId, check_hello: bool) -> Self {
        let fake = FakeGuard::start(3).await;
        fake.shared.inner().check_hello = check_hello;
        fake.shared.inner().welcome_cluster = welcome_cluster;
        let key = fake.add_key("val", "chain-1", &[3; 32], &["alpha"], 0);
        let tls = fake.tls("alpha", Role::Signer).load().unwrap();
        let leader = LeaderClient::new(Channels::new(&fake.endpoints, &tls).unwrap());
        let (health, receiver) = watch::channel(vec![health_of(key, None)]);
        let identity = SessionIdentity { cluster: CLUSTER, incarnation: ALPHA, keys: vec![key] };
        let settings = SessionSettings {
            heartbeat_interval: Duration::from_millis(50),
            stall_timeout: Duration::from_millis(1_000),
        };
        let sessions = Sessions::start(leader.clone(), identity, settings, receiver);
        Self { fake, leader, sessions, health, key }
    }

    async fn view(&self, condition: impl FnMut(&Option<KeyView>) -> bool) -> KeyView {
        let mut view = self.sessions.view(self.key).unwrap();
        let found = tokio::time::timeout(PATIENCE, view.wait_for(condition)).await;
        found.expect("the view never became so").unwrap().clone().unwrap()
    }
}

fn health_of(key: KeyId, signed: Option<Position>) -> KeyHealth {
    KeyHealth { key, fit: true, node_connected: true, asked: signed, signed }
}

#[tokio::test]
async fn a_grant_reaches_the_view_and_the_leader_is_learnt() {
    let world = World::new(CLUSTER).await;
    assert_eq!(world.fake.wait_sessions("alpha").await, ALPHA);
    let before = world.view(Option::is_some).await;
    assert_eq!((before.holder, before.epoch), (None, Epoch(0)));

    world.fake.grant(world.key, "alpha", ALPHA);
    let after = world.view(|view| view.as_ref().is_some_and(|view| view.epoch == Epoch(1))).await;
    assert_eq!(after.holder.unwrap().incarnation, ALPHA);
    assert!(after.log_index > before.log_index);

    // Only the leader says of itself that it leads.
    let learnt = async {
        while world.leader.leader() != Some(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, learnt).await.expect("the leader was not learnt");
}

#[tokio::test]
async fn health_reaches_every_node() {
    let world = World::new(CLUSTER).await;
    world.fake.wait_sessions("alpha").await;
    let signed = Position { height: 9, round: 1, step: Step::Precommit };
    world.health.send(vec![health_of(world.key, Some(signed))]).unwrap();
    let expected = interlock_proto::position_to_wire(signed);
    world
        .fake
        .wait("the health on every node", |inner| {
            let current = |keys: &[interlock_proto::v1::KeyHealth]| {
                keys.first().is_some_and(|k| k.signed == Some(expected))
            };
            (inner.sessions.values().filter(|(_, keys)| current(keys)).count() == 3).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_cut_session_comes_back_and_a_silent_one_is_dropped() {
    let world = World::new(CLUSTER).await;
    world.fake.wait_sessions("alpha").await;
    world.fake.set_up(2, false);
    world.fake.wait("the loss", |inner| (inner.sessions.len() == 2).then_some(())).await;
    world.fake.set_up(2, true);
    world.fake.wait_sessions("alpha").await;

    world.fake.set_silent(3);
    world.fake.wait("the drop", |inner| (inner.sessions.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn a_node_of_another_cluster_is_never_used() {
    for check_hello in [false, true] {
        never_used(World::with_hello_checked(ClusterId([8; 16]), check_hello).await).await;
    }
}

async fn never_used(world: World) {
    let limits = interlock_client::CallLimits {
        deadline: tokio::time::Instant::now() + PATIENCE,
        attempt_timeout: PATIENCE,
        repeat: interlock_client::Repeat::Always,
    };
    // Once every node is barred there is nobody left to ask.
    let barred = async {
        loop {
            let selector = interlock_client::KeySelector::Id(world.key);
            let answer = interlock_client::get_key(&world.leader, &selector, limits).await;
            if answer.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, barred).await.expect("the nodes are still used");
    assert_eq!(*world.sessions.view(world.key).unwrap().borrow(), None);
}
