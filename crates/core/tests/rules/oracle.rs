//! A second opinion on every verdict, from the whole history instead of a watermark, written from `docs/spec/rules.md`.
//! Slow and obvious: keeps all that was approved and claimed and searches it. Shares types with core, no decision.

use crate::build::CLUSTER;
use crate::history::{History, Mark, claimed, version_seen};
use interlock_core::command::AddKey;
use interlock_core::{Action, Claim, Command, Epoch, Holder, Intent, KeyId, Reason, Rule, Watermark};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Eq)]
struct Key {
    added: AddKey,
    frozen: Option<Reason>,
    retired: bool,
    version: u64,
    grants: Vec<Holder>, // Every holder there ever was, in order; the epoch is how many.
    held: bool,
    history: History,
    window: Option<u64>,
}

/// A process and a key.
type Desk = (Holder, KeyId);

#[derive(Default)]
pub(crate) struct Oracle {
    rules_raised: u32,
    keys: BTreeMap<KeyId, Key>,
    reserved: Vec<(Desk, Key)>, // The key as each answer to a reservation shows it, in order.
    newest: BTreeMap<Desk, Epoch>,
    open: BTreeMap<Desk, Key>, // The key as the process sees it that has an open window.
    closed: BTreeMap<Desk, History>,
}

/// What a history is after a claim; what is lower changes nothing. `None`: unsound (R34).
fn raised(history: &History, claim: &Claim, protocol: u8) -> Option<History> {
    let (of, floor, marks) = claimed(claim);
    let sound = of == protocol && marks.iter().all(|mark| mark.source <= mark.at[0]);
    let rises = |mark: &Mark| {
        history.newest(mark.kind).is_none_or(|(at, source)| mark.at > at || mark.source > source)
    };
    let mut raised = history.clone();
    raised.marks.extend(marks.into_iter().filter(rises));
    raised.floors.extend(floor.filter(|_| floor > history.floors.iter().copied().max()));
    sound.then_some(raised)
}

/// R12.
fn would_unlock(history: &History, asked: &Mark) -> bool {
    let votes = || history.marks.iter().rev().filter(|mark| mark.at[0] == asked.at[0] && mark.vote.is_some());
    let Some(lock) = votes().find(|mark| mark.at[2] == 2) else { return false };
    let known = lock.by.is_some() && lock.by == asked.by;
    let allowed = [None, lock.vote, votes().next().and_then(|mark| mark.vote)];
    asked.kind == 0 && asked.at[2] == 1 && !known && !allowed.contains(&asked.vote)
}

/// R32, R33.
fn unsound(AddKey { signers, policy, chain, .. }: &AddKey) -> Option<Rule> {
    let twice = signers.iter().collect::<BTreeSet<_>>().len() < signers.len();
    let ahead = if chain.protocol() as u8 == 1 { 0 } else { 8 };
    let policy = policy.max_jump_heights == 0 || policy.window_heights > ahead;
    let signers = signers.is_empty() || signers.len() > 16 || twice;
    if signers { Some(Rule::SignersSound) } else { policy.then_some(Rule::PolicySound) }
}

impl Key {
    fn epoch(&self) -> Epoch {
        Epoch(self.grants.len() as u64)
    }

    fn holder(&self) -> Option<&Holder> {
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
    fn judge(&mut self, intent: &Intent) -> Rule {
        let (asked, history) = (Mark::of(intent, self.epoch().0), &self.history);
        let (newest, here) = (history.newest(asked.kind), history.payload(&asked));
        let other = asked.kind / 10 != self.added.chain.protocol() as u8;
        let behind = newest.is_some_and(|(at, source)| asked.at < at || asked.source < source);
        match () {
            () if other || asked.source > asked.at[0] => Rule::IntentSound,
            () if newest == Some((asked.at, asked.source)) && here == Some(asked.payload) => Rule::Repeat,
            () if history.excludes(asked.height()) => Rule::AboveFloor,
            () if behind => Rule::NoRegression,
            () if here == Some(None) => Rule::AboveFloor,
            () if here.is_some() => Rule::NoConflict,
            () if self.added.policy.lock_rule && would_unlock(history, &asked) => Rule::LockRespected,
            () if asked.height() > self.furthest(history.height()) => Rule::JumpBounded,
            () => {
                self.history.marks.push(asked);
                Rule::Advance
            }
        }
    }

    /// R9, R10, R13, R15, R16.
    fn reserve(&mut self, height: u64, up_to: u64) -> Rule {
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
    fn lease(&mut self, to: &Holder, expected: Epoch, handed_over: bool) -> Rule {
        let recent = expected.next() == Some(self.epoch()) || (handed_over && expected == self.epoch());
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
    fn release(
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
    fn operate(&mut self, action: &Action, rules_raised: u32) -> Rule {
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
                far = raised.height() > self.furthest(self.reach()) && !jump_confirmed;
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

impl Oracle {
    /// R30 to R34, R41, R37.
    fn add(&mut self, id: KeyId, add: &AddKey) -> Rule {
        let protocol = add.chain.protocol() as u8;
        if KeyId::of(&add.chain, &add.public_key) != id {
            return Rule::KeyNew;
        }
        if let Some(Key { added, history, .. }) = self.keys.get(&id) {
            let same = (&added.name, &added.signers, added.policy) == (&add.name, &add.signers, add.policy);
            let covered = raised(history, &add.claim, protocol).as_ref() == Some(history);
            return if same && covered { Rule::KeyChanged } else { Rule::KeyNew };
        }
        let history = raised(&History::default(), &add.claim, protocol);
        match (unsound(add), history) {
            _ if self.keys.values().any(|key| key.added.name == add.name) => Rule::NameFree,
            (Some(rule), _) => rule,
            (None, None) => Rule::ClaimSound,
            _ if add.policy.window_heights > 0 && self.rules_raised == 0 => Rule::RulesInForce,
            (None, Some(history)) => {
                let (added, grants) = (add.clone(), Vec::new());
                let (frozen, window, retired, held, version) = (None, None, false, false, 1);
                self.keys.insert(id, Key { added, frozen, retired, version, grants, held, history, window });
                Rule::KeyChanged
            }
        }
    }

    /// R40, R42.
    fn raise_rules(&mut self, id: KeyId, expected: u32, asked: u32) -> Rule {
        let now = self.rules_raised + 1;
        match () {
            () if id != KeyId::of_cluster(CLUSTER) => Rule::KeyNew,
            () if asked != now && (expected, asked) != (now, now + 1) => Rule::RulesExpected,
            () => {
                self.rules_raised = asked - 1;
                Rule::RulesRaised
            }
        }
    }

    /// Follows one command and says which rule must decide it.
    pub(crate) fn decide(&mut self, command: &Command) -> Rule {
        let Command { cluster, key: id, action } = command;
        let elsewhere = *cluster != CLUSTER;
        let key = match action {
            Action::AddKey(_) | Action::RaiseRules { .. } if elsewhere => return Rule::ClusterMatches,
            Action::AddKey(add) => return self.add(*id, add),
            Action::RaiseRules { expected_rules, rules } => {
                return self.raise_rules(*id, *expected_rules, *rules);
            }
            _ => self.keys.get_mut(id),
        };
        let Some(key) = key else { return Rule::KeyKnown };
        let (holds, active) = (key.holder() == action.holder(), key.frozen.is_none() && !key.retired);
        match action {
            _ if elsewhere => Rule::ClusterMatches,
            Action::Release { holder, epoch, give_back } => {
                let kept = self.closed.get(&(holder.clone(), *id));
                key.release(holder, *epoch, give_back.as_ref(), kept)
            }
            _ if version_seen(action).is_some() => key.operate(action, self.rules_raised),
            _ if !active => Rule::KeyActive,
            Action::Acquire { holder, expected_epoch } => key.lease(holder, *expected_epoch, false),
            Action::Handover { to, expected_epoch, .. } => key.lease(to, *expected_epoch, true),
            _ if !holds => Rule::HolderMatches,
            Action::Approve { epoch, .. } | Action::Reserve { epoch, .. } if *epoch != key.epoch() => {
                Rule::EpochCurrent
            }
            Action::Approve { .. } if key.window.is_some() => Rule::WindowRespected,
            Action::Approve { intent, .. } => key.judge(intent),
            Action::Reserve { holder, height, up_to_height, .. } => {
                let rule = key.reserve(*height, *up_to_height);
                if rule == Rule::WindowReserved {
                    self.reserved.push(((holder.clone(), *id), key.clone()));
                }
                rule
            }
            _ => unreachable!("every other command was decided above"),
        }
    }

    /// S3: who holds a key, under which epoch.
    pub(crate) fn lease(&self, key: KeyId) -> Option<(Epoch, Option<&Holder>)> {
        self.keys.get(&key).map(|key| (key.epoch(), key.holder()))
    }

    /// The answer to a reservation reaches its process; says whether it is used.
    pub(crate) fn deliver(&mut self, number: usize) -> bool {
        let (desk, key) = self.reserved[number].clone();
        match self.open.get_mut(&desk) {
            Some(open) if open.epoch() == key.epoch() => open.window = open.window.max(key.window),
            _ if self.newest.get(&desk) >= Some(&key.epoch()) => return false,
            _ => {
                self.newest.insert(desk.clone(), key.epoch());
                self.open.insert(desk, key);
            }
        }
        true
    }

    /// Which rule decides inside a window; `None` without one.
    pub(crate) fn inside(&mut self, desk: &Desk, intent: &Intent) -> Option<Rule> {
        let key = self.open.get_mut(desk)?;
        let beyond = Some(Mark::of(intent, 0).height()) > key.window;
        Some(if beyond { Rule::WindowRespected } else { key.judge(intent) })
    }

    pub(crate) fn close(&mut self, desk: &Desk, epoch: Epoch) {
        let newest = self.newest.entry(desk.clone()).or_insert(epoch);
        *newest = (*newest).max(epoch);
        if let Some(open) = self.open.remove(desk) {
            match open.epoch().cmp(&epoch) {
                std::cmp::Ordering::Greater => drop(self.open.insert(desk.clone(), open)),
                std::cmp::Ordering::Equal => drop(self.closed.insert(desk.clone(), open.history)),
                std::cmp::Ordering::Less => {}
            }
        }
    }
}
