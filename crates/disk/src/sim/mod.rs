//! A disk in memory that is as forgetful as the contract allows.
//!
//! Written bytes are volatile until their file is synced; names are volatile until their directory is synced, and
//! unsynced changes of names survive in any subset. A power cut keeps an arbitrary part of what is volatile, torn at
//! any byte. A failed sync forgets what it should have made durable, as kernels do, although it stays readable.
//! Everything random comes from the seed of the cut.

mod fault;
mod files;
mod random;
mod tree;

pub use fault::{Fault, FaultKind};
pub use files::SimLock;
pub use random::SplitMix;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{DirectoryLock, Disk, DiskError, DiskFile, LockError, Operation};
use files::SimFile;
use tree::Tree;

/// What a simulated disk may be told to pretend, to prove that a test notices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lies {
    /// `sync_data` answers success and does nothing.
    pub sync_data: bool,
    /// `sync_dir` answers success and does nothing.
    pub sync_dir: bool,
}

/// The simulated disk. Clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    tree: Tree,
    /// Grows with each restart of the process: handles of an earlier life fail.
    life: u64,
    operations: u64,
    /// The power fails when this many operations were made.
    cut_at: Option<u64>,
    powered: bool,
    faults: Vec<Fault>,
    lies: Lies,
    locks: BTreeSet<PathBuf>,
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk with a durable root directory `/`.
    pub fn new() -> SimDisk {
        let world = World {
            tree: Tree::new(),
            life: 0,
            operations: 0,
            cut_at: None,
            powered: true,
            faults: Vec::new(),
            lies: Lies::default(),
            locks: BTreeSet::new(),
        };
        SimDisk { world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic in a test thread must not hide behind a second one.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far that change something: writes, syncs, creations, renames, removals.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Lets the power fail inside the operation number `count` from now: its effect is volatile, it answers an error,
    /// and so does everything after it until [`SimDisk::power_cut`].
    pub fn cut_after(&self, count: u64) {
        let mut world = self.world();
        world.cut_at = Some(world.operations + count);
    }

    /// Cuts the power: keeps what is durable and a part of the rest that `seed` chooses, then powers up again. All
    /// handles from before are dead and all locks are free.
    pub fn power_cut(&self, seed: u64) {
        let mut world = self.world();
        world.tree.power_cut(&mut SplitMix::new(seed));
        world.restart();
    }

    /// Ends the process without a power cut: what was written stays readable, but is no more durable than before.
    pub fn kill_process(&self) {
        self.world().restart();
    }

    /// Lets operations fail from now on. See [`Fault`].
    pub fn inject(&self, fault: Fault) {
        self.world().faults.push(fault);
    }

    /// Withdraws all injected faults.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }

    /// Makes the disk lie, or stop lying.
    pub fn lie(&self, lies: Lies) {
        self.world().lies = lies;
    }

    /// Changes bytes of a file behind everyone's back, as damage does: durable at once.
    ///
    /// # Panics
    /// When the file does not exist or is shorter: a test that damages nothing proves nothing.
    pub fn damage(&self, path: &Path, offset: u64, bytes: &[u8]) {
        self.world().tree.damage(path, offset, bytes);
    }

    /// What the file holds for the running process.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        let inode = world.tree.find_file(path).ok()?;
        Some(world.tree.inode(inode).current.clone())
    }
}

impl World {
    fn restart(&mut self) {
        self.life += 1;
        self.powered = true;
        self.cut_at = None;
        self.locks.clear();
    }

    fn check_power(&self, operation: Operation, path: &Path, life: u64) -> Result<(), DiskError> {
        if !self.powered || life != self.life {
            return Err(DiskError::new(operation, path, io::Error::other("the power is off")));
        }
        Ok(())
    }

    /// Counts a changing operation. `Ok(true)`: the power fails inside it, so its effect happens and stays volatile.
    fn count(&mut self, operation: Operation, path: &Path) -> Result<bool, DiskError> {
        self.strike(operation, path).map_err(|kind| DiskError::new(operation, path, kind.error()))
    }

    /// As [`World::count`], with the kind of an injected fault.
    fn strike(&mut self, operation: Operation, path: &Path) -> Result<bool, FaultKind> {
        self.operations += 1;
        if self.cut_at.is_some_and(|cut_at| self.operations >= cut_at) {
            self.powered = false;
            return Ok(true);
        }
        match self.faults.iter_mut().find_map(|fault| fault.strikes(operation, path)) {
            Some(kind) => Err(kind),
            None => Ok(false),
        }
    }
}

fn power_failed(operation: Operation, path: &Path) -> DiskError {
    DiskError::new(operation, path, io::Error::other("the power failed"))
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.change(Operation::CreateDir, path, |tree| tree.create_dir(path))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        let world = self.world();
        world.check_power(Operation::List, path, world.life)?;
        world.tree.list(path).map_err(|error| DiskError::new(Operation::List, path, error))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let inode = self.change(Operation::Create, path, |tree| tree.create_file(path))?;
        Ok(Box::new(SimFile::new(self.clone(), inode, path, self.world().life)))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let world = self.world();
        world.check_power(Operation::Open, path, world.life)?;
        let found = world.tree.find_file(path);
        let inode = found.map_err(|error| DiskError::new(Operation::Open, path, error))?;
        Ok(Box::new(SimFile::new(self.clone(), inode, path, world.life)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.change(Operation::Rename, from, |tree| tree.rename(from, to))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.change(Operation::Remove, path, |tree| tree.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world();
        world.check_power(Operation::SyncDir, path, world.life)?;
        if world.count(Operation::SyncDir, path)? {
            return Err(power_failed(Operation::SyncDir, path));
        }
        if world.lies.sync_dir {
            return Ok(());
        }
        world.tree.sync_dir(path).map_err(|error| DiskError::new(Operation::SyncDir, path, error))
    }

    fn lock(&self, path: &Path) -> Result<DirectoryLock, LockError> {
        let mut world = self.world();
        world.check_power(Operation::Lock, path, world.life)?;
        if !world.locks.insert(path.to_owned()) {
            return Err(LockError::Held { path: path.to_owned(), holder: "this simulation".to_owned() });
        }
        let lock = SimLock::new(self.clone(), path, world.life);
        Ok(DirectoryLock::of_simulation(lock))
    }
}

impl SimDisk {
    fn change<T>(
        &self,
        operation: Operation,
        path: &Path,
        effect: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut world = self.world();
        world.check_power(operation, path, world.life)?;
        let power_fails = world.count(operation, path)?;
        let result = effect(&mut world.tree).map_err(|error| DiskError::new(operation, path, error))?;
        if power_fails {
            return Err(power_failed(operation, path));
        }
        Ok(result)
    }
}
