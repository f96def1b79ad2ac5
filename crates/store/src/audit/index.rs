//! The sled index over the audit segments: by place and by key.
//!
//! Only ever a copy of what the segments say. sled's flush does not survive a power cut, and a damaged database may
//! panic or open with wrong data; so it is opened only when a manifest of ours, written at a clean close, matches its
//! files byte for byte. In every other case it is thrown away and built again. While it is open there is no manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use interlock_core::{KeyId, LogPosition};
use interlock_disk::{Disk, DiskError, ReadFileError, checksummed, read_checked, replace_file};
use minicbor::{Decode, Encode};
use thiserror::Error;

use super::record::AuditRecord;
use super::segments::{Location, SegmentReader};

const MANIFEST_FILE: &str = "index.manifest";
const INDEX_DIRECTORY: &str = "index";
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Written by sled on its own, for less work at the next build; nothing relies on it.
const FLUSH_EVERY_MS: u64 = 1000;
/// sled's main file, which it locks.
const DATABASE_FILE: &str = "db";
/// Longest wait for sled's threads at a close. After it the index counts as not closed cleanly.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
const RELEASE_POLL: Duration = Duration::from_millis(1);
const POSITION_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

/// Why the index cannot be used. It is then built again.
#[derive(Debug, Error)]
pub(super) enum IndexError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{}: {source}", path.display())]
    Files { path: PathBuf, source: std::io::Error },
}

#[derive(Debug, Encode, Decode)]
struct Manifest {
    /// Newest place indexed.
    #[n(0)]
    last: Option<LogPosition>,
    #[n(1)]
    files: Vec<ManifestFile>,
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

/// The open index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    database: sled::Db,
    by_place: sled::Tree,
    by_key: sled::Tree,
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
        self.disk.remove(&self.manifest_path())?;
        self.disk.sync_dir(&self.directory)?;
        let manifest: Manifest = match minicbor::decode(&manifest) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Err(format!("its manifest does not decode: {error}"))),
        };
        if manifest.last != last {
            let text = format!("it ends at {:?}, the audit trail at {last:?}", manifest.last);
            return Ok(Err(text));
        }
        match list_files(&self.index_path()) {
            Ok(found) if found == manifest.files => self.open_database().map(Ok),
            Ok(found) => Ok(Err(first_difference(&manifest.files, &found))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Throws away whatever is there and indexes all segments.
    pub(super) fn build(&self, segments: &SegmentReader) -> Result<Index, IndexError> {
        match self.disk.remove(&self.manifest_path()) {
            Ok(()) => self.disk.sync_dir(&self.directory)?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let path = self.index_path();
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(IndexError::Files { path, source }),
        }
        let index = self.open_database()?;
        for segment in segments.segments()? {
            let mut failed = Ok(());
            segments.scan(segment, &mut |location, record| {
                if failed.is_ok() {
                    failed = index.insert(location, &record);
                }
            })?;
            failed?;
        }
        Ok(index)
    }

    fn open_database(&self) -> Result<Index, IndexError> {
        let config = sled::Config::new().path(self.index_path()).cache_capacity(CACHE_BYTES);
        let database = config.flush_every_ms(Some(FLUSH_EVERY_MS)).open()?;
        let (by_place, by_key) = (database.open_tree("by_place")?, database.open_tree("by_key")?);
        Ok(Index { database, by_place, by_key })
    }

    /// Closes the index and vouches for its files.
    pub(super) fn close(&self, index: Index, last: Option<LogPosition>) -> Result<(), IndexError> {
        index.database.flush()?;
        drop(index);
        wait_until_released(&self.index_path())?;
        let files = list_files(&self.index_path())?;
        let manifest = Manifest { last, files };
        let bytes = minicbor::to_vec(&manifest).expect("a list of names and numbers encodes into memory");
        replace_file(self.disk.as_ref(), &self.manifest_path(), &checksummed(bytes))?;
        Ok(())
    }
}

impl Index {
    pub(super) fn insert(&self, location: Location, record: &AuditRecord) -> Result<(), IndexError> {
        let (place, value) = (place_bytes(record.at), location_bytes(location));
        self.by_place.insert(place, &value)?;
        let mut key = [0; KEY_BYTES + POSITION_BYTES];
        key[..KEY_BYTES].copy_from_slice(&record.key().0);
        key[KEY_BYTES..].copy_from_slice(&place);
        self.by_key.insert(key, &value)?;
        Ok(())
    }

    /// Locations of the newest records, newest first.
    pub(super) fn newest(&self, count: usize) -> Result<Vec<Location>, IndexError> {
        locations(self.by_place.iter().rev().take(count))
    }

    /// Locations of a key's newest records, newest first.
    pub(super) fn newest_of(&self, key: KeyId, count: usize) -> Result<Vec<Location>, IndexError> {
        locations(self.by_key.scan_prefix(key.0).rev().take(count))
    }
}

type Found = Result<(sled::IVec, sled::IVec), sled::Error>;

fn locations(found: impl Iterator<Item = Found>) -> Result<Vec<Location>, IndexError> {
    let mut locations = Vec::new();
    for pair in found {
        let (_, value) = pair?;
        let number =
            |at: usize| value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let (Some(segment), Some(offset)) = (number(0), number(8)) else {
            return Err(
                sled::Error::Unsupported("a location in the index has the wrong length".to_owned()).into()
            );
        };
        locations.push(Location { segment, offset });
    }
    Ok(locations)
}

fn place_bytes(at: LogPosition) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&at.log_index.to_be_bytes());
    bytes[8..].copy_from_slice(&at.item.to_be_bytes());
    bytes
}

fn location_bytes(location: Location) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&location.segment.to_be_bytes());
    bytes[8..].copy_from_slice(&location.offset.to_be_bytes());
    bytes
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
            let bytes = fs::read(&path).map_err(failed)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(ManifestFile { name, size: bytes.len() as u64, checksum: crc32c::crc32c(&bytes) });
        }
    }
    files.sort();
    Ok(files)
}

fn first_difference(expected: &[ManifestFile], found: &[ManifestFile]) -> String {
    match expected.iter().find(|file| !found.contains(file)) {
        Some(file) => format!("its file {} is missing or changed", file.name),
        None => "it holds files that were not there when it was closed".to_owned(),
    }
}
