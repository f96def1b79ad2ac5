//! The thread that keeps the index: it follows the segments and never makes anybody wait.
//!
//! It reads back from the segments whatever is new, so a build after an unclean stop, the catching up behind a busy
//! writer and the daily work are one loop. Apply and the writer know nothing of it. Invariant: a manifest vouches for
//! the index only when it holds exactly what the segments hold.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::IndexStatus;
use super::index::{Additions, Index, IndexError};
use super::manifest::IndexPlace;
use super::segments::Location;
use super::shared::Shared;

/// Records that enter the index at once.
const STEP_RECORDS: usize = 2048;
/// Builds in a row that may fail before the index is given up until the next start.
const BUILDS_MAX: u32 = 3;

/// Records that one process puts into the index. sled 0.34 keeps about 7 bytes of memory for each for as long as the
/// process lives (the soak shows it), so there is an end: then queries read the segments until the next start.
const RECORDS_MAX: u64 = if cfg!(test) { 20_000 } else { 50_000_000 };

/// What the thread is asked to do next.
pub(super) enum Wanted {
    /// There is more in the segments, or fewer segments.
    Follow,
    /// A query found the index wrong.
    Rebuild(String),
    /// The trail is complete. `clean` is false after a storage failure: then nothing is vouched for.
    Close { clean: bool },
}

pub(super) struct Indexer {
    place: IndexPlace,
    shared: Arc<Shared>,
    index: Option<Index>,
    /// Up to where the index holds what the segments hold.
    done: Location,
    /// First segment that the index still holds.
    first_segment: u64,
    failed_builds: u32,
    records: u64,
}

impl Indexer {
    pub(super) fn new(place: IndexPlace, shared: Arc<Shared>) -> Indexer {
        let done = Location::start_of(0);
        Indexer { place, shared, index: None, done, first_segment: 0, failed_builds: 0, records: 0 }
    }

    pub(super) fn run(mut self) {
        self.start();
        self.follow();
        loop {
            match self.shared.wait_for_work(self.done, self.first_segment) {
                Wanted::Follow => self.follow(),
                Wanted::Rebuild(reason) => {
                    self.rebuild(reason);
                    self.follow();
                }
                Wanted::Close { clean } => return self.close(clean),
            }
        }
    }

    fn start(&mut self) {
        let end = self.shared.end();
        match self.place.open_clean(end.last) {
            Ok(Ok(index)) => {
                self.done = end.end.unwrap_or(self.done);
                self.shared.publish_index(Some((index.clone(), self.done)));
                self.index = Some(index);
                self.shared.status.send_replace(IndexStatus::Reopened);
            }
            Ok(Err(reason)) => self.rebuild(reason),
            Err(error) => self.rebuild(error.to_string()),
        }
    }

    /// Begins an empty index; the loop fills it.
    fn rebuild(&mut self, reason: String) {
        tracing::warn!(%reason, "building the audit index again, beside all other work");
        self.shared.publish_index(None);
        self.shared.status.send_replace(IndexStatus::Building { reason });
        self.done = Location::start_of(0);
        let created = match self.index.take() {
            Some(index) => self.place.abandon(index).and_then(|()| self.place.create()),
            None => self.place.create(),
        };
        match created {
            Ok(index) => self.index = Some(index),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &IndexError) {
        self.failed_builds += 1;
        let reason = error.to_string();
        if self.failed_builds < BUILDS_MAX {
            return self.rebuild(reason);
        }
        tracing::error!(%reason, "the audit index cannot be built");
        self.give_up(reason);
    }

    fn give_up(&mut self, reason: String) {
        tracing::warn!(%reason, "queries read the audit segments until the next start");
        self.shared.publish_index(None);
        self.index = None;
        self.shared.status.send_replace(IndexStatus::Failed { reason });
        self.shared.give_index_up();
    }

    fn follow(&mut self) {
        let Some(index) = self.index.clone() else { return };
        match self.step(&index) {
            Ok(()) if self.records > RECORDS_MAX => {
                drop(index);
                self.give_up(format!(
                    "{RECORDS_MAX} records were indexed, and memory would grow without end"
                ));
            }
            Ok(()) => self.caught_up(index),
            Err(error) => self.failed(&error),
        }
    }

    /// Forgets removed segments, and takes one step towards the end of the trail.
    fn step(&mut self, index: &Index) -> Result<(), IndexError> {
        let end = self.shared.end();
        if let Some(first) = end.first_segment.filter(|first| *first > self.first_segment) {
            index.forget_before(first)?;
            self.first_segment = first;
            self.done = self.done.max(Location::start_of(first));
        }
        let Some(trail_end) = end.end else { return Ok(()) };
        let within = (trail_end.segment == self.done.segment).then_some(trail_end.offset);
        let mut additions = Additions::default();
        let scanned = self.shared.segments.scan(self.done, within, &mut |location, record| {
            additions.add(location, &record);
            if additions.count < STEP_RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let scanned = match scanned {
            Err(error) if error.is_not_found() => return self.next_segment(),
            other => other?,
        };
        let complete = additions.count < STEP_RECORDS;
        self.records += additions.count as u64;
        if additions.count > 0 {
            index.insert(self.done.segment, additions)?;
        }
        self.done.offset = self.done.offset.max(scanned.end);
        match within {
            None if complete => self.next_segment(),
            Some(end) if complete && scanned.end < end => {
                tracing::error!(
                    segment = self.done.segment,
                    offset = scanned.end,
                    "an audit record does not read"
                );
                self.done.offset = end;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn next_segment(&mut self) -> Result<(), IndexError> {
        let segments = self.shared.segments.segments()?;
        if let Some(next) = segments.into_iter().find(|segment| *segment > self.done.segment) {
            self.done = Location::start_of(next);
        }
        Ok(())
    }

    fn caught_up(&mut self, index: Index) {
        if self.shared.published() {
            self.shared.publish_index(Some((index, self.done)));
        } else if self.shared.end().end.is_none_or(|end| end == self.done) {
            self.shared.publish_index(Some((index, self.done)));
            self.failed_builds = 0;
            let status = self.shared.status.borrow().clone();
            if let IndexStatus::Building { reason } = status {
                tracing::info!("the audit index is built");
                self.shared.status.send_replace(IndexStatus::Rebuilt { reason });
            }
        }
    }

    fn close(mut self, clean: bool) {
        let vouched = clean && self.shared.published();
        self.shared.publish_index(None);
        let Some(index) = self.index.take() else { return };
        let end = self.shared.end();
        let complete = end.end.is_none_or(|end| end == self.done);
        let closed =
            if vouched && complete { self.place.close(index, end.last) } else { self.place.abandon(index) };
        if let Err(error) = closed {
            // Without a manifest the next start builds it again.
            tracing::warn!(%error, "the audit index did not close cleanly");
        }
    }
}
