//! What a store may hold after a crash: for each of its parts, what was acknowledged and what was asked for since.

use std::collections::{BTreeMap, BTreeSet};

use interlock_core::State;
use interlock_store::{AuditRecord, Entry, LogId};

use crate::common::{LogContents, replay};

/// One store's promises.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// What the cluster has committed, from index 0 on; it never changes but at its end.
    pub(super) history: Vec<Entry>,
    /// States of the log after each operation of this life; the first is what it was opened with.
    pub(super) log: Vec<LogContents>,
    /// How many of them were acknowledged.
    pub(super) log_acknowledged: usize,
    /// The newest snapshot that was acknowledged.
    pub(super) snapshot: Option<LogId>,
    /// Snapshots that were asked for and not acknowledged.
    pub(super) snapshots_asked: Vec<LogId>,
    /// Indexes that came, or may have come, inside a snapshot of another node: the trail need not have them.
    pub(super) inside_snapshots: BTreeSet<u64>,
    /// Peers that were acknowledged, with their incarnations.
    pub(super) peers: BTreeMap<u64, u128>,
    /// The newest entry that this life has applied.
    pub(super) applied: Option<LogId>,
}

impl Model {
    /// The newest state of the log that was asked for.
    pub(super) fn newest(&self) -> LogContents {
        self.log.last().cloned().unwrap_or_default()
    }

    /// States of the log that a crash may leave.
    pub(super) fn allowed(&self) -> &[LogContents] {
        &self.log[self.log_acknowledged.min(self.log.len())..]
    }

    /// How many entries of the newest log are acknowledged and agree with what was committed: they may be applied.
    pub(super) fn next_to_apply(&self) -> u64 {
        self.applied.map_or(0, |id| id.index() + 1)
    }

    /// The first index at which a log contradicts what was committed, as a stale tail does.
    pub(super) fn conflict(&self, log: &LogContents) -> Option<u64> {
        let mut entries = log.entries.iter();
        let conflicting = entries.find(|entry| {
            let committed =
                usize::try_from(entry.log_id.index()).ok().and_then(|index| self.history.get(index));
            committed.is_some_and(|committed| committed != *entry)
        });
        conflicting.map(|entry| entry.log_id.index())
    }

    /// State and audit records after the entries before `end`.
    pub(super) fn reference(&self, end: u64) -> (State, Vec<AuditRecord>) {
        replay(self.history.iter().take(usize::try_from(end).unwrap()))
    }

    /// A new life begins with what was found.
    pub(super) fn begin(&mut self, log: LogContents, snapshot: Option<LogId>) {
        self.log = vec![log];
        self.log_acknowledged = 0;
        self.snapshot = snapshot;
        self.snapshots_asked.clear();
    }
}
