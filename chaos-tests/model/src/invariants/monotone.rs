//! S4: no step lowers what a record says was approved or is excluded, nor replaces it; and but for a window
//! that its holder gives back, none lowers the height that may have been signed. Compared here part by part,
//! without the rule book's own comparison.

use super::{Event, Taken};
use interlock_core::{Book, KeyRecord, Position, Verdict, Watermark};

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    match taken.event {
        Event::Applied { verdict, before, .. } => {
            let gives_back = matches!(verdict, Verdict::Released { .. });
            rises(before, &taken.after.book, gives_back)
        }
        Event::Restored { backup } => rises(backup, &taken.after.book, false),
        _ => true,
    }
}

fn rises(before: &Book, after: &Book, gives_back: bool) -> bool {
    before.keys().all(|(key, was)| {
        let rises = |is: &KeyRecord| {
            let reaches = gives_back || is.reach_height() >= was.reach_height();
            reaches && is.version >= was.version && at_least(&is.watermark, &was.watermark)
        };
        after.key(key).is_some_and(rises)
    })
}

fn at_least(is: &Watermark, was: &Watermark) -> bool {
    let marks_rise = was.marks().all(|(before, payload)| {
        is.marks().any(|(after, newer)| {
            let (same, above) = compare(after, before);
            // A claim may have meant another payload there: then nothing repeats any more.
            above || (same && (newer.is_none() || newer == payload))
        })
    });
    let lock = |watermark: &Watermark| {
        let record = watermark.cometbft()?;
        record.lock.as_ref().map(|lock| lock.height)
    };
    marks_rise && is.floor_height() >= was.floor_height() && lock(is) >= lock(was)
}

/// Whether two newest positions of one kind are the same, and whether the first lies above.
fn compare(after: Position, before: Position) -> (bool, bool) {
    let attested = |position| match position {
        Position::EthereumAttestation { source_epoch, target_epoch } => Some((source_epoch, target_epoch)),
        _ => None,
    };
    match (attested(after), attested(before)) {
        (Some((source, target)), Some((source_before, target_before))) => {
            let sources = source >= source_before;
            (sources && target == target_before, sources && target > target_before)
        }
        (None, None) => (after == before, after > before),
        _ => (false, false),
    }
}
