//! Questions to the audit trail. The index makes them fast; the segments answer them, with it or without it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use interlock_core::{KeyId, LogPosition};
use interlock_disk::{Disk, DiskError};
use thiserror::Error;
use tokio::sync::watch;

use super::IndexStatus;
use super::record::AuditRecord;
use super::segments::{Location, SegmentReader};
use super::shared::{Shared, TrailEnd};
use crate::identity::AUDIT_DIRECTORY;

/// Most records that one query returns.
pub const QUERY_RECORDS_MAX: usize = 10_000;

/// Why a query was not answered.
#[derive(Debug, Error)]
pub enum AuditReadError {
    /// The segments could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What the trail holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSummary {
    /// Log index at which the oldest retained segment begins.
    pub first_log_index: Option<u64>,
    /// Newest place.
    pub last: Option<LogPosition>,
    /// Size of the segments.
    pub bytes: u64,
    /// What the index is doing.
    pub index: IndexStatus,
}

/// Reads the audit trail. Clones share it.
#[derive(Debug, Clone)]
pub struct AuditReader {
    pub(super) shared: Arc<Shared>,
}

impl AuditReader {
    /// The trail of a data directory that no node has open, or of one that runs: what it writes meanwhile is not seen.
    ///
    /// # Errors
    /// When the directory does not list.
    pub fn of_directory(disk: Arc<dyn Disk>, data: &Path) -> Result<AuditReader, DiskError> {
        let segments = SegmentReader::new(disk, data.join(AUDIT_DIRECTORY));
        let first_segment = segments.segments()?.first().copied();
        let end = TrailEnd { first_segment, ..TrailEnd::default() };
        Ok(AuditReader { shared: Arc::new(Shared::new(segments, end, IndexStatus::Off)) })
    }

    /// What the index is doing, now and later.
    pub fn status(&self) -> watch::Receiver<IndexStatus> {
        self.shared.status.subscribe()
    }

    /// What the trail holds now.
    pub fn summary(&self) -> AuditSummary {
        let end = self.shared.end();
        let index = self.shared.status.borrow().clone();
        AuditSummary { first_log_index: end.first_segment, last: end.last, bytes: end.bytes, index }
    }

    /// The newest `count` records (at most [`QUERY_RECORDS_MAX`]), oldest of them first. What was applied in the last
    /// moments may not be there yet.
    ///
    /// # Errors
    /// When the segments cannot be read.
    pub fn tail(&self, count: usize) -> Result<Vec<AuditRecord>, AuditReadError> {
        // One segment has more than anybody asks for, as a rule, and is read in a moment.
        self.search(count.min(QUERY_RECORDS_MAX), |_| true)
    }

    /// The newest `count` records about a key, oldest of them first.
    ///
    /// # Errors
    /// When the segments cannot be read.
    pub fn of_key(&self, key: KeyId, count: usize) -> Result<Vec<AuditRecord>, AuditReadError> {
        let wanted = |record: &AuditRecord| record.key() == key;
        let count = count.min(QUERY_RECORDS_MAX);
        if let Some((index, done)) = self.shared.index() {
            match index.newest_of(key, count) {
                Ok(locations) => match self.fetch(&locations, &wanted)? {
                    Some(indexed) => return self.with_newest(indexed, done, count, &wanted),
                    None => self.shared.distrust_index("it names places that hold no such record"),
                },
                Err(error) => self.shared.distrust_index(&error.to_string()),
            }
        }
        self.search(count, wanted)
    }

    /// The records at these places; `None` when one of them holds no such record.
    fn fetch(
        &self,
        locations: &[Location],
        wanted: &impl Fn(&AuditRecord) -> bool,
    ) -> Result<Option<Vec<AuditRecord>>, DiskError> {
        let records = self.shared.segments.read(locations)?;
        let first_segment = self.shared.end().first_segment;
        let mut found = Vec::with_capacity(records.len());
        for (location, record) in locations.iter().zip(records) {
            match record.filter(|record| wanted(record)) {
                Some(record) => found.push(record),
                // Removed by retention a moment ago.
                None if Some(location.segment) < first_segment => {}
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Adds what the index does not know yet.
    fn with_newest(
        &self,
        indexed: Vec<AuditRecord>,
        done: Location,
        count: usize,
        wanted: &impl Fn(&AuditRecord) -> bool,
    ) -> Result<Vec<AuditRecord>, AuditReadError> {
        let mut found: BTreeMap<LogPosition, AuditRecord> =
            indexed.into_iter().map(|record| (record.at, record)).collect();
        for segment in self.shared.segments.segments()?.into_iter().filter(|segment| *segment >= done.segment)
        {
            let from = Location::start_of(segment).max(done);
            let mut visit = |_, record: AuditRecord| {
                if wanted(&record) {
                    found.insert(record.at, record);
                    if found.len() > count {
                        found.pop_first();
                    }
                }
                ControlFlow::Continue(())
            };
            if_there(self.shared.segments.scan(from, None, &mut visit))?;
        }
        Ok(found.into_values().collect())
    }

    fn search(
        &self,
        count: usize,
        wanted: impl Fn(&AuditRecord) -> bool,
    ) -> Result<Vec<AuditRecord>, AuditReadError> {
        let mut newest: VecDeque<AuditRecord> = VecDeque::new();
        for segment in self.shared.segments.segments()?.into_iter().rev() {
            let room = count - newest.len();
            if room == 0 {
                break;
            }
            let mut records: VecDeque<AuditRecord> = VecDeque::new();
            let mut visit = |_, record: AuditRecord| {
                if wanted(&record) {
                    records.push_back(record);
                    if records.len() > room {
                        records.pop_front();
                    }
                }
                ControlFlow::Continue(())
            };
            if_there(self.shared.segments.scan(Location::start_of(segment), None, &mut visit))?;
            records.into_iter().rev().for_each(|record| newest.push_front(record));
        }
        Ok(newest.into())
    }
}

/// `None` for a segment that retention has just removed.
pub(super) fn if_there<T>(result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
