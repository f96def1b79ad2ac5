//! From one segment to the next, and the removal of the oldest.
//!
//! Invariants: a segment is left only when all of it is synced; the next one appears whole, with the state so far; an
//! old one is removed only when a purge covers it, oldest first, so that a crash leaves no gap.

use std::sync::Arc;
use std::thread::JoinHandle;

use interlock_disk::{DiskError, DiskFile};

use super::{SEGMENT_START_BYTES_MAX, SegmentInfo, Writer};
use crate::fatal::FatalError;
use crate::wal::format::{Kind, RecordHeader, SegmentHeader};
use crate::wal::segment::{create_zeroed, publish, segment_path};

impl Writer {
    /// Goes on in a new segment that starts with the state so far.
    pub(super) fn roll(&mut self) -> Result<(), FatalError> {
        self.write_buffer()?;
        self.sync()?;
        let number = self.number + 1;
        let rolled = self.create_next(number);
        let (file, start) = rolled.map_err(|error| self.fatal.raise("begin a log segment", &error))?;
        self.close_segment().map_err(|error| self.fatal.raise("close a log segment", &error))?;
        self.files.insert(number, Arc::clone(&file));
        self.segments.push_back(SegmentInfo { number, max_index: None });
        self.file = file;
        self.number = number;
        self.size = self.options.segment_bytes;
        self.offset = start;
        self.next_sequence += self.sticky.len() as u64;
        self.synced = self.next_sequence - 1;
        Ok(())
    }

    fn create_next(&mut self, number: u64) -> Result<(Arc<dyn DiskFile>, u64), DiskError> {
        let size = self.options.segment_bytes;
        let file = match self.prepared.take().map(JoinHandle::join) {
            Some(Ok(prepared)) => prepared?,
            // Not prepared, or the thread panicked: make it here.
            Some(Err(_)) | None => create_zeroed(self.disk.as_ref(), &self.directory, number, size)?,
        };
        let first_sequence = self.next_sequence;
        let mut bytes = SegmentHeader { owner: self.owner, number, first_sequence, size }.encode().to_vec();
        for (sequence, record) in (first_sequence..).zip(&self.sticky) {
            let length = record.payload.len() as u32;
            let header = RecordHeader {
                kind: record.kind,
                sequence,
                synced: self.synced,
                index: record.index,
                length,
            };
            header.encode(self.owner, &record.payload, &[], &mut bytes);
        }
        assert!(bytes.len() <= SEGMENT_START_BYTES_MAX, "vote, purge and committed id are small");
        publish(self.disk.as_ref(), &self.directory, number, file.as_ref(), &bytes)?;
        Ok((file, bytes.len() as u64))
    }

    /// Says in the old segment that there is a next one, so that its loss is noticed.
    fn close_segment(&mut self) -> Result<(), DiskError> {
        let mut bytes = Vec::new();
        let sequence = self.next_sequence;
        RecordHeader { kind: Kind::Rolled, sequence, synced: self.synced, index: 0, length: 0 }.encode(
            self.owner,
            &[],
            &[],
            &mut bytes,
        );
        self.file.write_at(self.offset, &bytes)?;
        self.file.sync_data()
    }

    /// Starts on the next segment once half of this one is used.
    pub(super) fn prepare_next(&mut self) {
        let half_used = self.offset >= self.size / 2;
        if !self.options.prepare_ahead || !half_used || self.prepared.is_some() {
            return;
        }
        let (disk, directory) = (Arc::clone(&self.disk), self.directory.clone());
        let (number, size) = (self.number + 1, self.options.segment_bytes);
        let thread = std::thread::Builder::new().name("interlock-log-next".to_owned());
        // Without the thread the segment is made when it is needed.
        self.prepared = thread.spawn(move || create_zeroed(disk.as_ref(), &directory, number, size)).ok();
    }

    /// Removes the oldest segments that hold nothing but purged entries. One at a time: a crash leaves no gap.
    pub(super) fn remove_purged(&mut self, purged: u64) -> Result<(), FatalError> {
        while self.segments.len() > 1 && self.segments[0].max_index.is_none_or(|index| index <= purged) {
            let number = self.segments[0].number;
            let path = segment_path(&self.directory, number);
            let removed = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.directory));
            removed.map_err(|error| self.fatal.raise("remove a purged log segment", &error))?;
            self.files.remove(number);
            self.segments.pop_front();
        }
        Ok(())
    }
}
