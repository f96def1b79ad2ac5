//! Cases of the detector, with time as data.

use super::detector::{Cause, Decision, View};
use crate::config::Failover;
use crate::sessions::{KeyReport, Sessions};
use interlock_core::cometbft::{CometbftRecord, LastApproved, Position, Step};
use interlock_core::intent::Watermark;
use interlock_core::{
    ChainId, ChainIdentity, Epoch, Holder, Incarnation, KeyId, KeyName, KeyRecord, KeyState, Policy,
    PublicKey, Reason, SignerId,
};
use std::time::{Duration, Instant};

const KEY: KeyId = KeyId([7; 32]);

fn holder(signer: &str, incarnation: u8) -> Holder {
    Holder { signer: SignerId::parse(signer).unwrap(), incarnation: Incarnation([incarnation; 16]) }
}

fn record(holder: Option<Holder>, approved_height: Option<u64>) -> KeyRecord {
    let mut watermark = CometbftRecord::new(0);
    watermark.last = approved_height.map(|height| LastApproved {
        position: Position { height, round: 0, step: Step::Precommit },
        content: None,
    });
    KeyRecord {
        name: KeyName::parse("val").unwrap(),
        chain: ChainIdentity::Cometbft(ChainId::parse("c").unwrap()).into(),
        public_key: PublicKey::new(&[1; 32]).unwrap(),
        state: KeyState::Active,
        policy: Policy::default(),
        signers: [SignerId::parse("alpha").unwrap(), SignerId::parse("beta").unwrap()].into(),
        epoch: Epoch(1),
        holder,
        version: 1,
        watermark: Watermark::Cometbft(watermark),
        window_height: None,
    }
}

fn report(asked_height: Option<u64>) -> KeyReport {
    let asked = asked_height.map(|height| Position { height, round: 0, step: Step::Prevote });
    KeyReport { key: KEY, fit: true, node_connected: true, asked, signed: None }
}

/// A world with a clock that only the test moves.
struct World {
    sessions: Sessions,
    settings: Failover,
    start: Instant,
    watching_since: Instant,
}

impl World {
    fn new() -> Self {
        let start = Instant::now();
        Self { sessions: Sessions::default(), settings: Failover::default(), start, watching_since: start }
    }

    fn at(&self, after_ms: u64) -> Instant {
        self.start + Duration::from_millis(after_ms)
    }

    fn connect(&self, holder: &Holder, at_ms: u64, report: KeyReport) {
        self.sessions.open(holder, 1, self.at(at_ms)).unwrap();
        self.sessions.heard(holder, 1, &[report], self.at(at_ms));
    }

    fn decide(&self, at_ms: u64, record: &KeyRecord) -> Decision {
        let sessions = self.sessions.snapshot();
        let (settings, now, watching_since) = (&self.settings, self.at(at_ms), self.watching_since);
        View { sessions: &sessions, settings, now, watching_since }.decide(KEY, record)
    }
}

fn moves(to: Holder, cause: Cause) -> Decision {
    Decision::Move { to, cause }
}

#[test]
fn the_first_grant_goes_to_the_highest_priority() {
    let world = World::new();
    world.connect(&holder("beta", 1), 0, report(None));
    world.connect(&holder("alpha", 1), 0, report(None));
    assert_eq!(world.decide(1, &record(None, None)), moves(holder("alpha", 1), Cause::NoHolder));
}

#[test]
fn a_returning_primary_does_not_take_the_lease_back() {
    let world = World::new();
    world.connect(&holder("beta", 1), 0, report(Some(9)));
    world.connect(&holder("alpha", 2), 0, report(Some(9)));
    assert_eq!(world.decide(1, &record(Some(holder("beta", 1)), Some(9))), Decision::Keep);
}

#[test]
fn a_closed_session_moves_the_lease_after_the_grace() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, report(Some(9)));
    world.connect(&holder("beta", 1), 0, report(Some(9)));
    world.sessions.closed(&holder("alpha", 1), 1, world.at(10));
    let record = record(Some(holder("alpha", 1)), Some(9));
    assert_eq!(world.decide(109, &record), Decision::Keep);
    assert_eq!(world.decide(110, &record), moves(holder("beta", 1), Cause::SessionClosed));
}

#[test]
fn silence_moves_the_lease_after_the_timeout() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, report(Some(9)));
    world.connect(&holder("beta", 1), 400, report(Some(9)));
    let record = record(Some(holder("alpha", 1)), Some(9));
    assert_eq!(world.decide(499, &record), Decision::Keep);
    assert_eq!(world.decide(500, &record), moves(holder("beta", 1), Cause::HeartbeatsMissed));
}

#[test]
fn a_lost_validator_node_moves_the_lease_after_its_grace() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, KeyReport { node_connected: false, ..report(Some(9)) });
    let record = record(Some(holder("alpha", 1)), Some(9));
    for heard_ms in [200, 400] {
        world.sessions.heard(
            &holder("alpha", 1),
            1,
            &[KeyReport { node_connected: false, ..report(Some(9)) }],
            world.at(heard_ms),
        );
    }
    world.connect(&holder("beta", 1), 400, report(Some(9)));
    assert_eq!(world.decide(499, &record), Decision::Keep);
    assert_eq!(world.decide(500, &record), moves(holder("beta", 1), Cause::NodeGone));
}

#[test]
fn an_unfit_signer_is_replaced_at_once_and_never_chosen() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, KeyReport { fit: false, ..report(Some(9)) });
    let record = record(Some(holder("alpha", 1)), Some(9));
    assert_eq!(world.decide(1, &record), Decision::NoCandidate { cause: Cause::Unfit });
    world.connect(&holder("beta", 1), 0, KeyReport { fit: false, ..report(Some(9)) });
    assert_eq!(world.decide(1, &record), Decision::NoCandidate { cause: Cause::Unfit });
    world.connect(&holder("beta", 1), 0, report(Some(9)));
    assert_eq!(world.decide(1, &record), moves(holder("beta", 1), Cause::Unfit));
}

#[test]
fn a_candidate_that_is_behind_is_not_chosen() {
    let world = World::new();
    let record = record(None, Some(9));
    world.connect(&holder("alpha", 1), 0, report(Some(7)));
    assert_eq!(world.decide(1, &record), Decision::NoCandidate { cause: Cause::NoHolder });
    world.connect(&holder("beta", 1), 0, report(None));
    assert_eq!(world.decide(1, &record), Decision::NoCandidate { cause: Cause::NoHolder });
    world.connect(&holder("alpha", 1), 0, report(Some(8)));
    assert_eq!(world.decide(1, &record), moves(holder("alpha", 1), Cause::NoHolder));
}

#[test]
fn a_new_leader_gives_an_unseen_holder_time_to_connect() {
    let mut world = World::new();
    world.watching_since = world.at(1000);
    world.connect(&holder("beta", 1), 1400, report(Some(9)));
    let record = record(Some(holder("alpha", 1)), Some(9));
    assert_eq!(world.decide(1499, &record), Decision::Keep);
    assert_eq!(world.decide(1500, &record), moves(holder("beta", 1), Cause::SessionClosed));
}

#[test]
fn a_restarted_process_of_the_holder_is_another_holder() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, report(Some(9)));
    world.sessions.closed(&holder("alpha", 1), 1, world.at(10));
    world.connect(&holder("alpha", 2), 50, report(Some(9)));
    let record = record(Some(holder("alpha", 1)), Some(9));
    assert_eq!(world.decide(110, &record), moves(holder("alpha", 2), Cause::SessionClosed));
}

#[test]
fn a_frozen_key_is_left_alone() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, report(None));
    let mut record = record(None, None);
    record.state = KeyState::Frozen { reason: Reason::parse("drill").unwrap() };
    assert_eq!(world.decide(1, &record), Decision::Keep);
}

#[test]
fn a_height_no_chain_has_does_not_break_the_detector() {
    let world = World::new();
    world.connect(&holder("alpha", 1), 0, report(Some(u64::MAX)));
    assert_eq!(world.decide(1, &record(None, Some(9))), moves(holder("alpha", 1), Cause::NoHolder));
}
