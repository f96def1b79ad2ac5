//! Guard nodes die, one by one and all at once: a majority signs on, a minority signs nothing, nothing is forgotten.

use interlock_testkit::cluster::NODE_IDS;
use interlock_testkit::history::Entry;
use interlock_testkit::signbytes::Kind;
use interlock_toychain::Event;

use crate::validator_node::ValidatorNode;
use crate::world::{World, is_lease_refusal, node_of};

/// Heights without a signature that show that nothing is signed.
const MISSED_HEIGHTS: usize = 4;

impl World {
    /// Sees heights pass unsigned. None of them may be in any tap: they began after the guard had lost its majority.
    fn assert_nothing_is_signed(&mut self) {
        let last = self.chain().height();
        let mut events = self.chain().events();
        let mut missed = 0;
        self.wait_for_event(&mut events, "missed heights", |event| {
            missed += usize::from(matches!(event, Event::HeightMissed { height } if height > last));
            (missed >= MISSED_HEIGHTS).then_some(())
        });
        for tap in self.taps() {
            let late = self.read_tap(tap).into_iter().find(|entry| entry.signed.height > last);
            assert!(late.is_none(), "signed without a majority, above height {last}: {late:?}");
        }
    }

    fn leader(&mut self) -> u64 {
        self.cluster.wait_for_leader(None).unwrap()
    }
}

fn follower(leader: u64) -> u64 {
    *NODE_IDS.iter().find(|id| **id != leader).expect("three nodes")
}

#[test]
fn a_majority_signs_on_when_the_leader_or_a_follower_dies() {
    let mut world = World::running();
    let (_, epoch) = world.lease();
    let leader = world.leader();
    world.cluster.kill_node(leader).unwrap();
    world.sign_on(3);
    world.cluster.start_node(leader).unwrap();
    world.wait_until_whole();
    world.sign_on(3);

    let leader = world.leader();
    world.cluster.kill_node(follower(leader)).unwrap();
    world.sign_on(3);
    world.cluster.start_node(follower(leader)).unwrap();
    world.wait_until_whole();
    assert_eq!(world.lease().1, epoch, "the lease moved although its holder was well");
    world.finish();
}

#[test]
fn a_minority_signs_nothing_and_one_node_more_is_enough_again() {
    let mut world = World::running();
    let leader = world.leader();
    let follower = follower(leader);
    world.cluster.kill_node(follower).unwrap();
    world.cluster.kill_node(leader).unwrap();
    world.assert_nothing_is_signed();
    world.cluster.start_node(leader).unwrap();
    world.sign_on(3);
    world.cluster.start_node(follower).unwrap();
    world.wait_until_whole();
    world.finish();
}

/// The newest vote that left any signer.
fn last_vote(world: &World) -> Entry {
    let entries = world.taps().iter().flat_map(|tap| world.read_tap(tap));
    let votes = entries.filter(|entry| matches!(entry.signed.kind, Kind::Prevote | Kind::Precommit));
    votes.max_by_key(|entry| (entry.signed.height, entry.signed.kind)).expect("votes were signed")
}

/// The guard's memory is on its disks. The standby's own watermark is older than the last vote, so only the guard can
/// refuse; enrolled afresh, its watermark is the guard's.
#[test]
fn after_all_guard_nodes_die_at_once_a_double_sign_is_still_refused() {
    let mut world = World::running();
    let (old, _) = world.lease();
    let standby = ["beta", "alpha"][node_of(&old)];
    assert!(
        world.tap(standby).is_empty(),
        "the standby has signed nothing, its watermark is that of its enrolment"
    );
    world.stop_chain();
    let last = last_vote(&world);
    for id in NODE_IDS {
        world.cluster.kill_node(id).unwrap();
    }
    world.cluster.kill_signer(&old).unwrap();
    let mut node = ValidatorNode::listen(&world, node_of(standby));
    for id in NODE_IDS {
        world.cluster.start_node(id).unwrap();
    }

    let refusal = node.refusal_of_a_rival(&mut world, &last);
    let by_the_guard = ["R9 NoConflict: ", "R8 NoRegression: "].iter().any(|rule| refusal.starts_with(rule));
    assert!(by_the_guard, "{refusal}");
    assert_eq!(world.lease().0, standby, "it was the holder who was refused");

    world.cluster.kill_signer(standby).unwrap();
    world.lose_state(standby);
    world.cluster.enroll_signer(standby).unwrap();
    world.cluster.start_signer(standby).unwrap();
    let refusal = node.refusal_of_a_rival(&mut world, &last);
    assert!(!is_lease_refusal(&refusal), "{refusal}");
    drop(node);

    world.restart_chain(last.signed.height + 1);
    world.cluster.start_signer(&old).unwrap();
    world.finish();
}
