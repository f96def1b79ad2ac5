//! S6: for a key that nobody added nothing is done but adding it, and a signer without a local watermark
//! neither asks nor signs.

use super::{Event, Taken};
use crate::world::Ask;

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    match taken.event {
        Event::Applied { request, verdict, before: _ } => {
            let added = taken.before.ghost.added >> request.key & 1 == 1;
            added || verdict.is_denied() || matches!(request.ask, Ask::Add)
        }
        Event::Signed { signer, key, .. } | Event::Asked { signer, key } => {
            taken.before.seat(*signer, *key).local.is_some()
        }
        Event::Restored { .. } | Event::Other => true,
    }
}
