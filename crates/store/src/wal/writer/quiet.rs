//! What the writer does when nobody asks for anything: it says in the log how far the log is durable.
//!
//! Recovery cuts records that do not read unless something behind them claims that they were durable. Under load the
//! next record claims it. After a moment of quiet a marker does, which is not synced. After a longer one a marker does
//! that is synced and lies in a page of its own: from then on even the loss of the last page of records is noticed.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Writer;
use crate::fatal::FatalError;
use crate::wal::Submission;
use crate::wal::format::{Kind, record_bytes};

/// Quiet after which the log says how far it is durable.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(5);
/// Further quiet after which it says so durably. Costs two syncs, and a page of the segment.
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Unit in which a device fails.
const PAGE_BYTES: usize = 4096;

impl Writer {
    /// The next submission; `None` when there will be none.
    pub(super) fn next(&mut self, receiver: &Receiver<Submission>) -> Result<Option<Submission>, FatalError> {
        if self.settled {
            return Ok(receiver.recv().ok());
        }
        for quiet in [ANNOUNCE_AFTER, SETTLE_AFTER] {
            match receiver.recv_timeout(quiet) {
                Ok(next) => return Ok(Some(next)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if quiet == ANNOUNCE_AFTER => self.announce()?,
                Err(RecvTimeoutError::Timeout) => self.settle()?,
            }
        }
        Ok(receiver.recv().ok())
    }

    /// Leaves a marker behind the last acknowledged records. Nobody waits for it.
    fn announce(&mut self) -> Result<(), FatalError> {
        if self.announced < self.synced && self.fits(0) {
            self.encode(Kind::Marker, 0, &[], &[]);
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Syncs everything and leaves a durable marker in a page of its own.
    pub(super) fn settle(&mut self) -> Result<(), FatalError> {
        self.write_buffer()?;
        self.sync()?;
        let after_filler = self.offset as usize + record_bytes(0);
        let filler = vec![0; after_filler.next_multiple_of(PAGE_BYTES) - after_filler];
        if self.fits(filler.len() + record_bytes(0)) {
            self.encode(Kind::Marker, 0, &filler, &[]);
            self.encode(Kind::Marker, 0, &[], &[]);
            self.write_buffer()?;
            self.sync()?;
        } else {
            // The next segment's header says the same.
            self.roll()?;
        }
        self.settled = true;
        Ok(())
    }
}
