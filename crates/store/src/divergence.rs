//! The marks of a node whose state differs from that of the others, or may: durable.
//!
//! Equal logs give equal states; where they do not, memory, disk or code has failed, and nothing this node says can be
//! relied on. Invariant: with the mark of divergence a data directory never opens again, and the node is replaced by a
//! new one. The mark of doubt, where nobody could say who is right, is taken back only when a majority confirms this
//! node's state; until then it serves nobody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_disk::{Disk, DiskError, read_all, replace_file};

use crate::fatal::{Fatal, FatalError};

const DIVERGED_FILE: &str = "diverged";
const DOUBT_FILE: &str = "doubt";
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Stops this node for good. Clones share it.
#[derive(Debug, Clone)]
pub struct DivergenceMark {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    fatal: Fatal,
    doubt: Option<String>,
}

impl DivergenceMark {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        fatal: Fatal,
    ) -> Result<DivergenceMark, DiskError> {
        let doubt = read(disk.as_ref(), &directory.join(DOUBT_FILE))?;
        Ok(DivergenceMark { disk, directory: directory.to_owned(), fatal, doubt })
    }

    /// That an earlier run of this node found it to differ, and what it found.
    pub(crate) fn diverged(disk: &dyn Disk, directory: &Path) -> Result<Option<String>, DiskError> {
        read(disk, &directory.join(DIVERGED_FILE))
    }

    /// What made an earlier run doubt this node's state, unless a majority has confirmed it since.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// A majority has confirmed this node's state.
    ///
    /// # Errors
    /// When the mark could not be removed: the next start doubts again.
    pub fn confirmed(&mut self) -> Result<(), DiskError> {
        self.disk.remove(&self.directory.join(DOUBT_FILE))?;
        self.disk.sync_dir(&self.directory)?;
        self.doubt = None;
        Ok(())
    }

    /// As [`DivergenceMark::stop`], where nobody can say whether this node is the one that is wrong: the directory
    /// opens again, in doubt.
    ///
    /// # Errors
    /// As [`DivergenceMark::stop`].
    pub fn stop_in_doubt(&self, finding: &str) -> Result<(), DiskError> {
        self.leave(DOUBT_FILE, finding)
    }

    /// From now on nothing is applied, appended or acknowledged, and the directory does not open again. The finding is
    /// durable when this returns.
    ///
    /// # Errors
    /// When it could not be written down: the node has stopped all the same, but only until its next start.
    pub fn stop(&self, finding: &str) -> Result<(), DiskError> {
        self.leave(DIVERGED_FILE, finding)
    }

    fn leave(&self, file: &str, finding: &str) -> Result<(), DiskError> {
        // First, so that nothing is served while the disk works.
        self.fatal.poison(FatalError::Diverged { finding: finding.to_owned() });
        let text = format!("{finding}\n");
        replace_file(self.disk.as_ref(), &self.directory.join(file), text.as_bytes())
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<String>, DiskError> {
    match read_all(disk, path, FILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
