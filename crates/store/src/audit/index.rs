//! The sled index over the audit segments: by key, and a few places of each segment.
//!
//! Only ever a copy of what the segments say. A pair of trees for each segment, so that a segment that retention
//! removes takes its part of the index along without a search. sled 0.34 keeps many times its cache in memory, more
//! with batches and a large cache (the soak shows it): so both stay small, and only what makes a question fast is put
//! in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use interlock_core::{KeyId, LogPosition};
use interlock_disk::DiskError;
use thiserror::Error;

use super::record::AuditRecord;
use super::segments::Location;

const CACHE_BYTES: u64 = 1024 * 1024;
/// One place is indexed for each of these parts of a segment; reading goes on from there.
const PLACE_EVERY_BYTES: u64 = 64 * 1024;
/// Written by sled on its own, for less work at the next build; nothing relies on it.
const FLUSH_EVERY_MS: u64 = 1000;
const POSITION_BYTES: usize = 12;
const KEY_BYTES: usize = 32;
const BY_PLACE: &str = "place-";
const BY_KEY: &str = "key-";

/// Why the index cannot be used. It is then built again.
#[derive(Debug, Error)]
pub(super) enum IndexError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{}: {source}", path.display())]
    Files { path: std::path::PathBuf, source: std::io::Error },
    #[error("a location in it has the wrong length")]
    Location,
}

/// The open index. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Index {
    database: sled::Db,
    trees: Arc<RwLock<BTreeMap<u64, Trees>>>,
}

#[derive(Debug, Clone)]
struct Trees {
    by_place: sled::Tree,
    by_key: sled::Tree,
}

type Place = [u8; POSITION_BYTES];
type KeyAndPlace = [u8; KEY_BYTES + POSITION_BYTES];
type Offset = [u8; 8];

/// Records of one segment, in order, that enter the index together.
#[derive(Debug, Default)]
pub(super) struct Additions {
    by_place: Vec<(Place, Offset)>,
    by_key: Vec<(KeyAndPlace, Offset)>,
    part: Option<u64>,
    pub(super) count: usize,
}

impl Additions {
    pub(super) fn add(&mut self, location: Location, record: &AuditRecord) {
        let (place, offset) = (place_bytes(record.at), location.offset.to_be_bytes());
        let part = location.offset / PLACE_EVERY_BYTES;
        if self.part != Some(part) {
            self.part = Some(part);
            self.by_place.push((place, offset));
        }
        let mut key = [0; KEY_BYTES + POSITION_BYTES];
        key[..KEY_BYTES].copy_from_slice(&record.key().0);
        key[KEY_BYTES..].copy_from_slice(&place);
        self.by_key.push((key, offset));
        self.count += 1;
    }
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Index, IndexError> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES);
        let database = config.flush_every_ms(Some(FLUSH_EVERY_MS)).open()?;
        let index = Index { database, trees: Arc::default() };
        for name in index.database.tree_names() {
            let number = std::str::from_utf8(&name).ok().and_then(|name| name.strip_prefix(BY_PLACE));
            if let Some(segment) = number.and_then(|number| number.parse().ok()) {
                index.trees_of(segment)?;
            }
        }
        Ok(index)
    }

    /// Hands everything to the operating system. Not durable, and nothing relies on it.
    pub(super) fn flush(&self) -> Result<(), IndexError> {
        self.database.flush()?;
        Ok(())
    }

    pub(super) fn insert(&self, segment: u64, additions: Additions) -> Result<(), IndexError> {
        let trees = self.trees_of(segment)?;
        for (place, offset) in additions.by_place {
            trees.by_place.insert(place, &offset)?;
        }
        for (key, offset) in additions.by_key {
            trees.by_key.insert(key, &offset)?;
        }
        Ok(())
    }

    /// Forgets all segments before this one.
    pub(super) fn forget_before(&self, first: u64) -> Result<(), IndexError> {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        let kept = trees.split_off(&first);
        let old = std::mem::replace(&mut *trees, kept);
        drop(trees);
        for segment in old.into_keys() {
            self.database.drop_tree(tree_name(BY_PLACE, segment))?;
            self.database.drop_tree(tree_name(BY_KEY, segment))?;
        }
        Ok(())
    }

    /// Where to begin reading this segment for records from a place on; `None` when the index knows no better than its
    /// start.
    pub(super) fn at_or_before(&self, segment: u64, at: LogPosition) -> Result<Option<Location>, IndexError> {
        let Some(trees) = self.read().get(&segment).cloned() else { return Ok(None) };
        match trees.by_place.range(..=place_bytes(at)).next_back() {
            Some(found) => location(segment, &found?.1).map(Some),
            None => Ok(None),
        }
    }

    /// Locations of a key's newest records, newest first.
    pub(super) fn newest_of(&self, key: KeyId, count: usize) -> Result<Vec<Location>, IndexError> {
        let newest_first: Vec<(u64, Trees)> =
            self.read().iter().rev().map(|(segment, trees)| (*segment, trees.clone())).collect();
        let mut locations = Vec::new();
        for (segment, trees) in newest_first {
            for found in trees.by_key.scan_prefix(key.0).rev().take(count - locations.len()) {
                locations.push(location(segment, &found?.1)?);
            }
        }
        Ok(locations)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Trees>> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn trees_of(&self, segment: u64) -> Result<Trees, IndexError> {
        if let Some(trees) = self.read().get(&segment) {
            return Ok(trees.clone());
        }
        let trees = Trees {
            by_place: self.database.open_tree(tree_name(BY_PLACE, segment))?,
            by_key: self.database.open_tree(tree_name(BY_KEY, segment))?,
        };
        self.trees.write().unwrap_or_else(PoisonError::into_inner).insert(segment, trees.clone());
        Ok(trees)
    }
}

fn tree_name(prefix: &str, segment: u64) -> String {
    format!("{prefix}{segment:020}")
}

fn location(segment: u64, value: &[u8]) -> Result<Location, IndexError> {
    let offset = value.try_into().map(u64::from_be_bytes).map_err(|_| IndexError::Location)?;
    Ok(Location { segment, offset })
}

fn place_bytes(at: LogPosition) -> Place {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&at.log_index.to_be_bytes());
    bytes[8..].copy_from_slice(&at.item.to_be_bytes());
    bytes
}
