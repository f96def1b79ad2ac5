//! Handles to the simulated disk. A handle belongs to one life of the process and fails after it.

use std::io;
use std::path::{Path, PathBuf};

use super::tree::InodeId;
use super::{FaultKind, SimDisk, power_failed};
use crate::{DiskError, DiskFile, Operation};

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    path: PathBuf,
    life: u64,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: InodeId, path: &Path, life: u64) -> SimFile {
        SimFile { disk, inode, path: path.to_owned(), life }
    }

    fn position(&self, operation: Operation, offset: u64) -> Result<usize, DiskError> {
        usize::try_from(offset)
            .map_err(|error| DiskError::new(operation, &self.path, io::Error::other(error.to_string())))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let start = self.position(Operation::Read, offset)?;
        let world = self.disk.world();
        world.check_power(Operation::Read, &self.path, self.life)?;
        let contents = &world.tree.inode(self.inode).current;
        let start = start.min(contents.len());
        let end = start.saturating_add(buffer.len()).min(contents.len());
        buffer[..end - start].copy_from_slice(&contents[start..end]);
        Ok(end - start)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let start = self.position(Operation::Write, offset)?;
        let mut world = self.disk.world();
        world.check_power(Operation::Write, &self.path, self.life)?;
        let (written, failure) = match world.strike(Operation::Write, &self.path) {
            Ok(false) => (bytes, None),
            Ok(true) => (bytes, Some(power_failed(Operation::Write, &self.path))),
            Err(kind) => {
                let written = if kind == FaultKind::Short { &bytes[..bytes.len() / 2] } else { &[] };
                (written, Some(DiskError::new(Operation::Write, &self.path, kind.error())))
            }
        };
        world.tree.inode_mut(self.inode).write(start, written);
        failure.map_or(Ok(()), Err)
    }

    fn size(&self) -> Result<u64, DiskError> {
        let world = self.disk.world();
        world.check_power(Operation::Read, &self.path, self.life)?;
        Ok(world.tree.inode(self.inode).current.len() as u64)
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        let size = self.position(Operation::SetSize, size)?;
        let mut world = self.disk.world();
        world.check_power(Operation::SetSize, &self.path, self.life)?;
        let power_fails = world.count(Operation::SetSize, &self.path)?;
        world.tree.inode_mut(self.inode).resize(size);
        if power_fails { Err(power_failed(Operation::SetSize, &self.path)) } else { Ok(()) }
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut world = self.disk.world();
        world.check_power(Operation::SyncData, &self.path, self.life)?;
        match world.count(Operation::SyncData, &self.path) {
            Ok(true) => Err(power_failed(Operation::SyncData, &self.path)),
            Ok(false) => {
                if !world.lies.sync_data {
                    world.tree.inode_mut(self.inode).sync();
                }
                Ok(())
            }
            Err(error) => {
                world.tree.inode_mut(self.inode).forget_pending();
                Err(error)
            }
        }
    }
}

/// The lock of a simulated process.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl SimLock {
    pub(super) fn new(disk: SimDisk, path: &Path, life: u64) -> SimLock {
        SimLock { disk, path: path.to_owned(), life }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.life == self.life {
            world.locks.remove(&self.path);
        }
    }
}
