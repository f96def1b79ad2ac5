//! How far a node's own disk has come: a mark that only ever rises, whatever leaders come and go.
//!
//! The log itself is no such mark: a new leader may cut a follower's log. What never shrinks is the vote, and, under
//! one vote, how many entries of that leader are on disk: once a follower has one entry of a leader, its log is a part
//! of that leader's. These are also exactly the acknowledgements that a leader may count towards a commit, because it
//! commits through entries of its own only. Invariant: a mark is shown after the sync that makes it true, never before.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::{LogId, Vote};

/// How far a disk has come. Compared field by field, in order; the default is a disk that holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Term of the vote.
    pub term: u64,
    /// The node voted for.
    pub node_id: u64,
    /// Whether a majority granted it.
    pub committed: bool,
    /// One more than the index of the newest entry of that leader; zero before the first.
    pub next_index: u64,
}

impl Mark {
    /// The mark of a disk that holds this vote and ends with this entry.
    pub fn new(vote: Option<Vote>, last: Option<LogId>) -> Mark {
        let Some(vote) = vote else { return Mark::default() };
        let of_this_leader = last.filter(|last| last.leader_id == vote.leader_id);
        Mark {
            term: vote.leader_id.term,
            node_id: vote.leader_id.node_id,
            committed: vote.is_committed(),
            next_index: of_this_leader.map_or(0, |last| last.index + 1),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { term, node_id, committed, next_index } = self;
        if *term == 0 {
            return f.write_str("nothing");
        }
        let vote = if *committed { "leader" } else { "vote for" };
        write!(f, "term {term}, {vote} node {node_id}")?;
        match next_index.checked_sub(1) {
            Some(index) => write!(f, ", entry {index}"),
            None => write!(f, ", none of its entries"),
        }
    }
}

/// The mark of an open store. Clones share it.
#[derive(Debug, Clone)]
pub struct Flushed {
    opened: Mark,
    now: Arc<Mutex<Now>>,
}

#[derive(Debug)]
struct Now {
    vote: Option<Vote>,
    last: Option<LogId>,
    mark: Mark,
}

impl Flushed {
    /// A store that was opened with this vote and this newest entry, both durable.
    pub fn new(vote: Option<Vote>, last: Option<LogId>) -> Flushed {
        let opened = Mark::new(vote, last);
        Flushed { opened, now: Arc::new(Mutex::new(Now { vote, last, mark: opened })) }
    }

    /// What the disk held when the store was opened.
    pub fn opened(&self) -> Mark {
        self.opened
    }

    /// What the disk holds at least.
    pub fn now(&self) -> Mark {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).mark
    }

    pub(crate) fn vote(&self, vote: Vote) {
        self.raise(|now| now.vote = Some(vote));
    }

    pub(crate) fn last(&self, last: LogId) {
        self.raise(|now| now.last = Some(last));
    }

    fn raise(&self, change: impl FnOnce(&mut Now)) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut now);
        now.mark = now.mark.max(Mark::new(now.vote, now.last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;

    fn entry(term: u64, node_id: u64, index: u64) -> LogId {
        LogId::new(LeaderId { term, node_id }, index)
    }

    /// A follower whose log a new leader cuts, crashed between the cut and the first new entry, has lost nothing that
    /// counted: its mark must not be lower than any that it showed before.
    #[test]
    fn a_log_that_a_new_leader_cuts_lowers_no_mark() {
        let flushed = Flushed::new(Some(Vote::new_committed(3, 1)), Some(entry(3, 1, 12)));
        flushed.vote(Vote::new(4, 2));
        flushed.vote(Vote::new_committed(4, 2));
        let shown = flushed.now();
        let cut = Mark::new(Some(Vote::new_committed(4, 2)), Some(entry(2, 1, 9)));
        assert!(cut >= shown, "{cut} after {shown}");
        flushed.last(entry(4, 2, 10));
        assert!(flushed.now() > shown);
    }

    #[test]
    fn an_older_copy_of_a_disk_is_below_every_later_mark() {
        let copy = Mark::new(Some(Vote::new_committed(3, 1)), Some(entry(3, 1, 12)));
        for later in [
            Mark::new(Some(Vote::new_committed(3, 1)), Some(entry(3, 1, 13))),
            Mark::new(Some(Vote::new(3, 2)), Some(entry(3, 1, 12))),
            Mark::new(Some(Vote::new_committed(4, 1)), Some(entry(2, 1, 5))),
        ] {
            assert!(copy < later, "{copy} against {later}");
        }
        assert!(Mark::default() < copy);
    }
}
