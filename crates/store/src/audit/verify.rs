//! Checks the audit chain over what the trail retains: each record must follow from the one before it.
//!
//! Proves that the trail was not changed by accident, nor by somebody who did not compute every later value anew; to
//! catch that one, compare the newest value with another node's.

use interlock_core::{AuditChain, LogPosition};

use super::pages::StoredRecord;

/// Most gaps and breaks that are listed; more are counted.
const LISTED_MAX: usize = 100;

/// Records that are not in this trail, because they came inside a snapshot or were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Newest place before it.
    pub after: LogPosition,
    /// First place after it.
    pub before: LogPosition,
}

/// A record whose chain value does not follow from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// Where.
    pub at: LogPosition,
    /// The value that follows.
    pub expected: AuditChain,
    /// The value written down.
    pub found: AuditChain,
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// Records seen.
    pub records: u64,
    /// First of them.
    pub first: Option<LogPosition>,
    /// Newest of them.
    pub last: Option<LogPosition>,
    /// The chain after the newest.
    pub chain: Option<AuditChain>,
    /// Where records are missing.
    pub gaps: Vec<Gap>,
    /// How many gaps there are; only the first are listed.
    pub gap_count: u64,
    /// Where the chain does not hold.
    pub breaks: Vec<Break>,
    /// How many breaks there are; only the first are listed.
    pub break_count: u64,
}

impl ChainReport {
    /// Whether every record follows from the one before it.
    pub fn holds(&self) -> bool {
        self.break_count == 0
    }
}

/// A check under way: give it the records in order.
#[derive(Debug, Clone, Default)]
pub struct ChainCheck {
    report: ChainReport,
}

impl ChainCheck {
    /// Takes the next record.
    pub fn add(&mut self, stored: &StoredRecord) {
        let record = &stored.record;
        let report = &mut self.report;
        if let (Some(after), Some(chain), Some(before)) = (report.last, report.chain, stored.before)
            && before != chain
        {
            report.gap_count += 1;
            if report.gaps.len() < LISTED_MAX {
                report.gaps.push(Gap { after, before: record.at });
            }
        }
        // The very first record of a trail of an older release has nothing to follow from.
        if let Some(before) = stored.before.or(report.chain) {
            let expected = before.extend(record.at, &record.command, &record.verdict);
            if expected != record.chain || report.last >= Some(record.at) {
                report.break_count += 1;
                if report.breaks.len() < LISTED_MAX {
                    report.breaks.push(Break { at: record.at, expected, found: record.chain });
                }
            }
        }
        report.records += 1;
        report.first = report.first.or(Some(record.at));
        report.last = Some(record.at);
        report.chain = Some(record.chain);
    }

    /// What was found.
    pub fn finish(self) -> ChainReport {
        self.report
    }
}
