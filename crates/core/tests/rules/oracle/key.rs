//! One key of the oracle, as its history makes it, and the rules for what is asked about it.

use super::history::{History, Mark, version_seen};
use super::rules::{far_round, raised, unsound, would_unlock};
use interlock_core::command::AddKey;
use interlock_core::{Action, Epoch, Holder, Intent, Reason, Rule, Watermark};

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) added: AddKey,
    pub(super) frozen: Option<Reason>,
    pub(super) retired: bool,
    pub(super) version: u64,
    pub(super) grants: Vec<Holder>, // Every holder there ever was, in order; the epoch is how many.
    pub(super) held: bool,
    pub(super) history: History,
    pub(super) window: Option<u64>,
}

impl Key {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.grants.len() as u64)
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        self.grants.last().filter(|_| self.held)
    }

    /// The highest height that one step may reach from here.
    fn furthest(&self, here: u64) -> u64 {
        here.saturating_add(self.added.policy.max_jump_heights)
    }

    fn reach(&self) -> u64 {
        self.history.height().max(self.window.unwrap_or(0))
    }

    fn end_window(&mut self) {
        self.held &= self.window.is_none();
        self.history.floors.extend(self.window.take());
    }

    /// R7 to R14.
    pub(super) fn judge(&mut self, intent: &Intent) -> Rule {
        let (asked, history) = (Mark::of(intent, self.epoch().0), &self.history);
        let (newest, here) = (history.newest(asked.kind), history.payload(&asked));
        let other = asked.kind / 10 != self.added.chain.protocol() as u8;
        let same = here.flatten().map(|(payload, _)| payload) == asked.payload;
        let behind = newest.is_some_and(|(at, source)| asked.at < at || asked.source < source);
        match () {
            () if other || asked.source > asked.at[0] => Rule::IntentSound,
            () if newest == Some((asked.at, asked.source)) && same => Rule::Repeat,
            () if history.excludes(asked.height()) => Rule::AboveFloor,
            () if behind => Rule::NoRegression,
            () if here == Some(None) => Rule::AboveFloor,
            () if here.is_some() => Rule::NoConflict,
            () if self.added.policy.lock_rule && would_unlock(history, &asked) => Rule::LockRespected,
            () if asked.height() > self.furthest(history.height()) => Rule::JumpBounded,
            () if far_round(history, &asked) => Rule::JumpBounded,
            () => {
                self.history.push(asked);
                Rule::Advance
            }
        }
    }

    /// R9, R10, R13, R15, R16.
    pub(super) fn reserve(&mut self, height: u64, up_to: u64) -> Rule {
        let ahead = self.added.policy.window_heights;
        match () {
            () if self.history.excludes(height) => Rule::AboveFloor,
            () if height < self.history.height() => Rule::NoRegression,
            () if height > self.furthest(self.reach()) => Rule::JumpBounded,
            () if ahead == 0 || up_to < height || up_to - height > ahead => Rule::WindowAllowed,
            () => {
                self.window = self.window.max(Some(up_to));
                Rule::WindowReserved
            }
        }
    }

    /// R20 to R22, R25.
    pub(super) fn lease(&mut self, to: &Holder, expected: Epoch, handed_over: bool) -> Rule {
        let recent = expected == self.epoch() || expected.next() == Some(self.epoch());
        match () {
            () if !self.added.signers.contains(&to.signer) => Rule::SignerRegistered,
            () if self.holder() == Some(to) && recent => Rule::LeaseGranted,
            () if expected != self.epoch() => Rule::EpochExpected,
            () if self.held && !handed_over => Rule::LeaseFree,
            () => {
                self.end_window();
                self.grants.push(to.clone());
                self.held = true;
                Rule::LeaseGranted
            }
        }
    }

    /// R23, R24, R26. `kept` is what the process knows from its window.
    pub(super) fn release(
        &mut self,
        by: &Holder,
        epoch: Epoch,
        given: Option<&Watermark>,
        kept: Option<&History>,
    ) -> Rule {
        if epoch != self.epoch() || (self.held && self.holder() != Some(by)) {
            return Rule::ReleasedByHolder;
        }
        if let Some(given) = given.filter(|_| self.held) {
            let continues = |kept: &&History| kept.marks.starts_with(&self.history.marks);
            let fits = |kept: &&History| continues(kept) && Some(kept.height()) <= self.window;
            let ours = given.protocol() == self.added.chain.protocol();
            let shown = |known: &&History| ours && known.comes_to(given);
            let kept = kept.filter(fits).filter(shown).cloned();
            match kept.or_else(|| Some(&self.history).filter(shown).cloned()) {
                Some(history) => (self.history, self.window) = (history, None),
                None => return Rule::GiveBackSound,
            }
        }
        self.end_window();
        self.held = false;
        Rule::LeaseReleased
    }

    /// R32 to R37, R13, R41: as it shall be, if nothing forbids it.
    pub(super) fn operate(&mut self, action: &Action, rules_raised: u32) -> Rule {
        let mut next = self.clone();
        let mut far = false;
        match action {
            Action::Freeze { reason, .. } => next.frozen = Some(reason.clone()),
            Action::Unfreeze { .. } => next.frozen = None,
            Action::Retire { .. } => next.retired = true,
            Action::SetPolicy { policy, .. } => next.added.policy = *policy,
            Action::SetSigners { signers, .. } => next.added.signers.clone_from(signers),
            Action::Import { claim, jump_confirmed, .. } => {
                let Some(raised) = raised(&self.history, claim, self.added.chain.protocol() as u8) else {
                    return Rule::ClaimSound;
                };
                let newest = |mark: &&Mark| raised.newest(mark.kind).is_some_and(|(at, _)| at == mark.at);
                let mut rounds = raised.marks.iter().filter(newest);
                let far_round = rounds.any(|mark| far_round(&self.history, mark));
                far = !jump_confirmed && (raised.height() > self.furthest(self.reach()) || far_round);
                next.history = raised;
            }
            _ => {} // No key is in quarantine here.
        }
        match () {
            () if unsound(&next.added).is_some() => return unsound(&next.added).unwrap(),
            () if self.retired && !matches!(action, Action::Retire { .. }) => return Rule::StateFits,
            () if next == *self => return Rule::KeyChanged,
            () if version_seen(action) != Some(self.version) => return Rule::VersionExpected,
            () if far => return Rule::JumpBounded,
            () if next.added.policy.window_heights > 0 && rules_raised == 0 => return Rule::RulesInForce,
            () => next.end_window(),
        }
        next.held = !next.retired && next.holder().is_some_and(|by| next.added.signers.contains(&by.signer));
        next.version += 1;
        *self = next;
        Rule::KeyChanged
    }
}
