//! What the log holds, in memory: vote, committed id, and for each entry its id, its place and, if recent, itself.
//!
//! Changed in the order of the calls, ahead of the disk; also built from the records when the log is opened.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::sync::mpsc::Receiver;

use crate::codec;
use crate::types::{Entry, LogId, Vote};
use crate::wal::{Kind, Location, Placed, Replayed};

/// Fixed cost counted for each entry in memory, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct LogView {
    pub(crate) vote: Option<Vote>,
    committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    /// Index of the first of `entries`.
    first_index: u64,
    entries: VecDeque<Held>,
    cached_bytes: usize,
    /// Entries before this index are not in memory.
    cached_from: u64,
    next_ticket: u64,
    published: Option<Published>,
}

/// Where the log's writer says which entries became durable. It never waits for the view.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) placed: Receiver<Vec<Placed>>,
    /// Entries kept in memory, in bytes.
    pub(crate) cache_bytes_max: usize,
}

#[derive(Debug)]
struct Held {
    log_id: LogId,
    ticket: u64,
    /// Unknown until the entry is durable.
    location: Option<Location>,
    entry: Option<Entry>,
    bytes: usize,
}

/// An entry to return: from memory, or from where it lies.
#[derive(Debug)]
pub(crate) enum Found {
    Here(Entry),
    At(LogId, Location),
}

impl LogView {
    /// Takes one record of an opened log.
    pub(crate) fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let payload = record.payload;
        match record.kind {
            Kind::Marker | Kind::Rolled => Ok(()),
            Kind::Vote => codec::decode_vote(payload).map(|vote| self.vote = Some(vote)),
            Kind::Committed => codec::decode_log_id(payload).map(|id| self.committed = id),
            Kind::Truncate => {
                self.truncate_from(record.index);
                Ok(())
            }
            Kind::Purge => match codec::decode_log_id(payload)? {
                Some(id) => {
                    self.purge(id);
                    Ok(())
                }
                None => Err("a purge names no entry".to_owned()),
            },
            Kind::Entry => self.replay_entry(record),
        }
    }

    fn replay_entry(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let log_id = codec::decode_entry_log_id(record.payload)?;
        if log_id.index() != record.index {
            return Err(format!("record {} holds entry {}", record.index, log_id.index()));
        }
        self.check_follows(log_id.index())?;
        let ticket = self.take_ticket();
        self.hold(Held { log_id, ticket, location: Some(record.location), entry: None, bytes: 0 });
        self.cached_from = self.end_index();
        Ok(())
    }

    /// The whole log is read: does it begin where the purged part ends? `from_start`: no segment was ever removed.
    pub(crate) fn check_whole(&self, from_start: bool) -> Result<(), String> {
        if self.purged.is_none() && !from_start {
            return Err("its first segments are missing, and nothing was purged".to_owned());
        }
        let first_allowed = self.purged.map_or(0, |id| id.index() + 1);
        match self.entries.front() {
            Some(first) if first.log_id.index() > first_allowed && !(from_start && self.purged.is_none()) => {
                Err(format!(
                    "it begins at entry {}, but entries from {first_allowed} are needed",
                    first.log_id.index()
                ))
            }
            _ => Ok(()),
        }
    }

    fn end_index(&self) -> u64 {
        self.first_index + self.entries.len() as u64
    }

    fn check_follows(&self, index: u64) -> Result<(), String> {
        if !self.entries.is_empty() && index != self.end_index() {
            return Err(format!("entry {index} does not follow entry {}", self.end_index() - 1));
        }
        Ok(())
    }

    fn hold(&mut self, held: Held) {
        if self.entries.is_empty() {
            self.first_index = held.log_id.index();
            self.cached_from = self.first_index;
        }
        self.cached_bytes += held.bytes;
        self.entries.push_back(held);
    }

    fn take_ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Appends an entry of `bytes` encoded bytes. Returns the ticket for its placement.
    pub(crate) fn append(&mut self, entry: Entry, bytes: usize) -> Result<u64, String> {
        let index = entry.log_id.index();
        self.check_follows(index)?;
        if self.entries.is_empty()
            && let Some(purged) = self.purged
            && index != purged.index() + 1
        {
            return Err(format!("entry {index} does not follow the purged entry {}", purged.index()));
        }
        let ticket = self.take_ticket();
        let bytes = bytes + ENTRY_OVERHEAD_BYTES;
        self.hold(Held { log_id: entry.log_id, ticket, location: None, entry: Some(entry), bytes });
        Ok(ticket)
    }

    /// From now on hears of entries that become durable.
    pub(crate) fn listen(&mut self, published: Published) {
        self.published = Some(published);
    }

    /// Takes what was published since the last time. An entry whose place is not known yet is in memory.
    pub(crate) fn take_published(&mut self) {
        let Some(published) = self.published.take() else { return };
        while let Ok(placed) = published.placed.try_recv() {
            self.place(&placed, published.cache_bytes_max);
        }
        self.published = Some(published);
    }

    /// Notes where entries lie and forgets the oldest ones in memory beyond `cache_bytes_max`.
    fn place(&mut self, placed: &[Placed], cache_bytes_max: usize) {
        for place in placed {
            if let Some(held) = self.held_mut(place.index)
                && held.ticket == place.ticket
            {
                held.location = Some(place.location);
            }
        }
        while self.cached_bytes > cache_bytes_max && self.cached_from < self.end_index() {
            let index = self.cached_from;
            match self.held_mut(index) {
                // Not durable yet: memory is the only place it is in.
                Some(held) if held.location.is_none() => break,
                Some(held) => {
                    held.entry = None;
                    let bytes = std::mem::take(&mut held.bytes);
                    self.cached_bytes -= bytes;
                    self.cached_from += 1;
                }
                None => break,
            }
        }
    }

    fn held_mut(&mut self, index: u64) -> Option<&mut Held> {
        let position = index.checked_sub(self.first_index)?;
        self.entries.get_mut(usize::try_from(position).ok()?)
    }

    /// Drops entries from `index` on.
    pub(crate) fn truncate_from(&mut self, index: u64) {
        while self.end_index() > index {
            match self.entries.pop_back() {
                Some(held) => self.cached_bytes -= held.bytes,
                None => break,
            }
        }
        self.cached_from = self.cached_from.min(self.end_index());
    }

    /// Drops entries up to and including `id`.
    pub(crate) fn purge(&mut self, id: LogId) {
        if self.purged.is_none_or(|purged| purged < id) {
            self.purged = Some(id);
        }
        while self.entries.front().is_some_and(|held| held.log_id.index() <= id.index()) {
            if let Some(held) = self.entries.pop_front() {
                self.cached_bytes -= held.bytes;
                self.first_index += 1;
            }
        }
        self.cached_from = self.cached_from.max(self.first_index);
    }

    pub(crate) fn set_committed(&mut self, committed: Option<LogId>) {
        self.committed = committed;
    }

    /// The committed id, unless it is beyond the log: after a crash between a snapshot and the purge that follows it,
    /// openraft must not try to apply entries that are not there.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.committed
            .filter(|committed| Some(committed.index()) <= self.last_log_id().map(|last| last.index()))
    }

    /// The newest entry, or the purged one when there is none.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.entries.back().map(|held| held.log_id).or(self.purged)
    }

    /// Entries in a range, until their encodings exceed `bytes_max`; at least one if there is one.
    pub(crate) fn find(&self, range: impl RangeBounds<u64>, bytes_max: usize) -> Result<Vec<Found>, String> {
        let (start, end) = self.positions(range);
        let mut found = Vec::with_capacity(end - start);
        let mut bytes = 0;
        for held in self.entries.range(start..end) {
            bytes += match held.location {
                Some(location) => location.bytes(),
                None => held.bytes,
            };
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(match (&held.entry, held.location) {
                (Some(entry), _) => Found::Here(entry.clone()),
                (None, Some(location)) => Found::At(held.log_id, location),
                (None, None) => return Err(format!("entry {} is nowhere", held.log_id.index())),
            });
        }
        Ok(found)
    }

    fn positions(&self, range: impl RangeBounds<u64>) -> (usize, usize) {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let position = |index: u64| {
            usize::try_from(index.saturating_sub(self.first_index))
                .unwrap_or(usize::MAX)
                .min(self.entries.len())
        };
        let start = position(start);
        (start, position(end).max(start))
    }
}
