//! The cluster: one request is applied to the book, and the verdict becomes an answer. A majority that
//! commits, or none at all: what is not applied was lost.

use crate::behaviour::GuardModel;
use crate::invariants::Event;
use crate::memo::Page;
use crate::plant::{Plant, altered};
use crate::setting::{self, PLACE, add_key, cluster_id, holder};
use crate::signer::stamp;
use crate::world::{Answer, Ask, Echo, OwnWindow, Request, Say, Who, World};
use interlock_core::{Action, Approved, Book, Command, Epoch, KeyRecord, Reserved, Rule, Verdict};
use std::sync::Arc;

/// Delivers a request, for the first time or again.
pub(crate) fn deliver(model: &GuardModel, world: &mut World, request: &Request) -> Event {
    let before = Arc::clone(&world.book);
    let verdict = decide(model, world, request);
    answer(model, world, request, &verdict);
    Event::Applied { request: request.clone(), verdict, before }
}

fn decide(model: &GuardModel, world: &mut World, request: &Request) -> Verdict {
    let command =
        |request: &Request| setting::command(&model.setting, &model.tables, request, &world.lost_height);
    if model.setting.plant.is_some() || request.ask == Ask::Add {
        let (command, signed) = (command(request), world.signed());
        return apply(model, &mut world.book, &command, signed);
    }
    let (verdict, book) =
        model.memo.verdict((Arc::clone(&world.book), request.clone()), |(book, request)| {
            let mut book = Arc::clone(book);
            let verdict = apply(model, &mut book, &command(request), Signed::default());
            (verdict, book)
        });
    world.book = book;
    verdict
}

/// What a planted bug of the cluster may look at, as bits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Signed {
    pub(crate) approvals: u64,
    pub(crate) signatures: u64,
}

/// Applies a command, with whatever bug is planted in the cluster.
pub(crate) fn apply(
    model: &GuardModel,
    shared: &mut Arc<Page>,
    command: &Command,
    signed: Signed,
) -> Verdict {
    if model.has(Plant::WaitsForSignature)
        && matches!(command.action, Action::Approve { .. })
        && signed.approvals & !signed.signatures != 0
    {
        return Verdict::Denied(interlock_core::Denial::WindowsOff);
    }
    let mut book = Book::clone(&**shared);
    let mut command = before_apply(model, &mut book, command);
    let found = book.key(command.key).cloned();
    if model.has(Plant::MisreadsRecord)
        && let Action::Acquire { expected_epoch, .. } = &mut command.action
    {
        *expected_epoch = Epoch(u64::MAX);
        book = altered(&book, command.key, |record| record.epoch = Epoch(u64::MAX));
    }
    let mut verdict = book.apply(PLACE, &command);
    if let (Some(found), Some(plant)) = (found, model.setting.plant) {
        after_apply(plant, &mut book, &command, &found, &mut verdict);
    }
    if **shared.as_ref() != book {
        *shared = Page::new(book);
    }
    verdict
}

fn before_apply(model: &GuardModel, book: &mut Book, command: &Command) -> Command {
    let mut command = command.clone();
    if model.has(Plant::KeyBornAtZero)
        && let Some(key) = model.tables.key_ids.iter().position(|key| *key == command.key)
    {
        let key = u8::try_from(key).expect("few keys");
        book.apply(PLACE, &add_key(&model.setting, key, None).into_command(book.cluster()));
    }
    if let Action::Approve { epoch, .. } = &mut command.action
        && model.has(Plant::ForwardsUnderCurrentEpoch)
        && let Some(record) = book.key(command.key)
    {
        *epoch = record.epoch;
    }
    command
}

/// Alters what the cluster recorded.
fn after_apply(plant: Plant, book: &mut Book, command: &Command, found: &KeyRecord, verdict: &mut Verdict) {
    let mut alter = |change: &dyn Fn(&mut KeyRecord)| *book = altered(book, command.key, change);
    match (plant, &command.action, verdict) {
        (Plant::HandoverKeepsEpoch, Action::Handover { .. }, Verdict::Granted(grant)) => {
            alter(&|record| record.epoch = found.epoch);
            grant.epoch = found.epoch;
        }
        (Plant::HandoverForgetsWindow, Action::Handover { .. }, Verdict::Granted(_)) => {
            alter(&|record| record.watermark = found.watermark.clone());
        }
        (Plant::ImportSets, Action::Import { .. }, Verdict::Changed { .. } | Verdict::AlreadyDone { .. }) => {
            alter(&|record| {
                if let interlock_core::Watermark::Cometbft(record) = &mut record.watermark {
                    record.last = None;
                }
            });
        }
        (Plant::MisreadsRecord, Action::Acquire { .. }, Verdict::Denied(_)) => {
            alter(&|record| record.clone_from(found));
        }
        _ => {}
    }
}

fn answer(model: &GuardModel, world: &mut World, request: &Request, verdict: &Verdict) {
    let key = request.key;
    match (&request.ask, verdict) {
        (Ask::Approve { from, call, .. }, Verdict::Approved(approved)) => {
            let echo = echo(model, world.cluster, key, approved);
            if let Some(echo) = echo {
                let bit = model.tables.bit(key, echo.payload, echo.stamp);
                world.ghost.approvals[usize::from(world.cluster)] |= bit;
                say(world, *from, key, Say::Approved { call: *call, echo });
            }
        }
        (Ask::Approve { from, call, .. }, Verdict::Denied(_)) => {
            say(world, *from, key, Say::Denied { call: *call });
        }
        (Ask::Reserve { from, .. }, Verdict::Reserved(reserved)) => {
            reserve(world, key, *from, reserved);
        }
        (Ask::Release { from, epoch, give_back: Some(_) }, Verdict::Released { .. }) => {
            let cluster = world.cluster;
            let mine = |window: &OwnWindow| {
                (window.owner, window.cluster, window.key, window.epoch) == (*from, cluster, key, *epoch)
            };
            world.ghost.windows.retain(|window| !mine(window));
        }
        (Ask::Acquire { from: to, .. } | Ask::Handover { to, .. }, _) => grant(world, key, *to, verdict),
        (Ask::Add, Verdict::Changed { .. }) => world.ghost.added |= 1 << key,
        _ => {}
    }
}

fn echo(model: &GuardModel, cluster: u8, key: u8, approved: &Approved) -> Option<Echo> {
    let payload = model.tables.payload(approved.position, approved.payload)?;
    let ours =
        approved.cluster == cluster_id(cluster) && approved.key == model.tables.key_ids[usize::from(key)];
    let stamp = stamp(approved.timestamp);
    ours.then_some(Echo { cluster, key, epoch: approved.epoch.0, payload, stamp })
}

fn reserve(world: &mut World, key: u8, owner: Who, reserved: &Reserved) {
    let (cluster, epoch) = (world.cluster, reserved.epoch.0);
    let same = |window: &OwnWindow| {
        (window.owner, window.cluster, window.key, window.epoch) == (owner, cluster, key, epoch)
    };
    world.ghost.windows.retain(|window| !same(window));
    let up_to_height = reserved.up_to_height;
    world.ghost.windows.insert(OwnWindow { owner, cluster, key, epoch, up_to_height });
    say(world, owner, key, Say::Reserved(Box::new(reserved.clone())));
}

fn grant(world: &mut World, key: u8, to: Who, verdict: &Verdict) {
    let epoch = match verdict {
        Verdict::Granted(grant) if grant.holder == holder(to) => grant.epoch.0,
        Verdict::AlreadyDone { rule: Rule::LeaseGranted, epoch, .. } => epoch.0,
        _ => return,
    };
    say(world, to, key, Say::Granted { epoch });
}

fn say(world: &mut World, to: Who, key: u8, say: Say) {
    let answer = Answer { to, key, say };
    if !world.answers.contains(&answer) {
        Arc::make_mut(&mut world.answers).insert(answer);
    }
}
