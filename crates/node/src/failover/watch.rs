//! Since when this node watches the sessions as leader: pure, with time as data.
//!
//! After a pause of its own process everybody looks silent, so the leader listens afresh before it judges anybody. It
//! excuses itself so once in a while only: a leader that is always slow must still replace a dead signer.

use std::time::{Duration, Instant};

/// A pause between two looks that proves that this process itself was stopped for a while.
const STALL: Duration = Duration::from_millis(250);
/// How long after one excuse the next is possible.
const EXCUSE_AGAIN: Duration = Duration::from_secs(10);

/// The leader's own attention.
#[derive(Debug)]
pub(crate) struct Watch {
    since: Option<Instant>,
    last_look: Instant,
    excused_at: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: None, last_look: now, excused_at: None }
    }

    /// One look. Says since when what is silent counts as silent; `None` while this node does not lead.
    pub(crate) fn look(&mut self, is_leader: bool, now: Instant) -> Option<Instant> {
        let paused = now.saturating_duration_since(self.last_look) > STALL;
        self.last_look = now;
        if !is_leader {
            self.since = None;
            return None;
        }
        let may_excuse = self.excused_at.is_none_or(|at| now.saturating_duration_since(at) >= EXCUSE_AGAIN);
        if paused && may_excuse {
            self.excused_at = Some(now);
            self.since = Some(now);
        }
        Some(*self.since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_watches_from_its_election_on() {
        let start = Instant::now();
        let at = |after_ms| start + Duration::from_millis(after_ms);
        let mut watch = Watch::new(start);
        assert_eq!(watch.look(false, at(20)), None);
        assert_eq!(watch.look(true, at(40)), Some(at(40)));
        assert_eq!(watch.look(true, at(60)), Some(at(40)));
        assert_eq!(watch.look(false, at(80)), None);
        assert_eq!(watch.look(true, at(100)), Some(at(100)));
    }

    #[test]
    fn after_its_own_pause_a_leader_listens_afresh() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.look(true, start);
        let awake = start + Duration::from_secs(30);
        assert_eq!(watch.look(true, awake), Some(awake));
    }

    /// A leader that was slow at every look used to excuse itself each time, and never replaced a dead signer.
    #[test]
    fn a_leader_that_is_always_slow_still_judges() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let looks: Vec<Instant> = (1..=30).map(|look| start + look * Duration::from_millis(300)).collect();
        let since: Vec<Instant> = looks.iter().filter_map(|now| watch.look(true, *now)).collect();
        assert!(since.iter().all(|since| *since == looks[0]), "excused once within ten seconds");
    }
}
