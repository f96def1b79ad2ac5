//! The audit chain after each of the newest entries, so that nodes can compare it at one log index.

use std::collections::VecDeque;

use interlock_core::AuditChain;

/// Entries that are remembered. A peer is asked for where this node stood a moment ago, so it must remember more than
/// what is applied in that time.
pub const CHAIN_HISTORY_ENTRIES: usize = 16_384;

/// Chain values by log index. Invariant: indexes grow.
#[derive(Debug, Default)]
pub struct ChainHistory {
    values: VecDeque<(u64, AuditChain)>,
}

impl ChainHistory {
    /// Remembers the chain after the entry at `log_index`, which is newer than all others.
    pub(crate) fn push(&mut self, log_index: u64, chain: AuditChain) {
        debug_assert!(self.values.back().is_none_or(|(newest, _)| *newest < log_index), "indexes grow");
        if self.values.len() == CHAIN_HISTORY_ENTRIES {
            self.values.pop_front();
        }
        self.values.push_back((log_index, chain));
    }

    /// The chain after the entry at `log_index`; `None` when that was not applied here yet, too long ago, or inside a
    /// snapshot.
    pub fn at(&self, log_index: u64) -> Option<AuditChain> {
        let found = self.values.binary_search_by_key(&log_index, |(index, _)| *index).ok()?;
        Some(self.values[found].1)
    }

    /// The newest value.
    pub fn newest(&self) -> Option<(u64, AuditChain)> {
        self.values.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::{
        Action, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, LogPosition, SignerId, State,
    };

    #[test]
    fn only_the_newest_are_remembered() {
        let mut state = State::genesis(ClusterId([1; 16]));
        let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
        let action = Action::Release { holder, epoch: Epoch(1), give_back: None };
        let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
        let mut history = ChainHistory::default();
        assert_eq!((history.at(0), history.newest()), (None, None));
        let mut values = Vec::new();
        // Entries without commands leave their index out of the state, and not out of the history.
        for log_index in (2..).step_by(2).take(CHAIN_HISTORY_ENTRIES + 10) {
            state.apply(LogPosition { log_index, item: 0 }, &command);
            history.push(log_index, state.audit_chain());
            values.push((log_index, state.audit_chain()));
        }
        let (forgotten, kept) = values.split_at(10);
        assert!(forgotten.iter().all(|(index, _)| history.at(*index).is_none()));
        assert!(kept.iter().all(|(index, chain)| history.at(*index) == Some(*chain)));
        assert_eq!(history.at(kept[5].0 + 1), None);
        assert_eq!(history.newest(), kept.last().copied());
    }
}
