//! The holder of the lease is paused, cut off, or loses its validator node: the standby signs on, and keeps the lease.

use interlock_testkit::wait::{Seen, wait_until};
use interlock_toychain::Event;

use crate::checks::place;
use crate::world::{DEADLINE, World, node_of};

/// Heights in which a lease that should stay where it is might move.
const STICKY_HEIGHTS: i64 = 8;

/// Nothing of `old` lies beyond the first thing that its successor signed: fencing, read off the signatures alone. What
/// `old` was approved before its lease ended may still come out late, and lies before.
fn assert_fenced(world: &World, old: &str, successor: &str) {
    let first_of_successor = world.tap(successor).iter().find_map(place).expect("the successor has signed");
    let last_of_old = world.tap(old).iter().filter_map(place).max();
    assert!(
        last_of_old <= Some(first_of_successor),
        "{old} signed {last_of_old:?} after {successor} had taken over at {first_of_successor:?}"
    );
}

/// The healed `old` holder stands by, and the lease stays where it is while heights pass.
fn assert_sticky(world: &mut World, old: &str, successor: &str) {
    world.wait_until_healthy(old);
    let lease = world.lease();
    assert_eq!(lease.0, successor);
    world.sign_on(STICKY_HEIGHTS);
    assert_eq!(world.lease(), lease, "the lease moved although nothing was wrong with its holder");
}

/// The state letter of a process, as the kernel tells it.
fn state_of(process_id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// RockLogic 2023 in small: the old signer comes back and believes that nothing happened.
#[test]
fn a_paused_holder_that_wakes_up_signs_nothing_under_its_old_lease() {
    let mut world = World::running();
    let (old, old_epoch) = world.lease();
    let mut events = world.chain().events();
    let successor = world.takeover_from(&old, |world| {
        let process = world.cluster.signer_process(&old).unwrap();
        process.pause().unwrap();
        let id = process.id();
        wait_until("the pause", DEADLINE, || match state_of(id) {
            Some('T') => Seen::Done(()),
            state => Seen::Pending(format!("{state:?}")),
        })
        .unwrap();
    });
    // The node's patience is the longest timeout of all: when it has hung up, every other has passed as well.
    let node = node_of(&old);
    world.wait_for_event(&mut events, "the paused signer's node hangs up", |event| {
        matches!(event, Event::Disconnected { node: at, .. } if at == node).then_some(())
    });
    world.sign_on(2);
    let slept = world.tap(&old).len();

    let mut events = world.chain().events();
    world.cluster.signer_process(&old).unwrap().resume().unwrap();
    world.wait_for_event(&mut events, "the old holder is asked, and does not hold the lease", |event| {
        match event {
            Event::Refused { node: at, description, .. } if at == node => {
                description.starts_with("R4 HolderMatches").then_some(())
            }
            _ => None,
        }
    });
    assert_sticky(&mut world, &old, successor);
    assert!(world.lease().1 > old_epoch);
    assert_fenced(&world, &old, successor);
    let late = world.tap(&old).len() - slept;
    // One position at most was approved before the pause and not signed yet: a vote, and perhaps its extension.
    assert!(late <= 2, "{late} signatures after the pause");
    world.finish();
}

#[test]
fn a_holder_cut_off_from_the_guard_is_replaced_and_does_not_take_the_lease_back() {
    let mut world = World::running();
    let (old, _) = world.lease();
    let successor = world.takeover_from(&old, |world| world.cluster.cut_off(&old).unwrap());
    world.sign_on(3);
    assert_fenced(&world, &old, successor);
    world.cluster.heal(&old).unwrap();
    assert_sticky(&mut world, &old, successor);
    assert_fenced(&world, &old, successor);
    world.finish();
}

#[test]
fn a_holder_whose_validator_node_stops_is_replaced() {
    let mut world = World::running();
    let (old, _) = world.lease();
    let node = node_of(&old);
    let successor = world.takeover_from(&old, |world| {
        world.runtime.block_on(world.chain().stop_node(node)).unwrap();
    });
    world.sign_on(3);
    world.runtime.block_on(world.chain().start_node(node)).unwrap();
    assert_sticky(&mut world, &old, successor);
    assert_fenced(&world, &old, successor);
    world.finish();
}
