//! S3: a new holder has a new and higher epoch, epochs never fall, and nothing is approved or reserved but for the
//! holder under its epoch.

use super::{Event, Taken};
use crate::setting::holder;
use crate::world::{Ask, Request};
use interlock_core::{Book, KeyRecord, Verdict};

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    let Event::Applied { request, verdict, before } = taken.event else { return true };
    let rises = before.keys().all(|(key, was)| taken.after.book.key(key).is_some_and(|is| follows(was, is)));
    rises && asked_by_holder(taken, request, verdict, before)
}

fn follows(was: &KeyRecord, is: &KeyRecord) -> bool {
    let new_holder = is.holder.is_some() && is.holder != was.holder;
    is.epoch >= was.epoch && (!new_holder || is.epoch > was.epoch)
}

fn asked_by_holder(taken: &Taken<'_>, request: &Request, verdict: &Verdict, before: &Book) -> bool {
    if !matches!(verdict, Verdict::Approved(_) | Verdict::Reserved(_)) {
        return true;
    }
    let (Ask::Approve { from, epoch, .. } | Ask::Reserve { from, epoch, .. }) = &request.ask else {
        return false;
    };
    // A record that was not there before the request is the business of S6.
    let Some(record) = before.key(taken.model.tables.key_ids[usize::from(request.key)]) else { return true };
    record.holder == Some(holder(*from)) && record.epoch.0 == *epoch
}
