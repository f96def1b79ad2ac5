//! Which data each peer has: the incarnation that this node first heard from it, kept for ever.
//!
//! A voter that lost its disk has forgotten what it acknowledged; under its old id it could help to elect a leader
//! that knows less than what was committed (S5). So an id belongs to the first data directory that was heard under it.
//! Invariants: what is accepted is durable first; the book is made by `format`, and missing is an error, not empty.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use interlock_disk::{Disk, DiskError, ReadFileError, checksummed, read_checked, replace_file};
use minicbor::bytes::ByteArray;
use thiserror::Error;

/// Most peers that a book holds; ids are never used again, so it also counts the removed ones.
pub const PEERS_MAX: usize = 1024;
const FILE: &str = "peers";
const FILE_BYTES_MAX: u64 = 64 * 1024;
const FORMAT_VERSION: u8 = 1;

/// Why a book does not open.
#[derive(Debug, Error)]
pub enum PeerBookError {
    /// Missing, empty or damaged.
    #[error("{source}. Without it this node cannot tell its peers apart; replace it by a new one")]
    File {
        /// What is wrong.
        #[from]
        source: ReadFileError,
    },
    /// It reads and is no book, or one of a newer release.
    #[error("{} is no list of peers that this program knows: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Why a peer is not listened to.
#[derive(Debug, Error)]
pub enum PeerRefused {
    /// Its data are not those that were heard under its id before.
    #[error(
        "node {node_id} has lost its data: it comes back as {found:032x}, its id belongs to data {known:032x}. A node \
         never returns under its old id without its data; give it a new id"
    )]
    OtherData {
        /// The peer.
        node_id: u64,
        /// Incarnation first heard.
        known: u128,
        /// Incarnation heard now.
        found: u128,
    },
    /// The book is full.
    #[error("node {node_id} is one peer too many: {PEERS_MAX} ids have been used")]
    Full {
        /// The peer.
        node_id: u64,
    },
    /// It could not be written down, so it does not count.
    #[error("node {node_id} cannot be written down: {source}")]
    Disk {
        /// The peer.
        node_id: u64,
        /// What the disk said.
        source: DiskError,
    },
}

/// The incarnations of all peers ever heard.
pub struct PeerBook {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    known: Mutex<BTreeMap<u64, u128>>,
}

impl PeerBook {
    pub(crate) fn create(disk: &dyn Disk, directory: &Path) -> Result<(), DiskError> {
        replace_file(disk, &directory.join(FILE), &encode(&BTreeMap::new()))
    }

    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<PeerBook, PeerBookError> {
        let path = directory.join(FILE);
        let body = read_checked(disk.as_ref(), &path, FILE_BYTES_MAX)?;
        let known =
            decode(&body).map_err(|reason| PeerBookError::Malformed { path: path.clone(), reason })?;
        Ok(PeerBook { disk, path, known: Mutex::new(known) })
    }

    /// Accepts a peer whose data are known, or are the first under its id; those are durable when this returns. Writes
    /// once in a peer's life, so it may be called where blocking is unwelcome.
    ///
    /// # Errors
    /// When its data are others, or could not be written down. Such a peer must not count for anything.
    pub fn check(&self, node_id: u64, incarnation: u128) -> Result<(), PeerRefused> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&node_id) {
            Some(first) if *first == incarnation => return Ok(()),
            Some(first) => return Err(PeerRefused::OtherData { node_id, known: *first, found: incarnation }),
            None if known.len() >= PEERS_MAX => return Err(PeerRefused::Full { node_id }),
            None => {}
        }
        let mut with_peer = known.clone();
        with_peer.insert(node_id, incarnation);
        replace_file(self.disk.as_ref(), &self.path, &encode(&with_peer))
            .map_err(|source| PeerRefused::Disk { node_id, source })?;
        *known = with_peer;
        Ok(())
    }
}

impl fmt::Debug for PeerBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peers in {}", self.path.display())
    }
}

fn encode(known: &BTreeMap<u64, u128>) -> Vec<u8> {
    let peers: BTreeMap<u64, ByteArray<16>> =
        known.iter().map(|(id, incarnation)| (*id, incarnation.to_be_bytes().into())).collect();
    let mut bytes = vec![FORMAT_VERSION];
    minicbor::encode(&peers, &mut bytes).expect("encoding integers and bytes into memory cannot fail");
    checksummed(bytes)
}

fn decode(body: &[u8]) -> Result<BTreeMap<u64, u128>, String> {
    let (&version, body) = body.split_first().ok_or("it is empty")?;
    if version != FORMAT_VERSION {
        return Err(format!("format {version}, this program reads {FORMAT_VERSION}; upgrade it"));
    }
    let peers: BTreeMap<u64, ByteArray<16>> = minicbor::decode(body).map_err(|error| error.to_string())?;
    Ok(peers.into_iter().map(|(id, incarnation)| (id, u128::from_be_bytes(*incarnation))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_disk::RealDisk;

    #[test]
    fn an_id_belongs_to_the_first_data_heard_under_it() {
        let directory = tempfile::tempdir().unwrap();
        PeerBook::create(&RealDisk, directory.path()).unwrap();
        let open = || PeerBook::open(Arc::new(RealDisk), directory.path()).unwrap();
        let book = open();
        book.check(2, 22).unwrap();
        book.check(2, 22).unwrap();
        assert!(matches!(book.check(2, 23), Err(PeerRefused::OtherData { known: 22, found: 23, .. })));
        drop(book);
        let book = open();
        assert!(matches!(book.check(2, 23), Err(PeerRefused::OtherData { known: 22, found: 23, .. })));
        book.check(3, 33).unwrap();
    }

    #[test]
    fn a_missing_or_damaged_book_is_not_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let open = || PeerBook::open(Arc::new(RealDisk), directory.path());
        assert!(matches!(open(), Err(PeerBookError::File { .. })));
        PeerBook::create(&RealDisk, directory.path()).unwrap();
        let path = directory.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(open(), Err(PeerBookError::File { .. })));
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        PeerBook::create(&RealDisk, directory.path()).unwrap();
        let book = PeerBook::open(Arc::new(RealDisk), directory.path()).unwrap();
        *book.known.lock().unwrap() = (1..=PEERS_MAX as u64).map(|id| (id, 1)).collect();
        assert!(matches!(book.check(5000, 1), Err(PeerRefused::Full { node_id: 5000 })));
    }
}
