//! S3: a new holder has a new and higher epoch, epochs never fall, and nothing is approved or reserved but
//! for the holder under its epoch, of this cluster. For every height one place decides: the cluster approves
//! nothing while a window is open, and an operator's change or a restore ends it.

use super::{Event, Taken};
use crate::setting::holder;
use crate::world::{Ask, Request};
use interlock_core::{Book, KeyRecord, Verdict};

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    let (request, verdict, before) = match taken.event {
        Event::Applied { request, verdict, before } => (request, verdict, before),
        Event::Restored { .. } => return begins_free(&taken.after.book),
        _ => return true,
    };
    let ours = verdict.is_denied() || request.cluster == taken.before.cluster;
    let rises = before.keys().all(|(key, was)| taken.after.book.key(key).is_some_and(|is| follows(was, is)));
    ours && rises && asked_by_holder(taken, request, verdict, before)
}

/// Nobody holds a key of a restored cluster.
fn begins_free(book: &Book) -> bool {
    book.keys().all(|(_, record)| record.holder.is_none() && record.window_height.is_none())
}

fn follows(was: &KeyRecord, is: &KeyRecord) -> bool {
    let new_holder = is.holder.is_some() && is.holder != was.holder;
    is.epoch >= was.epoch && (!new_holder || is.epoch > was.epoch)
}

fn asked_by_holder(taken: &Taken<'_>, request: &Request, verdict: &Verdict, before: &Book) -> bool {
    let id = taken.model.tables.key_ids[usize::from(request.key)];
    match verdict {
        Verdict::Approved(_) | Verdict::Reserved(_) => {}
        Verdict::Changed { .. } => {
            return taken.after.book.key(id).is_none_or(|record| record.window_height.is_none());
        }
        _ => return true,
    }
    let (Ask::Approve { from, epoch, .. } | Ask::Reserve { from, epoch, .. }) = &request.ask else {
        return false;
    };
    // A record that was not there before the request is the business of S6.
    let Some(record) = before.key(id) else { return true };
    let one_place = record.window_height.is_none() || matches!(verdict, Verdict::Reserved(_));
    one_place && record.holder == Some(holder(*from)) && record.epoch.0 == *epoch
}
