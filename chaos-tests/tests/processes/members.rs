//! The members change, disks go back and nodes are restarted in turn, while the chain is signed for.

use std::path::Path;

use interlock_testkit::cluster::{ClusterError, NODE_IDS};
use serde_json::Value;

use crate::world::{SIGNERS, World};

/// One step of a change takes an election at most, and a commit.
const STEPS_MAX: usize = 400;

/// Who dies between two steps.
#[derive(Debug, Clone, Copy)]
enum Killed {
    Leader,
    All,
}

impl World {
    /// Heights pass; the nodes of these ids are formatted to join, and known to signers and operator.
    fn running_with_joiners(ids: &[u64]) -> Self {
        let mut world = Self::created(SIGNERS.len());
        for id in ids {
            world.cluster.format_joiner(*id).unwrap();
        }
        world.cluster.start_all().unwrap();
        world.begin();
        world.sign_on(2);
        world
    }

    fn replace(&self, old: u64, new: u64, options: &[&str]) -> Result<String, ClusterError> {
        let addresses = self.cluster.addresses(new)?;
        let (old, new) = (old.to_string(), new.to_string());
        let mut arguments = vec!["cluster", "replace", &old, &new, "--output", "json"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(options);
        self.cluster.operate(&arguments)
    }

    /// Steps until this stage was reached.
    fn replace_up_to(&mut self, old: u64, new: u64, wanted: &str) {
        for _ in 0..STEPS_MAX {
            let printed = self.replace(old, new, &["--one-step"]).unwrap();
            let view: Value = serde_json::from_str(&printed).unwrap();
            match view["stage"].as_str().unwrap() {
                stage if stage == wanted => return,
                "done" => panic!("done before {wanted}"),
                _ => self.cluster.must_run().unwrap(),
            }
        }
        panic!("{wanted} was not reached");
    }

    fn voters(&self) -> Vec<u64> {
        let printed = self.cluster.operate(&["cluster", "members", "--output", "json"]).unwrap();
        let view: Value = serde_json::from_str(&printed).unwrap();
        let members = view["members"].as_array().unwrap().iter();
        assert!(members.clone().all(|member| member["role"] == "voter"), "{view}");
        members.map(|member| member["id"].as_u64().unwrap()).collect()
    }

    fn strike(&mut self, killed: Killed, running: &[u64]) {
        let leader = self.cluster.wait_for_leader(None).unwrap();
        let struck: Vec<u64> = match killed {
            Killed::Leader => vec![leader],
            Killed::All => running.to_vec(),
        };
        for id in &struck {
            self.cluster.kill_node(*id).unwrap();
        }
        for id in &struck {
            self.cluster.start_node(*id).unwrap();
        }
    }
}

/// The newest member is replaced again and again, and each time nodes die with the change at another stage. The same
/// command goes on where it stands, and nothing that was approved is lost.
fn a_change_survives(killed: Killed) {
    let mut world = World::running_with_joiners(&[4, 5, 6]);
    let mut old = 3;
    for (new, stage) in [(4, "learner"), (5, "joint"), (6, "new-voters")] {
        world.cluster.start_node(new).unwrap();
        world.replace_up_to(old, new, stage);
        world.strike(killed, &[1, 2, old, new]);
        world.replace(old, new, &[]).unwrap();
        assert_eq!(world.voters(), [1, 2, new], "after {killed:?} at {stage}");
        world.cluster.kill_node(old).unwrap();
        world.sign_on(2);
        old = new;
    }
    world.finish();
}

#[test]
fn a_change_of_members_survives_its_leader_at_each_stage() {
    a_change_survives(Killed::Leader);
}

#[test]
fn a_change_of_members_survives_the_death_of_all_at_each_stage() {
    a_change_survives(Killed::All);
}

/// Whoever began the change is gone, and nobody asks again.
#[test]
fn a_change_that_was_left_half_done_is_ended_by_the_leader() {
    let mut world = World::running_with_joiners(&[4]);
    world.cluster.start_node(4).unwrap();
    world.replace_up_to(3, 4, "joint");
    world.strike(Killed::All, &[1, 2, 3, 4]);
    world.wait("the end of the change", |world| {
        let printed = world.cluster.operate(&["cluster", "members", "--output", "json"]);
        let printed = printed.map_err(|error| error.to_string())?;
        let view: Value = serde_json::from_str(&printed).map_err(|error| error.to_string())?;
        let roles = view["members"].as_array().into_iter().flatten().map(|member| &member["role"]);
        if roles.clone().count() == 3 && roles.clone().all(|role| role == "voter") {
            return Ok(());
        }
        Err(printed)
    });
    assert_eq!(world.voters(), [1, 2, 4]);
    world.cluster.kill_node(3).unwrap();
    world.finish();
}

#[test]
fn a_dead_node_is_replaced_while_the_chain_signs_and_its_id_never_comes_back() {
    let mut world = World::running_with_joiners(&[4]);
    world.cluster.kill_node(3).unwrap();
    world.cluster.start_node(4).unwrap();
    world.replace(3, 4, &[]).unwrap();
    assert_eq!(world.voters(), [1, 2, 4]);
    world.sign_on(2);
    world.cluster.kill_node(2).unwrap();
    world.sign_on(2);
    world.cluster.start_node(2).unwrap();
    let addresses = world.cluster.addresses(3).unwrap();
    let mut again = vec!["cluster", "add", "3"];
    again.extend(addresses.iter().map(String::as_str));
    let refused = world.cluster.operate(&again).unwrap_err().to_string();
    assert!(refused.contains("IL-0070"), "{refused}");
    world.finish();
}

#[test]
fn a_node_on_an_older_copy_of_its_disk_stops_and_says_what_to_do() {
    let mut world = World::running();
    let leader = world.cluster.wait_for_leader(None).unwrap();
    let node = *NODE_IDS.iter().find(|id| **id != leader).unwrap();
    let data = world.cluster.data_dir(node);
    let copied = data.with_extension("copy");
    world.cluster.kill_node(node).unwrap();
    copy(&data, &copied);
    world.cluster.start_node(node).unwrap();
    world.wait_until_whole();
    world.sign_on(3);
    world.cluster.kill_node(node).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&copied, &data);
    world.cluster.start_node(node).unwrap();
    let (code, log) = world.cluster.wait_for_end(node).unwrap();
    assert_eq!(code, Some(1), "{log}");
    for part in ["IL-0025", "older copy of itself", "replace it by a new node under a new id"] {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
    world.finish();
}

/// Every node is restarted in turn, as for an upgrade. The chain goes on, and `finish` sees that every signature has
/// its approval, also those that were given on the way.
#[test]
fn every_node_is_restarted_in_turn_and_the_chain_signs_on() {
    let mut world = World::running();
    let (_, epoch) = world.lease();
    for id in NODE_IDS {
        world.cluster.end_node(id).unwrap();
        world.sign_on(2);
        world.cluster.start_node(id).unwrap();
        world.wait_until_whole();
        world.sign_on(2);
    }
    assert_eq!(world.lease().1, epoch, "the lease moved although its holder was well");
    world.finish();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
