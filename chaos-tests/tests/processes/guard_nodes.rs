//! Guard nodes die, one by one and all at once: a majority signs on, a minority signs nothing, nothing is forgotten.

use interlock_testkit::cluster::{KEY_NAME, NODE_IDS};
use interlock_toychain::{Event, Step};
use serde_json::Value;

use crate::world::{SIGNERS, World, node_of};

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

impl World {
    /// Lets the chain stand still where the holder's node has nothing left to ask: the newest approval is the precommit
    /// of the present height, and it was signed.
    fn stand_still(&mut self) {
        self.wait("a last step that is approved and signed", |world| {
            world.runtime.block_on(world.chain().pause());
            let arguments = ["key", "show", KEY_NAME, "--output", "json"];
            let shown = world.cluster.operate(&arguments).map_err(|error| error.to_string())?;
            let shown: Value = serde_json::from_str(&shown).map_err(|error| error.to_string())?;
            let last = world.chain().height();
            let approved = shown["approved"]["height"] == last && shown["approved"]["step"] == "precommit";
            let mut signatures = (0..SIGNERS.len()).filter_map(|node| world.chain().last_signature(node));
            if approved && signatures.any(|newest| (newest.height, newest.step) == (last, Step::Precommit)) {
                return Ok(());
            }
            world.chain().resume();
            Err(format!("at height {last} the guard shows {shown}"))
        });
    }
}

/// The guard's memory is on its disks. The standby's own watermark is that of its enrolment, before anything was
/// signed, so only the guard can refuse it; enrolled afresh, it knows what the guard knows.
#[test]
fn after_all_guard_nodes_die_at_once_a_double_sign_is_still_refused() {
    let mut world = World::running();
    let (old, _) = world.lease();
    let standby = SIGNERS[1 - node_of(&old)];
    world.stand_still();
    assert!(world.tap(standby).is_empty(), "the standby has signed, so that its own watermark could refuse");
    for id in NODE_IDS {
        world.cluster.kill_node(id).unwrap();
    }
    world.cluster.kill_signer(&old).unwrap();
    for id in NODE_IDS {
        world.cluster.start_node(id).unwrap();
    }
    world.wait_until_refused(node_of(standby), &["R11 NoConflict: "]);
    assert_eq!(world.lease().0, standby, "it was the holder that was refused");

    world.cluster.kill_signer(standby).unwrap();
    world.lose_state(standby);
    world.cluster.enroll_signer(standby).unwrap();
    world.cluster.start_signer(standby).unwrap();
    world.wait_until_refused(node_of(standby), &["S7 local watermark: double sign", "R11 NoConflict: "]);

    world.chain().resume();
    world.cluster.start_signer(&old).unwrap();
    world.finish();
}
