//! Directories and file contents, each twice: as the running process sees them, and as they are durable.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::random::SplitMix;

/// Unit that a device writes or loses as a whole; a cut may also tear inside one.
const SECTOR_BYTES: usize = 512;

pub(super) type InodeId = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(InodeId),
    Directory,
}

/// Names that one operation changes together: `None` removes.
type NameChange = Vec<(String, Option<Entry>)>;

#[derive(Debug, Default)]
struct Directory {
    current: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    pending: Vec<NameChange>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
pub(super) struct Tree {
    directories: BTreeMap<PathBuf, Directory>,
    inodes: Vec<Inode>,
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    let parent = path.parent().ok_or_else(|| not_found(path))?;
    let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| not_found(path))?;
    Ok((parent, name.to_owned()))
}

impl Tree {
    pub(super) fn new() -> Tree {
        let directories = BTreeMap::from([(PathBuf::from("/"), Directory::default())]);
        Tree { directories, inodes: Vec::new() }
    }

    pub(super) fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id]
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id]
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut Directory> {
        self.directories.get_mut(path).ok_or_else(|| not_found(path))
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<InodeId> {
        let (parent, name) = split(path)?;
        match self.directories.get(parent).and_then(|directory| directory.current.get(&name)) {
            Some(Entry::File(inode)) => Ok(*inode),
            Some(Entry::Directory) => Err(io::Error::other(format!("{} is a directory", path.display()))),
            None => Err(not_found(path)),
        }
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let directory = self.directories.get(path).ok_or_else(|| not_found(path))?;
        Ok(directory.current.keys().cloned().collect())
    }

    fn create(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let directory = self.directory(parent)?;
        if directory.current.contains_key(&name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", path.display())));
        }
        directory.change(vec![(name, Some(entry))]);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.create(path, Entry::Directory)?;
        self.directories.insert(path.to_owned(), Directory::default());
        Ok(())
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<InodeId> {
        let inode = self.inodes.len();
        self.create(path, Entry::File(inode))?;
        self.inodes.push(Inode::default());
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find_file(from)?;
        let ((parent, old), (target_parent, new)) = (split(from)?, split(to)?);
        if parent != target_parent {
            return Err(io::Error::other("a rename stays within one directory"));
        }
        self.directory(parent)?.change(vec![(old, None), (new, Some(Entry::File(inode)))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find_file(path)?;
        let (parent, name) = split(path)?;
        self.directory(parent)?.change(vec![(name, None)]);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let directory = self.directory(path)?;
        directory.pending.clear();
        directory.durable = directory.current.clone();
        Ok(())
    }

    pub(super) fn damage(&mut self, path: &Path, offset: u64, bytes: &[u8]) {
        let inode = self.find_file(path).expect("the file to damage exists");
        let start = usize::try_from(offset).expect("the offset fits memory");
        let inode = &mut self.inodes[inode];
        inode.current[start..start + bytes.len()].copy_from_slice(bytes);
        if inode.durable.len() >= start + bytes.len() {
            inode.durable[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }

    pub(super) fn power_cut(&mut self, random: &mut SplitMix) {
        for directory in self.directories.values_mut() {
            directory.power_cut(random);
        }
        for inode in &mut self.inodes {
            inode.power_cut(random);
        }
        self.forget_lost_directories();
    }

    /// A directory whose own name was lost takes its contents with it.
    fn forget_lost_directories(&mut self) {
        let mut lost = Vec::new();
        for path in self.directories.keys().filter(|path| path.parent().is_some()) {
            let present = split(path).is_ok_and(|(parent, name)| {
                let parent = self.directories.get(parent).filter(|_| !lost.iter().any(|gone| parent == gone));
                parent.is_some_and(|parent| parent.current.get(&name) == Some(&Entry::Directory))
            });
            if !present {
                lost.push(path.clone());
            }
        }
        for path in lost {
            self.directories.remove(&path);
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        apply_names(&mut self.current, &change);
        self.pending.push(change);
    }

    fn power_cut(&mut self, random: &mut SplitMix) {
        let pending = std::mem::take(&mut self.pending);
        match random.below(3) {
            0 => {}
            1 => pending.iter().for_each(|change| apply_names(&mut self.durable, change)),
            _ => pending
                .iter()
                .filter(|_| random.one_in(2))
                .for_each(|change| apply_names(&mut self.durable, change)),
        }
        self.current = self.durable.clone();
    }
}

fn apply_names(names: &mut BTreeMap<String, Entry>, change: &NameChange) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(name.clone(), entry.clone()),
            None => names.remove(name),
        };
    }
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        write_into(&mut self.current, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn resize(&mut self, size: usize) {
        self.current.resize(size, 0);
        self.pending.push(Change::Resize(size));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } => write_into(&mut self.durable, offset, &bytes),
                Change::Resize(size) => self.durable.resize(size, 0),
            }
        }
    }

    /// What a failed sync leaves behind: readable, marked clean, never written.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    fn power_cut(&mut self, random: &mut SplitMix) {
        let pending = std::mem::take(&mut self.pending);
        let mode = random.below(4);
        for change in pending {
            match change {
                Change::Resize(size) if random.one_in(2) => self.durable.resize(size, 0),
                Change::Write { offset, bytes } if mode != 0 => {
                    write_torn(&mut self.durable, offset, &bytes, mode, random);
                }
                Change::Resize(_) | Change::Write { .. } => {}
            }
        }
        self.current = self.durable.clone();
    }
}

fn write_into(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}

/// Mode 1 keeps all, mode 2 a prefix, others any subset of sectors, some torn.
fn write_torn(target: &mut Vec<u8>, offset: usize, bytes: &[u8], mode: u64, random: &mut SplitMix) {
    match mode {
        1 => write_into(target, offset, bytes),
        2 => {
            let kept = random.below(bytes.len() as u64 + 1) as usize;
            write_into(target, offset, &bytes[..kept]);
        }
        _ => {
            let mut start = 0;
            while start < bytes.len() {
                let end = ((offset + start) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
                let end = end.min(bytes.len());
                match random.below(5) {
                    0 | 1 => {}
                    2 => {
                        let kept = start + random.below((end - start) as u64 + 1) as usize;
                        write_into(target, offset + start, &bytes[start..kept]);
                    }
                    _ => write_into(target, offset + start, &bytes[start..end]),
                }
                start = end;
            }
        }
    }
}
