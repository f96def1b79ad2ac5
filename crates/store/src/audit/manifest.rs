//! Whether the index on disk may be opened: a manifest of ours, written at a clean close, must match its files.
//!
//! sled's flush does not survive a power cut, and a damaged database may panic or open with wrong data. So its files
//! are compared byte for byte (length and CRC32C) before sled sees them; in every other case they are thrown away.
//! While the index is open there is no manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use interlock_core::LogPosition;
use interlock_disk::{Disk, ReadFileError, checksummed, read_checked, replace_file};
use minicbor::{Decode, Encode};

use super::index::{Index, IndexError};

const MANIFEST_FILE: &str = "index.manifest";
const INDEX_DIRECTORY: &str = "index";
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
/// What the trees of the index hold. Another number: it is built again.
const LAYOUT: u32 = 3;
/// sled's main file, which it locks.
const DATABASE_FILE: &str = "db";
/// Longest wait for sled's threads at a close. After it the index counts as not closed cleanly.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
const RELEASE_POLL: Duration = Duration::from_millis(1);

#[derive(Debug, Encode, Decode)]
struct Manifest {
    /// Newest place indexed.
    #[n(0)]
    last: Option<LogPosition>,
    #[n(1)]
    files: Vec<ManifestFile>,
    #[n(2)]
    layout: Option<u32>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
struct ManifestFile {
    /// Path below the index directory.
    #[n(0)]
    name: String,
    #[n(1)]
    size: u64,
    #[n(2)]
    checksum: u32,
}

/// The index directory beside the segments, and its manifest.
#[derive(Debug, Clone)]
pub(super) struct IndexPlace {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

impl IndexPlace {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> IndexPlace {
        IndexPlace { disk, directory }
    }

    fn manifest_path(&self) -> PathBuf {
        self.directory.join(MANIFEST_FILE)
    }

    fn index_path(&self) -> PathBuf {
        self.directory.join(INDEX_DIRECTORY)
    }

    /// Opens the index if its files are exactly those of the last clean close and it ends where the trail ends.
    /// Otherwise says why it has to be built.
    pub(super) fn open_clean(&self, last: Option<LogPosition>) -> Result<Result<Index, String>, IndexError> {
        let manifest = match read_checked(self.disk.as_ref(), &self.manifest_path(), MANIFEST_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(ReadFileError::Missing { .. }) => return Ok(Err("it was not closed cleanly".to_owned())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        // From here on the index changes; a manifest left behind would vouch for files that are not there any more.
        self.remove_manifest()?;
        let manifest: Manifest = match minicbor::decode(&manifest) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Err(format!("its manifest does not decode: {error}"))),
        };
        if manifest.layout != Some(LAYOUT) {
            return Ok(Err(format!("its layout is {:?}, this program reads {LAYOUT}", manifest.layout)));
        }
        if manifest.last != last {
            let place =
                |at: Option<LogPosition>| at.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
            let (found, last) = (place(manifest.last), place(last));
            return Ok(Err(format!("it ends at {found}, the audit trail at {last}")));
        }
        match list_files(&self.index_path()) {
            Ok(found) if found == manifest.files => Index::open(&self.index_path()).map(Ok),
            Ok(found) => Ok(Err(first_difference(&manifest.files, &found))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Throws away whatever is there and begins an empty index.
    pub(super) fn create(&self) -> Result<Index, IndexError> {
        self.remove_manifest()?;
        let path = self.index_path();
        match remove_whatever(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(IndexError::Files { path, source }),
        }
        Index::open(&path)
    }

    fn remove_manifest(&self) -> Result<(), IndexError> {
        match self.disk.remove(&self.manifest_path()) {
            Ok(()) => Ok(self.disk.sync_dir(&self.directory)?),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the use of an index without vouching for it.
    pub(super) fn abandon(&self, index: Index) -> Result<(), IndexError> {
        drop(index);
        wait_until_released(&self.index_path())
    }

    /// Closes the index and vouches for its files.
    pub(super) fn close(&self, index: Index, last: Option<LogPosition>) -> Result<(), IndexError> {
        index.flush()?;
        self.abandon(index)?;
        let files = list_files(&self.index_path())?;
        let manifest = Manifest { last, files, layout: Some(LAYOUT) };
        let bytes = minicbor::to_vec(&manifest).expect("a list of names and numbers encodes into memory");
        replace_file(self.disk.as_ref(), &self.manifest_path(), &checksummed(bytes))?;
        Ok(())
    }
}

/// Something may have put a file where the directory was.
fn remove_whatever(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// sled's own threads may still write after its last handle is dropped. It locks its file as long as any of them lives.
fn wait_until_released(root: &Path) -> Result<(), IndexError> {
    let path = root.join(DATABASE_FILE);
    let failed = |source| IndexError::Files { path: path.clone(), source };
    let file = fs::File::open(&path).map_err(failed)?;
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(RELEASE_POLL),
            Err(fs::TryLockError::WouldBlock) => {
                let text = format!("sled still works on it after {RELEASE_TIMEOUT:?}");
                return Err(failed(std::io::Error::other(text)));
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

/// All files below a directory with sizes and checksums, sorted.
fn list_files(root: &Path) -> Result<Vec<ManifestFile>, IndexError> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let failed = |source| IndexError::Files { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let (size, checksum) = size_and_checksum(&path).map_err(failed)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(ManifestFile { name, size, checksum });
        }
    }
    files.sort();
    Ok(files)
}

fn size_and_checksum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = fs::File::open(path)?;
    let (mut size, mut checksum) = (0, 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok((size, checksum));
        }
        size += read as u64;
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
    }
}

fn first_difference(expected: &[ManifestFile], found: &[ManifestFile]) -> String {
    match expected.iter().find(|file| !found.contains(file)) {
        Some(file) => format!("its file {} is missing or changed", file.name),
        None => "it holds files that were not there when it was closed".to_owned(),
    }
}
