//! Real files. Thin: every method is one system call or two.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{DirectoryLock, Disk, DiskError, DiskFile, LockError, Operation};

/// Only the owner may enter.
const DIRECTORY_MODE: u32 = 0o700;
/// Only the owner may read or write.
const FILE_MODE: u32 = 0o600;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

fn failed(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> DiskError + '_ {
    move |source| DiskError::new(operation, path, source)
}

fn boxed(file: File, path: &Path) -> Box<dyn DiskFile> {
    Box::new(RealFile { file, path: path.to_owned() })
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        DirBuilder::new().mode(DIRECTORY_MODE).create(path).map_err(failed(Operation::CreateDir, path))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed(Operation::List, path))? {
            let name = entry.map_err(failed(Operation::List, path))?.file_name();
            names.push(name.into_string().map_err(|name| {
                let text = format!("the name {} is not UTF-8", name.display());
                DiskError::new(Operation::List, path, io::Error::other(text))
            })?);
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        options.open(path).map(|file| boxed(file, path)).map_err(failed(Operation::Create, path))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.open(path).map(|file| boxed(file, path)).map_err(failed(Operation::Open, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        std::fs::rename(from, to).map_err(failed(Operation::Rename, from))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        std::fs::remove_file(path).map_err(failed(Operation::Remove, path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        File::open(path).and_then(|directory| directory.sync_all()).map_err(failed(Operation::SyncDir, path))
    }

    fn lock(&self, path: &Path) -> Result<DirectoryLock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let mut file = options.open(path).map_err(failed(Operation::Lock, path))?;
        match file.try_lock() {
            Ok(()) => {
                // The content only helps a person; the lock itself is what excludes.
                file.set_len(0).map_err(failed(Operation::Lock, path))?;
                write!(file, "process {}", std::process::id()).map_err(failed(Operation::Lock, path))?;
                Ok(DirectoryLock::of_file(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = (&file).take(64).read_to_string(&mut holder);
                if read.is_err() || holder.is_empty() {
                    holder = "another process".to_owned();
                }
                Err(LockError::Held { path: path.to_owned(), holder })
            }
            Err(TryLockError::Error(source)) => {
                Err(LockError::Disk(DiskError::new(Operation::Lock, path, source)))
            }
        }
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::new(Operation::Read, &self.path, error)),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(failed(Operation::Write, &self.path))
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(failed(Operation::Read, &self.path))
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_len(size).map_err(failed(Operation::SetSize, &self.path))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(failed(Operation::SyncData, &self.path))
    }
}
