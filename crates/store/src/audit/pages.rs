//! The audit trail from one end to the other, page by page: for export, for following, and for checking the chain.

use std::ops::ControlFlow;

use interlock_core::{AuditChain, KeyId, LogPosition};

use super::reader::{AuditReadError, AuditReader, if_there};
use super::record::AuditRecord;
use super::segments::{Header, Location};

/// Most encoded bytes of records in one page; one record may exceed it.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most records that are looked at for one page.
const PAGE_SEARCH_MAX: usize = 200_000;

/// A record as it lies in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The record.
    pub record: AuditRecord,
    /// The audit chain before it, written down where a segment begins; elsewhere it is that of the record before.
    pub before: Option<AuditChain>,
}

/// Records in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<StoredRecord>,
    /// Where to go on.
    pub next: LogPosition,
    /// There was nothing more when this was read.
    pub end: bool,
    /// What did not read, in words.
    pub damage: Vec<String>,
}

/// A page that is being filled.
struct Filling {
    from: LogPosition,
    count: usize,
    key: Option<KeyId>,
    page: AuditPage,
    bytes: usize,
    looked_at: usize,
}

impl Filling {
    fn full(&self) -> bool {
        self.page.records.len() >= self.count
            || self.bytes >= PAGE_BYTES_MAX
            || self.looked_at >= PAGE_SEARCH_MAX
    }

    fn take(&mut self, header: Header, location: Location, record: AuditRecord) -> ControlFlow<()> {
        let at = record.at;
        self.looked_at += 1;
        if at >= self.from {
            if self.key.is_none_or(|key| record.key() == key) {
                self.bytes += record.to_bytes().len();
                let before = chain_before(header, location);
                self.page.records.push(StoredRecord { record, before });
            }
            self.page.next = LogPosition { log_index: at.log_index, item: at.item.saturating_add(1) };
        }
        if self.full() && self.page.next > self.from {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl AuditReader {
    /// At most `count` records from a place on, in order, of one key or of all. Fewer when they are large or far
    /// apart: go on at [`AuditPage::next`] until [`AuditPage::end`].
    ///
    /// # Errors
    /// When the segments cannot be read.
    pub fn page(
        &self,
        from: LogPosition,
        count: usize,
        key: Option<KeyId>,
    ) -> Result<AuditPage, AuditReadError> {
        let page = AuditPage { records: Vec::new(), next: from, end: true, damage: Vec::new() };
        let mut filling = Filling { from, count, key, page, bytes: 0, looked_at: 0 };
        let segments = self.shared.segments.segments()?;
        let first = segments.iter().rposition(|segment| *segment <= from.log_index).unwrap_or(0);
        for segment in segments.iter().skip(first) {
            self.fill_from(*segment, segments.last() == Some(segment), &mut filling)?;
            if filling.full() {
                filling.page.end = false;
                break;
            }
        }
        Ok(filling.page)
    }

    fn fill_from(&self, segment: u64, newest: bool, filling: &mut Filling) -> Result<(), AuditReadError> {
        let files = &self.shared.segments;
        let Some(header) = if_there(files.header(segment))? else { return Ok(()) };
        let start = self.seek(segment, filling.from);
        let mut scan = |start| {
            if_there(files.scan(start, None, &mut |location, record| filling.take(header, location, record)))
        };
        let mut scanned = scan(start)?;
        if start.offset > 0 && scanned.is_some_and(|scanned| scanned.end == start.offset) {
            // The index, or its end, named a place that holds no record: read all of the segment.
            scanned = scan(Location::start_of(segment))?;
        }
        if let Some(scanned) = scanned.filter(|scanned| scanned.end < scanned.size)
            && !newest
            && !filling.full()
        {
            let path = files.path(segment);
            let (end, size) = (scanned.end, scanned.size);
            filling.page.damage.push(format!("{}: bytes {end} to {size} do not read", path.display()));
        }
        Ok(())
    }

    /// Where to begin reading a segment for records from a place on.
    fn seek(&self, segment: u64, from: LogPosition) -> Location {
        let start = Location::start_of(segment);
        let Some((index, _)) = self.shared.index() else { return start };
        match index.at_or_before(segment, from) {
            Ok(found) => found.unwrap_or(start),
            Err(error) => {
                self.shared.distrust_index(&error.to_string());
                start
            }
        }
    }
}

fn chain_before(header: Header, location: Location) -> Option<AuditChain> {
    match header {
        Header::Known { bytes, before } if location.offset == bytes as u64 => before,
        _ => None,
    }
}
