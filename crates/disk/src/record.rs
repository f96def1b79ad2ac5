//! One small record that is replaced often and durably: one write and one sync per update.
//!
//! The file holds two slots that updates use in turn, so that a torn update leaves the previous record whole. Each slot
//! holds two copies in separate pages, so that damage to one page is told from a torn update and never brings back an
//! older record. Invariant: [`RecordFile::update`] returns only after the sync; after an error the file refuses
//! everything, because what is durable is then unknown.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{Disk, DiskError, DiskFile, write_zeros};

/// First bytes of each copy.
const MAGIC: [u8; 4] = *b"ILRC";
/// Version of the layout of a copy.
const LAYOUT_VERSION: u32 = 1;
/// magic 4, layout version 4, content version 4, length 4, sequence 8.
const HEADER_BYTES: usize = 24;
/// CRC32C behind the content.
const CHECKSUM_BYTES: usize = 4;
/// Unit in which a device fails; copies never share one.
const PAGE_BYTES: usize = 4096;
/// Largest record, in bytes.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Two slots of two copies.
const COPIES: u64 = 4;

/// Why a record file was not created, opened or updated.
#[derive(Debug, Error)]
pub enum RecordError {
    /// There is no such file. Only an explicit verb creates one.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file exists already, and creating it again would forget what it holds.
    #[error("{} exists already; it is created only once", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{} is empty: its creation was interrupted or its contents are lost", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// No copy is whole.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Written by a newer release.
    #[error("{} has version {found}, this program reads up to {known}; upgrade it", path.display())]
    NewerVersion {
        /// Which file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// The content does not fit.
    #[error("a record of {bytes} bytes does not fit {}, which holds {limit}", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Bytes given.
        bytes: usize,
        /// Bytes it holds.
        limit: usize,
    },
    /// An earlier update failed, so the durable contents are unknown.
    #[error("{} failed earlier and is no longer written; restart to read what it holds", path.display())]
    Poisoned {
        /// Which file.
        path: PathBuf,
    },
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A durable record: contents, the version of their encoding, and a sequence number that grows with each update.
#[derive(Debug)]
pub struct RecordFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    copy_bytes: usize,
    content_version: u32,
    sequence: u64,
    content: Vec<u8>,
    poisoned: bool,
}

struct Copy {
    content_version: u32,
    sequence: u64,
    content: Vec<u8>,
}

impl RecordFile {
    /// Creates the file with its first content. Room is reserved for `bytes_max` bytes, for the life of the file.
    ///
    /// # Errors
    /// [`RecordError::Exists`] when there is one; [`RecordError::TooLarge`]; device errors.
    pub fn create(
        disk: &dyn Disk,
        path: &Path,
        content_version: u32,
        content: &[u8],
        bytes_max: usize,
    ) -> Result<RecordFile, RecordError> {
        match disk.open(path) {
            Ok(_) => return Err(RecordError::Exists { path: path.to_owned() }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let limit = bytes_max.min(RECORD_BYTES_MAX);
        if content.len() > limit {
            return Err(RecordError::TooLarge { path: path.to_owned(), bytes: content.len(), limit });
        }
        let copy_bytes = (HEADER_BYTES + limit + CHECKSUM_BYTES).next_multiple_of(PAGE_BYTES);
        let temporary = path.with_extension("tmp");
        match disk.remove(&temporary) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let file = disk.create(&temporary)?;
        write_zeros(file.as_ref(), 0, COPIES * copy_bytes as u64)?;
        let mut record = RecordFile {
            file,
            path: path.to_owned(),
            copy_bytes,
            content_version,
            sequence: 0,
            content: Vec::new(),
            poisoned: false,
        };
        record.update(content)?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(parent(path))?;
        Ok(record)
    }

    /// Opens the file and reads its newest content. What it read is written again and synced before it returns, so
    /// that contents left in memory by a process that died are durable too. `known_version` is the newest content
    /// version the caller understands.
    ///
    /// # Errors
    /// Missing, empty, damaged and newer files are told apart; never a default.
    pub fn open(disk: &dyn Disk, path: &Path, known_version: u32) -> Result<RecordFile, RecordError> {
        let (file, copy_bytes, newest) = load(disk, path, known_version)?;
        disk.sync_dir(parent(path))?;
        let mut record = RecordFile {
            file,
            path: path.to_owned(),
            copy_bytes,
            content_version: newest.content_version,
            sequence: newest.sequence,
            content: newest.content,
            poisoned: false,
        };
        let content = std::mem::take(&mut record.content);
        record.update(&content)?;
        Ok(record)
    }

    /// Replaces the content. Durable when it returns.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`] changes nothing; after a device error the file is poisoned.
    pub fn update(&mut self, content: &[u8]) -> Result<(), RecordError> {
        if self.poisoned {
            return Err(RecordError::Poisoned { path: self.path.clone() });
        }
        let limit = self.copy_bytes - HEADER_BYTES - CHECKSUM_BYTES;
        if content.len() > limit {
            return Err(RecordError::TooLarge { path: self.path.clone(), bytes: content.len(), limit });
        }
        let sequence = self.sequence + 1;
        let copy = encode_copy(self.content_version, sequence, content);
        let slot = (sequence % 2) * 2 * self.copy_bytes as u64;
        self.poisoned = true;
        self.file.write_at(slot, &copy)?;
        self.file.write_at(slot + self.copy_bytes as u64, &copy)?;
        self.file.sync_data()?;
        self.poisoned = false;
        self.sequence = sequence;
        self.content.clear();
        self.content.extend_from_slice(content);
        Ok(())
    }

    /// Replaces content and content version, for a format upgrade. Durable when it returns.
    ///
    /// # Errors
    /// As [`RecordFile::update`].
    pub fn upgrade(&mut self, content_version: u32, content: &[u8]) -> Result<(), RecordError> {
        self.content_version = content_version;
        self.update(content)
    }

    /// The newest durable content.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Version of the content's encoding, as its writer gave it.
    pub fn content_version(&self) -> u32 {
        self.content_version
    }

    /// Number of the update that wrote the content; grows by one each time, also when the file is opened.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Reads the newest content without using the file: nothing is written, and nothing may write it meanwhile.
///
/// # Errors
/// As [`RecordFile::open`].
pub fn read_record(disk: &dyn Disk, path: &Path, known_version: u32) -> Result<Vec<u8>, RecordError> {
    load(disk, path, known_version).map(|(_, _, newest)| newest.content)
}

type Loaded = (Box<dyn DiskFile>, usize, Copy);

fn load(disk: &dyn Disk, path: &Path, known_version: u32) -> Result<Loaded, RecordError> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Err(RecordError::Missing { path: path.to_owned() }),
        Err(error) => return Err(error.into()),
    };
    let copy_bytes = copy_bytes_of(path, file.size()?)?;
    let newest = newest_copy(path, file.as_ref(), copy_bytes)?;
    if newest.content_version > known_version {
        return Err(RecordError::NewerVersion {
            path: path.to_owned(),
            found: newest.content_version,
            known: known_version,
        });
    }
    Ok((file, copy_bytes, newest))
}

fn copy_bytes_of(path: &Path, size: u64) -> Result<usize, RecordError> {
    if size == 0 {
        return Err(RecordError::Empty { path: path.to_owned() });
    }
    let copy_bytes = usize::try_from(size / COPIES).unwrap_or(usize::MAX);
    let largest = (HEADER_BYTES + RECORD_BYTES_MAX + CHECKSUM_BYTES).next_multiple_of(PAGE_BYTES);
    let whole = size.is_multiple_of(COPIES) && copy_bytes.is_multiple_of(PAGE_BYTES);
    if !whole || copy_bytes > largest {
        let reason = format!("its size of {size} bytes is not that of a record file");
        return Err(RecordError::Damaged { path: path.to_owned(), reason });
    }
    Ok(copy_bytes)
}

fn newest_copy(path: &Path, file: &dyn DiskFile, copy_bytes: usize) -> Result<Copy, RecordError> {
    let mut newest: Option<Copy> = None;
    let mut reasons = Vec::new();
    for number in 0..COPIES {
        let mut bytes = vec![0; copy_bytes];
        let read = file.read_at(number * copy_bytes as u64, &mut bytes)?;
        match decode_copy(&bytes[..read]) {
            Ok(copy) if newest.as_ref().is_none_or(|known| known.sequence < copy.sequence) => {
                newest = Some(copy)
            }
            Ok(_) => {}
            Err(reason) => reasons.push(format!("copy {number}: {reason}")),
        }
    }
    newest.ok_or_else(|| RecordError::Damaged { path: path.to_owned(), reason: reasons.join("; ") })
}

fn encode_copy(content_version: u32, sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&LAYOUT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&content_version.to_le_bytes());
    // At most RECORD_BYTES_MAX, which fits.
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(content);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode_copy(bytes: &[u8]) -> Result<Copy, String> {
    let number = |at: usize| -> Result<u32, String> {
        let field = bytes.get(at..at + 4).and_then(|field| field.try_into().ok());
        field.map(u32::from_le_bytes).ok_or_else(|| "cut short".to_owned())
    };
    if bytes.get(..4) != Some(&MAGIC[..]) {
        return Err("no record".to_owned());
    }
    if number(4)? != LAYOUT_VERSION {
        return Err(format!("layout version {} is not known", number(4)?));
    }
    let end = HEADER_BYTES + number(12)? as usize;
    let body = bytes.get(..end).ok_or_else(|| format!("length runs to {end}, past its room"))?;
    let (stored, computed) = (number(end)?, crc32c::crc32c(body));
    if stored != computed {
        return Err(format!("checksum is {stored:08x}, contents give {computed:08x}"));
    }
    let sequence = u64::from(number(16)?) | u64::from(number(20)?) << 32;
    Ok(Copy { content_version: number(8)?, sequence, content: body[HEADER_BYTES..].to_vec() })
}
