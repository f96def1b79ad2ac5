//! What this node remembers of each peer: whose data it has, and how far its disk had come.
//!
//! A voter that lost its disk, or came back on an older copy of it, has forgotten what it acknowledged and for whom it
//! voted; it could help to elect a leader that knows less than what was committed (S5). So an id belongs to the first
//! data directory that was heard under it, and a process that starts below the mark of its predecessor counts for
//! nothing. Invariants: a new id is durable before it is accepted; a remembered mark was on the peer's disk when it was
//! reported, so that no honest restart is ever below it; the book is made by `format`, and missing is an error.
//!
//! Marks rise with every entry and are written only now and then ([`PeerBook::save`]): what a crash of this node
//! forgets makes the check weaker, never wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use interlock_disk::{Disk, DiskError, ReadFileError, checksummed, read_checked, replace_file};
use thiserror::Error;

use crate::flushed::Mark;
use crate::peers_format::{decode, encode};

/// Most peers that a book holds; ids are never used again, so it also counts the removed ones.
pub const PEERS_MAX: usize = 1024;
const FILE: &str = "peers";
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What a node says of itself in every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Identity of its data directory.
    pub incarnation: u128,
    /// Identity of its process, random.
    pub run: u64,
    /// What its disk held when the process opened it.
    pub opened: Mark,
    /// What its disk holds at least.
    pub flushed: Mark,
}

/// What is remembered of a peer: of its data, of the process that reported the mark, and the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerMark {
    /// Identity of its data directory, as first heard.
    pub incarnation: u128,
    /// The process that had the mark.
    pub run: u64,
    /// The highest mark heard.
    pub mark: Mark,
}

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
    /// Its disk is an older copy of itself.
    #[error(
        "the disk of node {node_id} is an older copy of itself: it held {known}, it comes back with {found}. What it \
         acknowledged in between is lost there, so it counts for nothing; replace it by a new node under a new id"
    )]
    RolledBack {
        /// The peer.
        node_id: u64,
        /// The mark that it had reported.
        known: Mark,
        /// What its disk held when it started again.
        found: Mark,
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

/// All peers ever heard.
pub struct PeerBook {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    book: Mutex<Book>,
    /// Held while the file is written, so that an older book never replaces a newer one.
    writing: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Book {
    known: BTreeMap<u64, PeerMark>,
    /// Whether the file lacks something of it.
    changed: bool,
}

impl PeerBook {
    pub(crate) fn create(disk: &dyn Disk, directory: &Path) -> Result<(), DiskError> {
        replace_file(disk, &directory.join(FILE), &checksummed(encode(&BTreeMap::new())))
    }

    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<PeerBook, PeerBookError> {
        let path = directory.join(FILE);
        let body = read_checked(disk.as_ref(), &path, FILE_BYTES_MAX)?;
        let known =
            decode(&body).map_err(|reason| PeerBookError::Malformed { path: path.clone(), reason })?;
        let book = Mutex::new(Book { known, changed: false });
        Ok(PeerBook { disk, path, book, writing: Mutex::new(()) })
    }

    /// Accepts a peer that has the data first heard under its id, on a disk that had not come further before. A new id
    /// is durable when this returns; that happens once in a peer's life, so it may be called where blocking is
    /// unwelcome.
    ///
    /// # Errors
    /// When its data are others or older, or could not be written down. Such a peer must not count for anything.
    pub fn hear(&self, node_id: u64, presence: &Presence) -> Result<(), PeerRefused> {
        let mut book = self.book();
        if let Some(peer) = book.known.get_mut(&node_id) {
            let changed = peer.hear(node_id, presence)?;
            book.changed |= changed;
            return Ok(());
        }
        drop(book);
        let Presence { incarnation, run, opened, flushed } = *presence;
        self.hear_first(node_id, PeerMark { incarnation, run, mark: opened.max(flushed) })
    }

    /// Takes over what another node remembers of a peer, if it is more than is remembered here.
    ///
    /// # Errors
    /// When the peer is known under other data, or a new one could not be written down.
    pub fn learn(&self, node_id: u64, told: PeerMark) -> Result<(), PeerRefused> {
        let mut book = self.book();
        if let Some(peer) = book.known.get_mut(&node_id) {
            let changed = peer.learn(node_id, told)?;
            book.changed |= changed;
            return Ok(());
        }
        drop(book);
        self.hear_first(node_id, told)
    }

    /// All that is remembered, for other nodes.
    pub fn marks(&self) -> Vec<(u64, PeerMark)> {
        self.book().known.iter().map(|(id, peer)| (*id, *peer)).collect()
    }

    /// Writes the marks down, if they have risen since the last time. Blocks for two syncs of the disk.
    ///
    /// # Errors
    /// When the disk refuses; the marks stay in memory and are written at the next call.
    pub fn save(&self) -> Result<(), DiskError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = {
            let mut book = self.book();
            if !book.changed {
                return Ok(());
            }
            book.changed = false;
            checksummed(encode(&book.known))
        };
        replace_file(self.disk.as_ref(), &self.path, &bytes).inspect_err(|_| self.book().changed = true)
    }

    fn hear_first(&self, node_id: u64, mark: PeerMark) -> Result<(), PeerRefused> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut book = self.book();
        if let Some(meanwhile) = book.known.get(&node_id) {
            return meanwhile.same_data(node_id, mark.incarnation);
        }
        if book.known.len() >= PEERS_MAX {
            return Err(PeerRefused::Full { node_id });
        }
        let mut with_peer = book.known.clone();
        with_peer.insert(node_id, mark);
        replace_file(self.disk.as_ref(), &self.path, &checksummed(encode(&with_peer)))
            .map_err(|source| PeerRefused::Disk { node_id, source })?;
        *book = Book { known: with_peer, changed: false };
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerMark {
    fn same_data(&self, node_id: u64, found: u128) -> Result<(), PeerRefused> {
        let known = self.incarnation;
        if known == found { Ok(()) } else { Err(PeerRefused::OtherData { node_id, known, found }) }
    }

    /// Whether anything changed.
    fn hear(&mut self, node_id: u64, presence: &Presence) -> Result<bool, PeerRefused> {
        let Presence { incarnation, run, opened, flushed } = *presence;
        self.same_data(node_id, incarnation)?;
        if run != self.run && opened < self.mark {
            return Err(PeerRefused::RolledBack { node_id, known: self.mark, found: opened });
        }
        let before = *self;
        *self = PeerMark { incarnation, run, mark: self.mark.max(opened).max(flushed) };
        Ok(*self != before)
    }

    fn learn(&mut self, node_id: u64, told: PeerMark) -> Result<bool, PeerRefused> {
        self.same_data(node_id, told.incarnation)?;
        if told.mark <= self.mark {
            return Ok(false);
        }
        // With its run: the peer's next message comes from that process, or from one that must not be below it.
        *self = told;
        Ok(true)
    }
}

impl fmt::Debug for PeerBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peers in {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderId, LogId, Vote};
    use interlock_disk::RealDisk;

    fn mark(term: u64, index: u64) -> Mark {
        let leader_id = LeaderId { term, node_id: 1 };
        Mark::new(Some(Vote::new_committed(term, 1)), Some(LogId::new(leader_id, index)))
    }

    fn process(run: u64, opened: Mark, flushed: Mark) -> Presence {
        Presence { incarnation: 22, run, opened, flushed }
    }

    fn new(incarnation: u128) -> Presence {
        Presence { incarnation, run: 1, opened: Mark::default(), flushed: Mark::default() }
    }

    struct Fixture {
        directory: tempfile::TempDir,
        book: PeerBook,
    }

    impl Fixture {
        fn new() -> Fixture {
            let directory = tempfile::tempdir().unwrap();
            PeerBook::create(&RealDisk, directory.path()).unwrap();
            let book = PeerBook::open(Arc::new(RealDisk), directory.path()).unwrap();
            Fixture { directory, book }
        }

        fn reopen(self) -> Fixture {
            let book = PeerBook::open(Arc::new(RealDisk), self.directory.path()).unwrap();
            Fixture { book, ..self }
        }
    }

    #[test]
    fn an_id_belongs_to_the_first_data_heard_under_it() {
        let fixture = Fixture::new();
        fixture.book.hear(2, &new(22)).unwrap();
        fixture.book.hear(2, &new(22)).unwrap();
        let other = |book: &PeerBook| {
            matches!(book.hear(2, &new(23)), Err(PeerRefused::OtherData { known: 22, found: 23, .. }))
        };
        assert!(other(&fixture.book));
        let fixture = fixture.reopen();
        assert!(other(&fixture.book));
        fixture.book.hear(3, &new(33)).unwrap();
    }

    #[test]
    fn a_process_that_starts_below_its_predecessor_is_refused() {
        let Fixture { directory: _kept, book } = Fixture::new();
        book.hear(2, &process(1, mark(3, 5), mark(3, 9))).unwrap();
        let older = book.hear(2, &process(2, mark(3, 8), mark(3, 8))).unwrap_err();
        assert!(matches!(older, PeerRefused::RolledBack { known, found, .. }
            if (known, found) == (mark(3, 9), mark(3, 8))));
        assert!(older.to_string().contains("replace it by a new node"), "{older}");
        // Whatever it reaches afterwards: it opened below.
        assert!(book.hear(2, &process(2, mark(3, 8), mark(4, 20))).is_err());
        book.hear(2, &process(3, mark(3, 9), mark(3, 9))).unwrap();
        book.hear(2, &process(3, mark(3, 9), mark(3, 12))).unwrap();
        // A message of the same process that was overtaken on its way.
        book.hear(2, &process(3, mark(3, 9), mark(3, 10))).unwrap();
        assert!(book.hear(2, &process(4, mark(3, 10), mark(3, 10))).is_err());
    }

    #[test]
    fn marks_survive_a_restart_once_they_were_saved() {
        let fixture = Fixture::new();
        fixture.book.hear(2, &process(1, mark(1, 1), mark(1, 1))).unwrap();
        fixture.book.hear(2, &process(1, mark(1, 1), mark(3, 9))).unwrap();
        fixture.book.save().unwrap();
        let Fixture { directory: _kept, book } = fixture.reopen();
        book.hear(2, &process(1, mark(1, 1), mark(3, 9))).unwrap();
        assert!(matches!(
            book.hear(2, &process(2, mark(3, 8), mark(3, 8))),
            Err(PeerRefused::RolledBack { .. })
        ));
    }

    #[test]
    fn what_another_node_remembers_counts_as_heard() {
        let Fixture { directory: _kept, book } = Fixture::new();
        let told = |run, mark| PeerMark { incarnation: 22, run, mark };
        book.hear(2, &process(1, mark(1, 1), mark(1, 2))).unwrap();
        book.learn(2, told(1, mark(3, 9))).unwrap();
        book.learn(2, told(1, mark(2, 1))).unwrap();
        assert!(book.hear(2, &process(2, mark(3, 8), mark(3, 8))).is_err());
        // The process that the other node heard: it opened below the mark, and had it itself.
        book.learn(2, told(5, mark(3, 20))).unwrap();
        book.hear(2, &process(5, mark(3, 9), mark(3, 15))).unwrap();
        assert!(matches!(
            book.learn(2, PeerMark { incarnation: 23, run: 1, mark: mark(9, 9) }),
            Err(PeerRefused::OtherData { .. })
        ));
        book.learn(4, PeerMark { incarnation: 44, run: 1, mark: mark(1, 1) }).unwrap();
        assert!(book.hear(4, &new(45)).is_err());
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
        let Fixture { directory: _kept, book } = Fixture::new();
        let peer = PeerMark { incarnation: 1, run: 1, mark: Mark::default() };
        book.book().known = (1..=PEERS_MAX as u64).map(|id| (id, peer)).collect();
        assert!(matches!(book.hear(5000, &new(1)), Err(PeerRefused::Full { node_id: 5000 })));
        assert!(encode(&book.book().known).len() < FILE_BYTES_MAX as usize);
    }
}
