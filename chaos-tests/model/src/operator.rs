//! What the failure detector and operators do. Each command carries what its sender saw, and may arrive late
//! or again.

use crate::behaviour::GuardModel;
use crate::cluster;
use crate::invariants::Event;
use crate::memo::Page;
use crate::plant::Plant;
use crate::setting::{cluster_id, reason};
use crate::world::{Ask, Request, World};
use interlock_core::{KeyRecord, KeyState};
use std::sync::Arc;

/// The commands of an operator about one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Order {
    Freeze,
    Unfreeze,
    Import,
    Lift,
    Add,
}

fn record<'a>(model: &GuardModel, world: &'a World, key: u8) -> Option<&'a KeyRecord> {
    world.book.key(model.tables.key_ids[usize::from(key)])
}

/// Sends a command about leases or settings: it arrives at any time and any number of times where the world
/// has late orders, else at once and once.
pub(crate) fn issue(model: &GuardModel, world: &mut World, key: u8, ask: Ask) -> Event {
    if model.setting.late_orders {
        world.send(world.cluster, key, ask);
        return Event::Other;
    }
    let request = Request { cluster: world.cluster, key, ask };
    cluster::deliver(model, world, &request)
}

/// Moves the lease to the process of a signer that runs now; whether it was right to, nobody asks.
pub(crate) fn hand_over(model: &GuardModel, world: &mut World, key: u8, signer: u8) -> Option<Event> {
    world.left.handovers = world.left.handovers.checked_sub(1)?;
    let expected_epoch = record(model, world, key).map_or(0, |record| record.epoch.0);
    let to = world.processes[usize::from(signer)].who;
    Some(issue(model, world, key, Ask::Handover { to, expected_epoch }))
}

/// Sends an operator's command. `None`: it would make no sense to give it now.
pub(crate) fn order(model: &GuardModel, world: &mut World, key: u8, order: Order) -> Option<Event> {
    let found = record(model, world, key);
    let ask = match order {
        Order::Add => {
            world.left.adds = world.left.adds.checked_sub(1).filter(|_| found.is_none())?;
            Ask::Add
        }
        Order::Freeze => {
            let version = found?.version;
            world.left.freezes = world.left.freezes.checked_sub(1)?;
            Ask::Freeze { version }
        }
        Order::Unfreeze => {
            let found = found.filter(|found| matches!(found.state, KeyState::Frozen { .. }))?;
            Ask::Unfreeze { version: found.version }
        }
        Order::Import => import(model, world, key)?,
        Order::Lift => lift(model, world, key)?,
    };
    Some(issue(model, world, key, ask))
}

fn import(model: &GuardModel, world: &mut World, key: u8) -> Option<Ask> {
    let version = record(model, world, key)?.version;
    if let Some(height) = world.lost_height.get(usize::from(key)) {
        return Some(Ask::Import { version, height: *height });
    }
    let height = model.setting.import_height;
    world.left.imports = world.left.imports.checked_sub(1)?;
    Some(Ask::Import { version, height })
}

/// The operator attests only after it saw the floor in the record.
fn lift(model: &GuardModel, world: &World, key: u8) -> Option<Ask> {
    let found = record(model, world, key)?;
    let quarantined = matches!(found.state, KeyState::Quarantined { .. });
    let lost_height = *world.lost_height.get(usize::from(key))?;
    let raised = found.watermark.height() >= lost_height || model.has(Plant::RestoresWithoutFloors);
    (quarantined && raised).then_some(Ask::Lift { version: found.version })
}

/// Copies the cluster's state away.
pub(crate) fn back_up(world: &mut World) -> Option<Event> {
    if world.left.restores == 0 || world.backup.is_some() {
        return None;
    }
    world.backup = Some(Arc::clone(&world.book));
    Some(Event::Other)
}

/// The cluster is lost for good and a new one is made of the backup. The signers know nothing of it, and
/// their windows and the answers under way are as good as before.
pub(crate) fn restore(model: &GuardModel, world: &mut World) -> Option<Event> {
    let backup = world.backup.take()?;
    world.left.restores = world.left.restores.checked_sub(1)?;
    let forgets = model.has(Plant::FloorsForgetWindows);
    let lost_height = |key: &_| match world.book.key(*key) {
        Some(record) if forgets => record.watermark.height(),
        Some(record) => record.reach_height(),
        None => 0,
    };
    world.lost_height = model.tables.key_ids.iter().map(lost_height).collect();
    world.cluster += 1;
    let known = (0_u8..).zip(&model.tables.key_ids).filter(|(_, id)| backup.key(**id).is_some());
    world.ghost.added = known.fold(0, |bits, (key, _)| bits | 1 << key);
    world.book = Page::new(backup.restored_as(cluster_id(world.cluster), &reason()));
    Some(Event::Restored { backup })
}
