//! Bugs that the harness must notice, as disks that break the contract of `Disk`. They exist only in this test.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use interlock_disk::{DirectoryLock, Disk, DiskError, DiskFile, LockError};

/// What is wrong with the store under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Nothing.
    None,
    /// A sync of a log file answers at once, and is carried out some answers later.
    AcknowledgeBeforeSync,
    /// Directories are never synced.
    NoDirectorySync,
    /// The log is a sled tree, and its `flush` counts as a sync. Only on a real file system.
    Sled,
}

impl Planted {
    /// Those that the simulated layer can run.
    pub(crate) const SIMULATED: [Planted; 2] = [Planted::AcknowledgeBeforeSync, Planted::NoDirectorySync];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Planted::None => "none",
            Planted::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Planted::NoDirectorySync => "no-directory-sync",
            Planted::Sled => "sled",
        }
    }

    pub(crate) fn of_name(name: &str) -> Result<Planted, String> {
        let all = [Planted::None, Planted::AcknowledgeBeforeSync, Planted::NoDirectorySync, Planted::Sled];
        let found = all.into_iter().find(|planted| planted.name() == name);
        found.ok_or_else(|| format!("no planted bug is called {name}"))
    }

    /// The disk that the store under test is given.
    pub(crate) fn disk(self, honest: Arc<dyn Disk>) -> Arc<dyn Disk> {
        match self {
            Planted::None | Planted::Sled => honest,
            Planted::AcknowledgeBeforeSync | Planted::NoDirectorySync => {
                Arc::new(LyingDisk { honest, planted: self })
            }
        }
    }
}

struct LyingDisk {
    honest: Arc<dyn Disk>,
    planted: Planted,
}

impl fmt::Debug for LyingDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {:?}", self.planted.name(), self.honest)
    }
}

impl LyingDisk {
    fn file(&self, path: &Path, honest: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let is_log = path.parent().is_some_and(|directory| directory.ends_with("log"));
        if is_log && self.planted == Planted::AcknowledgeBeforeSync {
            return Box::new(LateFile { honest, answered: AtomicU64::new(0) });
        }
        honest
    }
}

impl Disk for LyingDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.honest.create_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        self.honest.list(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.honest.create(path).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.honest.open(path).map(|file| self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.honest.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.honest.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        if self.planted == Planted::NoDirectorySync { Ok(()) } else { self.honest.sync_dir(path) }
    }

    fn lock(&self, path: &Path) -> Result<DirectoryLock, LockError> {
        self.honest.lock(path)
    }
}

/// So many syncs are answered before one is carried out.
const ANSWERS_AHEAD: u64 = 4;

/// A file that answers before it syncs.
#[derive(Debug)]
struct LateFile {
    honest: Box<dyn DiskFile>,
    answered: AtomicU64,
}

impl DiskFile for LateFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.honest.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.honest.write_at(offset, bytes)
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.honest.size()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.honest.set_size(size)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let answered = self.answered.fetch_add(1, Ordering::SeqCst) + 1;
        if answered.is_multiple_of(ANSWERS_AHEAD) { self.honest.sync_data() } else { Ok(()) }
    }
}
