//! The snapshot files of a data directory, of which the newest is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::{ClusterId, State};
use interlock_disk::{Disk, DiskError, ReadFileError, read_checked, replace_file};
use thiserror::Error;

use super::data::SnapshotData;
use super::{SNAPSHOT_BYTES_MAX, SUFFIX, SnapshotError, TEMPORARY_SUFFIX, decode_body};
use crate::types::{LogId, Snapshot};

/// Bytes that are written and synced at once: a snapshot of many at once would make the log wait for the device.
const WRITE_BYTES: usize = 1024 * 1024;

/// Why the kept snapshot does not open.
#[derive(Debug, Error)]
pub enum SnapshotOpenError {
    /// The file does not read.
    #[error("{source}. The state before it is gone from the log; replace this node by a new one")]
    File {
        /// What is wrong.
        #[from]
        source: ReadFileError,
    },
    /// The file reads and is not a snapshot for this node.
    #[error("{}: {source}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: SnapshotError,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The files of one directory, of which the newest snapshot is kept.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    current: Option<Snapshot>,
}

impl SnapshotFiles {
    /// Finds and verifies the newest snapshot. Returns its state too, if there is one.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        cluster: ClusterId,
    ) -> Result<(SnapshotFiles, Option<State>), SnapshotOpenError> {
        let mut names = Vec::new();
        for name in disk.list(&directory)? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                disk.remove(&directory.join(name))?;
            } else if name.ends_with(SUFFIX) {
                names.push(name);
            }
        }
        let mut files = SnapshotFiles { disk, directory, current: None };
        // Names sort by log index; an older one may be left from a crash before its removal.
        let Some(newest) = names.last() else { return Ok((files, None)) };
        let path = files.directory.join(newest);
        let body = read_checked(files.disk.as_ref(), &path, SNAPSHOT_BYTES_MAX)?;
        let (meta, state) = decode_body(&body, cluster)
            .map_err(|source| SnapshotOpenError::Content { path: path.clone(), source })?;
        let snapshot = SnapshotData::of_file(&files.disk, &path)?;
        // A process may have died between the rename and the sync of the directory.
        files.disk.sync_dir(&files.directory)?;
        files.current = Some(Snapshot { meta, snapshot });
        files.remove_all_but(&path)?;
        Ok((files, Some(state)))
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        self.current.clone()
    }

    /// Makes a snapshot durable and the current one, unless a newer one came first. Returns it as a file.
    pub(crate) fn keep(&mut self, snapshot: Snapshot) -> Result<Snapshot, DiskError> {
        let newest = self.current.as_ref().map(|current| current.meta.last_log_id);
        if newest.is_some_and(|newest| newest > snapshot.meta.last_log_id) {
            return Ok(snapshot);
        }
        let path = self.directory.join(file_name(snapshot.meta.last_log_id.as_ref()));
        match snapshot.snapshot.temporary() {
            Some((received, temporary)) => {
                received.file.sync_data()?;
                self.disk.rename(&temporary, &path)?;
                received.kept();
            }
            None => self.write(&path, &snapshot.snapshot)?,
        }
        self.disk.sync_dir(&self.directory)?;
        let kept = Snapshot { snapshot: SnapshotData::of_file(&self.disk, &path)?, meta: snapshot.meta };
        self.current = Some(kept.clone());
        self.remove_all_but(&path)?;
        Ok(kept)
    }

    /// Temporary file, sync, rename; the directory is synced by the caller.
    fn write(&self, path: &Path, data: &SnapshotData) -> Result<(), DiskError> {
        let temporary = path.with_extension(&TEMPORARY_SUFFIX[1..]);
        match self.disk.remove(&temporary) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let file = self.disk.create(&temporary)?;
        let mut offset = 0;
        while offset < data.size() {
            let bytes = data.read_at(offset, WRITE_BYTES)?;
            file.write_at(offset, &bytes)?;
            file.sync_data()?;
            offset += bytes.len() as u64;
        }
        self.disk.rename(&temporary, path)
    }

    fn remove_all_but(&self, kept: &Path) -> Result<(), DiskError> {
        let mut removed = false;
        for name in self.disk.list(&self.directory)? {
            let path = self.directory.join(&name);
            if name.ends_with(SUFFIX) && path != kept {
                self.disk.remove(&path)?;
                removed = true;
            }
        }
        if removed { self.disk.sync_dir(&self.directory) } else { Ok(()) }
    }
}

/// Puts the first snapshot into a directory that has none yet. Durable when it returns.
pub(crate) fn create(
    disk: &dyn Disk,
    directory: &Path,
    last_log_id: Option<&LogId>,
    encoded: &[u8],
) -> Result<(), DiskError> {
    replace_file(disk, &directory.join(file_name(last_log_id)), encoded)
}

fn file_name(id: Option<&LogId>) -> String {
    let (index, term, node) = id.map_or((0, 0, 0), |id| {
        (id.index(), id.committed_leader_id().term, id.committed_leader_id().node_id)
    });
    format!("{index:020}-{term:020}-{node:020}{SUFFIX}")
}
