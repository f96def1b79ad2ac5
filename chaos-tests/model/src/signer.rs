//! What a signer process does: ask, sign, time out, reserve, release, restart, enrol. After `crates/signer`'s
//! sign path.
//!
//! Order of an honest request: local veto, lease, pending mark on disk together with the request, an answer
//! that echoes the request in every field, signature. Inside a window: local veto, rules in memory,
//! signature.

use crate::behaviour::GuardModel;
use crate::invariants::Event;
use crate::local::{Local, Mark};
use crate::operator;
use crate::plant::Plant;
use crate::setting::cluster_id;
use crate::world::{Answer, Ask, Call, Echo, Process, Say, Seat, Who, World};
use interlock_core::cometbft::Timestamp;
use interlock_core::{Epoch, Reserved, Windows};
use std::sync::Arc;

/// What a signature rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Basis {
    Approval,
    Window { epoch: u64 },
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Crash {
    /// Everything written stays.
    Kept,
    /// The pending mark of the request under way had not reached the disk, though the request had left.
    MarkLost,
    /// The local watermark is lost.
    Lost,
}

fn mark(model: &GuardModel, signer: u8, payload: u8) -> Mark {
    let intent = model.tables.intent(signer, payload);
    Mark { position: intent.position(), payload: Some(intent.payload()) }
}

/// A node asks for a payload. `None`: the signer refuses, and nothing has changed.
pub(crate) fn ask(model: &GuardModel, world: &mut World, signer: u8, key: u8, payload: u8) -> Option<Event> {
    world.left.asks = world.left.asks.checked_sub(1)?;
    let asked = mark(model, signer, payload);
    let seat = world.seat(signer, key);
    if seat.local.is_none() && !model.has(Plant::LocalAssumedZero) {
        return None;
    }
    let blocked = model.has(Plant::PendingBlocks);
    if seat.local.as_ref().is_some_and(|local| !local.allows(asked) || (blocked && local.is_pending())) {
        return None;
    }
    let in_window = seat.windows.up_to_height().is_some_and(|up_to| {
        let slack = u64::from(model.has(Plant::SignsBeyondWindow));
        asked.position.height() <= up_to + slack
    });
    if in_window {
        sign_in_window(model, world, (signer, key), payload)
    } else {
        send(world, (signer, key), payload, asked)
    }
}

/// From memory: no message, and nothing written.
fn sign_in_window(model: &GuardModel, world: &mut World, seat: (u8, u8), payload: u8) -> Option<Event> {
    let (signer, key) = seat;
    let asked = mark(model, signer, payload);
    let seat = world.seat_mut(signer, key);
    seat.call = None;
    let epoch = seat.windows.epoch()?.0;
    let approved = match seat.windows.approve(model.tables.intent(signer, payload))? {
        Ok(approved) => approved.timestamp,
        Err(interlock_core::Denial::BeyondWindow { .. }) if model.has(Plant::SignsBeyondWindow) => {
            model.tables.intent(signer, payload).timestamp()
        }
        Err(_) => return None,
    };
    if let Some(local) = &mut seat.local {
        local.signed(asked);
    }
    Some(sign(model, world, (signer, key), (payload, stamp(approved)), Basis::Window { epoch }))
}

fn send(world: &mut World, seat: (u8, u8), payload: u8, asked: Mark) -> Option<Event> {
    let (signer, key) = seat;
    let process = world.process_mut(signer);
    let (from, cluster) = (process.who, process.cluster);
    let seat = &mut process.seats[usize::from(key)];
    let epoch = seat.lease?;
    let attempt = match &mut seat.local {
        Some(local) => Some(local.begin(asked)?),
        None => None,
    };
    let number = seat.calls;
    seat.calls += 1;
    seat.call = Some(Call { number, epoch, payload, attempt });
    world.send(cluster, key, Ask::Approve { from, call: number, epoch, payload });
    Some(Event::Asked { signer, key })
}

/// Whose timestamp an approval carries; 0 where there is none.
pub(crate) fn stamp(timestamp: Option<Timestamp>) -> u8 {
    timestamp.map_or(0, |timestamp| u8::try_from(timestamp.seconds).unwrap_or(u8::MAX))
}

fn sign(model: &GuardModel, world: &mut World, seat: (u8, u8), what: (u8, u8), basis: Basis) -> Event {
    let ((signer, key), (payload, stamp)) = (seat, what);
    world.ghost.signatures |= model.tables.bit(key, payload, stamp);
    Event::Signed { signer, key, payload, basis }
}

/// A planted bug: the request has no answer in time, and is signed. An honest signer does nothing then, so
/// that there is no step for it: its request is given up when the next one is made, with the mark still
/// pending, because it was perhaps approved.
pub(crate) fn sign_unknown(model: &GuardModel, world: &mut World, signer: u8, key: u8) -> Option<Event> {
    let call = world.seat_mut(signer, key).call.take()?;
    let own = stamp(model.tables.intent(signer, call.payload).timestamp());
    Some(sign(model, world, (signer, key), (call.payload, own), Basis::Approval))
}

/// An answer arrives. `None`: it is not for this process any more.
pub(crate) fn receive(model: &GuardModel, world: &mut World, answer: &Answer) -> Option<Event> {
    let (signer, key) = (answer.to.signer, answer.key);
    let process = &world.processes[usize::from(signer)];
    if process.who != answer.to {
        return None;
    }
    match &answer.say {
        Say::Approved { call, echo } => approved(model, world, (signer, key), *call, *echo),
        Say::Denied { call } => denied(world, (signer, key), *call),
        Say::Reserved(reserved) => {
            if reserved.cluster != cluster_id(process.cluster) {
                return None;
            }
            open_window(model, world.seat_mut(signer, key), reserved)
        }
        Say::Granted { epoch } => {
            let seat = world.seat_mut(signer, key);
            seat.lease = seat.lease.max(Some(*epoch));
            Some(Event::Other)
        }
    }
}

fn approved(model: &GuardModel, world: &mut World, seat: (u8, u8), number: u8, echo: Echo) -> Option<Event> {
    let (signer, key) = seat;
    let process = &world.processes[usize::from(signer)];
    let cluster = process.cluster;
    let call = process.seats[usize::from(key)].call?;
    let careless = model.has(Plant::TakesOtherAnswer);
    if call.number != number && !careless {
        return None;
    }
    let asked = Echo { cluster, key, epoch: call.epoch, payload: call.payload, stamp: echo.stamp };
    let seat = world.seat_mut(signer, key);
    seat.call = None;
    if echo != asked && !careless {
        return Some(Event::Other);
    }
    if let Some(local) = &mut seat.local {
        local.signed(mark(model, signer, call.payload));
    }
    let own = stamp(model.tables.intent(signer, call.payload).timestamp());
    let stamp = if model.has(Plant::SignsOwnTimestamp) { own } else { echo.stamp };
    Some(sign(model, world, (signer, key), (call.payload, stamp), Basis::Approval))
}

fn denied(world: &mut World, seat: (u8, u8), number: u8) -> Option<Event> {
    let seat = world.seat_mut(seat.0, seat.1);
    let call = seat.call.take_if(|call| call.number == number)?;
    if let (Some(local), Some(attempt)) = (&mut seat.local, call.attempt) {
        local.withdraw(attempt);
    }
    Some(Event::Other)
}

fn open_window(model: &GuardModel, seat: &mut Seat, reserved: &Reserved) -> Option<Event> {
    let local = seat.local.as_mut()?;
    if seat.windows.reserved(reserved.clone()).is_err() {
        if !model.has(Plant::ReopensWindow) {
            return None;
        }
        seat.windows = Windows::new(reserved.cluster, reserved.key, reserved.holder.clone());
        seat.windows.reserved(reserved.clone()).ok()?;
    }
    local.open_window(reserved.up_to_height);
    Some(Event::Other)
}

/// Takes the lease of the record for its own: a stale view, a clone, or the process of a signer whose former
/// process held it.
pub(crate) fn presume(model: &GuardModel, world: &mut World, signer: u8, key: u8) -> Option<Event> {
    world.left.presumptions = world.left.presumptions.checked_sub(1)?;
    let epoch = world.book.key(model.tables.key_ids[usize::from(key)])?.epoch.0;
    world.seat_mut(signer, key).lease = Some(epoch);
    Some(Event::Other)
}

/// Asks for a window because a request at this height is there.
pub(crate) fn reserve(world: &mut World, signer: u8, key: u8, height: u64) -> Option<Event> {
    world.left.reserves = world.left.reserves.checked_sub(1)?;
    let process = &world.processes[usize::from(signer)];
    let seat = &process.seats[usize::from(key)];
    seat.local.as_ref()?;
    let (from, cluster, epoch) = (process.who, process.cluster, seat.lease?);
    world.send(cluster, key, Ask::Reserve { from, epoch, height });
    Some(Event::Other)
}

/// Closes the window for good, then releases.
pub(crate) fn release(world: &mut World, signer: u8, key: u8) -> Option<Event> {
    world.left.releases = world.left.releases.checked_sub(1)?;
    let process = world.process_mut(signer);
    let (from, cluster) = (process.who, process.cluster);
    let seat = &mut process.seats[usize::from(key)];
    seat.call = None;
    let epoch = seat.lease.take()?;
    let give_back = seat.windows.close(Epoch(epoch)).map(Box::new);
    if let (Some(local), None) = (&mut seat.local, seat.windows.up_to_height()) {
        local.close_window();
    }
    world.send(cluster, key, Ask::Release { from, epoch, give_back });
    Some(Event::Other)
}

/// Takes a lease that it sees free.
pub(crate) fn acquire(model: &GuardModel, world: &mut World, signer: u8, key: u8) -> Option<Event> {
    world.left.acquires = world.left.acquires.checked_sub(1)?;
    let record = world.book.key(model.tables.key_ids[usize::from(key)]);
    if record.is_some_and(|record| record.holder.is_some()) {
        return None;
    }
    let expected_epoch = record.map_or(0, |record| record.epoch.0);
    let from = world.processes[usize::from(signer)].who;
    Some(operator::issue(model, world, key, Ask::Acquire { from, expected_epoch }))
}

/// The process dies, and another one of the same signer starts.
pub(crate) fn crash(model: &GuardModel, world: &mut World, signer: u8, how: Crash) -> Option<Event> {
    let budget = if how == Crash::Lost { &mut world.left.losses } else { &mut world.left.crashes };
    *budget = budget.checked_sub(1)?;
    let inherits = model.has(Plant::RestartKeepsWindow);
    let process = world.process_mut(signer);
    if how == Crash::MarkLost && process.seats.iter().all(|seat| seat.call.is_none()) {
        return None;
    }
    process.who.incarnation += 1;
    let (who, cluster) = (process.who, process.cluster);
    for (seat, key) in process.seats.iter_mut().zip(&model.tables.key_ids) {
        let mut local = seat.local.take().filter(|_| how != Crash::Lost);
        if let Some(local) = &mut local {
            if let (Crash::MarkLost, Some(Call { attempt: Some(attempt), .. })) = (how, seat.call) {
                local.withdraw(attempt);
            }
            local.restarted();
        }
        let before = std::mem::replace(seat, Seat::new((who, cluster), *key, local));
        if inherits {
            (seat.windows, seat.lease) = (before.windows, before.lease);
        }
    }
    Some(Event::Other)
}

/// `signer enroll`: a watermark from a linearizable read, for a key that has none here.
pub(crate) fn enroll(model: &GuardModel, world: &mut World, signer: u8, key: u8) -> Option<Event> {
    let record = world.book.key(model.tables.key_ids[usize::from(key)])?;
    let local = Local::enrolled(&record.watermark);
    let current = world.cluster;
    let process = world.process_mut(signer);
    let seat = &mut process.seats[usize::from(key)];
    if process.cluster != current || seat.local.is_some() {
        return None;
    }
    seat.local = Some(local);
    Some(Event::Other)
}

/// An operator pins a signer to the restored cluster: the old state is moved away, and a new process
/// enrolled.
pub(crate) fn pin_anew(model: &GuardModel, world: &mut World, signer: u8) -> Option<Event> {
    let book = Arc::clone(&world.book);
    let current = world.cluster;
    let process = world.process_mut(signer);
    if process.cluster == current {
        return None;
    }
    let who = Who { incarnation: process.who.incarnation + 1, ..process.who };
    let seats = model.tables.key_ids.iter().map(|key| {
        let local = book.key(*key).map(|record| Local::enrolled(&record.watermark));
        Seat::new((who, current), *key, local)
    });
    *process = Process { who, cluster: current, seats: seats.collect() };
    Some(Event::Other)
}
