//! What peers said of themselves when they asked: a peer that stops leaves its value behind with those it asked.

use interlock_core::AuditChain;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Log indexes that are remembered; the oldest go first.
const INDEXES_MAX: usize = 64;

/// Values by log index and node.
pub(super) type Reports = BTreeMap<u64, BTreeMap<u64, AuditChain>>;

/// Shared by the service that hears and the comparison that judges.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    reports: Reports,
    settled_up_to: Option<u64>,
}

impl Heard {
    /// A peer, known by certificate and data, says what it has.
    pub(crate) fn note(&self, log_index: u64, node_id: u64, chain: AuditChain) {
        let mut inner = self.inner();
        if Some(log_index) <= inner.settled_up_to {
            return;
        }
        inner.reports.entry(log_index).or_default().insert(node_id, chain);
        if inner.reports.len() > INDEXES_MAX {
            inner.reports.pop_first();
        }
    }

    /// A majority has what this node has at `log_index`, and so, because a chain value covers everything before it, at
    /// all earlier ones: what somebody else says about those decides nothing any more.
    pub(super) fn settle(&self, log_index: u64) {
        let mut inner = self.inner();
        inner.settled_up_to = inner.settled_up_to.max(Some(log_index));
        inner.reports.retain(|index, _| *index > log_index);
    }

    pub(super) fn all(&self) -> Reports {
        self.inner().reports.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexes(heard: &Heard) -> Vec<u64> {
        heard.all().into_keys().collect()
    }

    #[test]
    fn the_newest_indexes_are_remembered() {
        let heard = Heard::default();
        for log_index in 0..INDEXES_MAX as u64 + 3 {
            heard.note(log_index, 2, AuditChain::start());
            heard.note(log_index, 3, AuditChain::start());
        }
        assert_eq!((indexes(&heard).len(), indexes(&heard)[0]), (INDEXES_MAX, 3));
        assert_eq!(heard.all()[&5].keys().copied().collect::<Vec<_>>(), [2, 3]);
    }

    /// Otherwise the word of a peer that has stopped would put those whom it contradicted in doubt once they are alone.
    #[test]
    fn what_a_majority_has_confirmed_is_not_doubted_again() {
        let heard = Heard::default();
        heard.note(5, 2, AuditChain::start());
        heard.note(7, 2, AuditChain::start());
        heard.settle(6);
        assert_eq!(indexes(&heard), [7]);
        heard.settle(4);
        heard.note(6, 2, AuditChain::start());
        assert_eq!(indexes(&heard), [7]);
        heard.note(8, 2, AuditChain::start());
        assert_eq!(indexes(&heard), [7, 8]);
    }
}
