//! What the book said before to the same question: verdicts are a function of book and command, so each is
//! computed once. Most of a world's states share few books.
//!
//! Not used with a planted bug in the cluster, whose answers may depend on more.

use crate::local::Local;
use crate::world::{Request, Who};
use interlock_core::{Book, Verdict};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A book with its own digest, so that it is hashed once and not in every state that has it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    digest: u64,
    book: Book,
}

impl Page {
    pub(crate) fn new(book: Book) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        book.hash(&mut hasher);
        Arc::new(Self { digest: hasher.finish(), book })
    }
}

impl Deref for Page {
    type Target = Book;

    fn deref(&self) -> &Book {
        &self.book
    }
}

impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.book == other.book
    }
}

impl Eq for Page {}

impl Hash for Page {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

type Asked = (Arc<Page>, Request);
type Probed = (Arc<Page>, Who, u8, Local);

/// Answers by question.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    verdicts: Mutex<HashMap<Asked, (Verdict, Arc<Page>)>>,
    probes: Mutex<HashMap<Probed, bool>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memo {
    pub(crate) fn verdict(
        &self,
        asked: Asked,
        compute: impl FnOnce(&Asked) -> (Verdict, Arc<Page>),
    ) -> (Verdict, Arc<Page>) {
        if let Some(known) = open(&self.verdicts).get(&asked) {
            return known.clone();
        }
        let answer = compute(&asked);
        open(&self.verdicts).insert(asked, answer.clone());
        answer
    }

    pub(crate) fn probe(&self, probed: Probed, compute: impl FnOnce(&Probed) -> bool) -> bool {
        if let Some(known) = open(&self.probes).get(&probed) {
            return *known;
        }
        let answer = compute(&probed);
        open(&self.probes).insert(probed, answer);
        answer
    }
}
