//! R50: core never finds that a change of its own would break an invariant.

use super::{Event, Taken};
use interlock_core::{Denial, Verdict};

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    match taken.event {
        Event::Applied { verdict, .. } => !matches!(verdict, Verdict::Denied(Denial::Broken { .. })),
        _ => true,
    }
}
