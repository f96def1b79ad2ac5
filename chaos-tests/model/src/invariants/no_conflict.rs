//! S1: no two signatures of a key that came out conflict, whoever made them, in whichever cluster.

use super::{Event, Taken};

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    match taken.event {
        Event::Signed { .. } => !taken.model.tables.have_conflict(taken.after.ghost.signatures),
        _ => true,
    }
}
