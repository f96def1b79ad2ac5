//! What the writer, the indexer and the readers of the trail share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use interlock_core::LogPosition;
use tokio::sync::watch;

use super::IndexStatus;
use super::index::Index;
use super::indexer::Wanted;
use super::segments::{Location, SegmentReader};

/// What the trail holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TrailEnd {
    pub(super) first_segment: Option<u64>,
    /// Where the next record will lie; `None` while there is no segment.
    pub(super) end: Option<Location>,
    /// Newest place.
    pub(super) last: Option<LogPosition>,
    /// Bytes of all segments.
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct Work {
    end: TrailEnd,
    rebuild: Option<String>,
    /// Set when the trail is complete: whether without a failure.
    closing: Option<bool>,
    given_up: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) segments: SegmentReader,
    pub(super) status: watch::Sender<IndexStatus>,
    work: Mutex<Work>,
    changed: Condvar,
    /// The index once it holds everything up to a location, which lags behind the end by very little.
    index: RwLock<Option<(Index, Location)>>,
}

impl Shared {
    pub(super) fn new(segments: SegmentReader, end: TrailEnd, status: IndexStatus) -> Shared {
        Shared {
            segments,
            status: watch::Sender::new(status),
            work: Mutex::new(Work { end, ..Work::default() }),
            changed: Condvar::new(),
            index: RwLock::new(None),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) -> TrailEnd {
        self.work().end
    }

    /// Told by the writer, after the bytes are in the file.
    pub(super) fn set_end(&self, end: TrailEnd) {
        self.work().end = end;
        self.changed.notify_one();
    }

    /// Told by the owner, once, after the last [`Shared::set_end`].
    pub(super) fn close(&self, clean: bool) {
        self.work().closing = Some(clean);
        self.changed.notify_one();
    }

    pub(super) fn give_index_up(&self) {
        self.work().given_up = true;
    }

    /// Waits until the indexer, which has come to `done`, has something to do.
    pub(super) fn wait_for_work(&self, done: Location, first_segment: u64) -> Wanted {
        let mut work = self.work();
        loop {
            // A build that is not finished is not waited for: the next start begins it again.
            let follow = !work.given_up && (work.closing.is_none() || self.published());
            if work.closing.is_none()
                && !work.given_up
                && let Some(reason) = work.rebuild.take()
            {
                return Wanted::Rebuild(reason);
            }
            let behind = work.end.end.is_some_and(|end| end != done);
            if follow && (behind || work.end.first_segment > Some(first_segment)) {
                return Wanted::Follow;
            }
            if let Some(clean) = work.closing {
                return Wanted::Close { clean };
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn index(&self) -> Option<(Index, Location)> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the indexer from publishing anything, as a slow build does.
    #[cfg(test)]
    pub(super) fn hold_index(&self) -> std::sync::RwLockReadGuard<'_, Option<(Index, Location)>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn published(&self) -> bool {
        self.index.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn publish_index(&self, index: Option<(Index, Location)>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// Told by a query that found the index wrong. It is not used from now on, and built again.
    pub(super) fn distrust_index(&self, reason: &str) {
        tracing::warn!(reason, "the audit index is wrong; queries read the segments until it is built again");
        self.publish_index(None);
        self.status.send_replace(IndexStatus::Building { reason: reason.to_owned() });
        self.work().rebuild = Some(reason.to_owned());
        self.changed.notify_one();
    }
}
