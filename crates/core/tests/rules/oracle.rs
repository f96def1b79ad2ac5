//! A second opinion on every verdict, from the whole history instead of a watermark.
//!
//! Slow and obvious: keeps every approval and searches them. Shares types with the code under test, no decision.

use interlock_core::cometbft::{CometbftIntent, Position, Step};
use interlock_core::command::AddKey;
use interlock_core::{Action, ClusterId, Command, Epoch, Holder, Intent, KeyId, Reason, Rule};
use std::collections::BTreeMap;

struct Key {
    added: AddKey,
    frozen: Option<Reason>,
    version: u64,
    /// Every holder there ever was, in order; the epoch is how many.
    grants: Vec<Holder>,
    released: bool,
    /// Every approval there ever was, in order, with its epoch.
    given: Vec<(u64, CometbftIntent)>,
}

pub(crate) struct Oracle {
    cluster: ClusterId,
    keys: BTreeMap<KeyId, Key>,
}

impl Key {
    fn epoch(&self) -> u64 {
        self.grants.len() as u64
    }

    fn holder(&self) -> Option<&Holder> {
        if self.released { None } else { self.grants.last() }
    }

    fn may_hold(&self, holder: &Holder) -> bool {
        self.added.signers.contains(&holder.signer)
    }

    fn grant(&mut self, to: &Holder) -> Rule {
        self.grants.push(to.clone());
        self.released = false;
        Rule::LeaseGranted
    }

    fn acquire(&mut self, holder: &Holder, expected: u64) -> Rule {
        if !self.may_hold(holder) {
            Rule::SignerRegistered
        } else if expected.saturating_add(1) == self.epoch() && self.holder() == Some(holder) {
            Rule::LeaseGranted
        } else if expected != self.epoch() {
            Rule::EpochExpected
        } else if self.holder().is_some() {
            Rule::LeaseFree
        } else {
            self.grant(holder)
        }
    }

    fn handover(&mut self, to: &Holder, expected: u64) -> Rule {
        let recent = expected == self.epoch() || expected.saturating_add(1) == self.epoch();
        if !self.may_hold(to) {
            Rule::SignerRegistered
        } else if recent && self.holder() == Some(to) {
            Rule::LeaseGranted
        } else if expected != self.epoch() {
            Rule::EpochExpected
        } else {
            self.grant(to)
        }
    }

    fn release(&mut self, holder: &Holder, epoch: u64) -> Rule {
        let ended = self.holder().is_none();
        if epoch != self.epoch() || !(ended || self.holder() == Some(holder)) {
            return Rule::ReleasedByHolder;
        }
        self.released = true;
        Rule::LeaseReleased
    }

    fn set_frozen(&mut self, to: Option<Reason>, version: u64) -> Rule {
        if to != self.frozen {
            if version != self.version {
                return Rule::VersionExpected;
            }
            self.frozen = to;
            self.version += 1;
        }
        Rule::KeyChanged
    }

    fn approve(&mut self, holder: &Holder, epoch: u64, intent: &CometbftIntent) -> Rule {
        if self.holder() != Some(holder) {
            return Rule::HolderMatches;
        }
        if epoch != self.epoch() {
            return Rule::EpochCurrent;
        }
        let asked = intent.position;
        let newest = self.given.iter().map(|(_, given)| order(given.position)).max();
        let here = self.given.iter().find(|(_, given)| given.position == asked);
        if here.is_some_and(|(_, given)| newest == Some(order(asked)) && given.payload == intent.payload) {
            return Rule::Repeat;
        }
        if asked.height <= self.added.floor_height {
            return Rule::AboveFloor;
        }
        if newest > Some(order(asked)) {
            return Rule::NoRegression;
        }
        if here.is_some() {
            return Rule::NoConflict;
        }
        if self.added.policy.lock_rule && self.would_unlock(intent, epoch) {
            return Rule::LockRespected;
        }
        let settled = newest.map_or(self.added.floor_height, |(height, ..)| height);
        if asked.height > settled.saturating_add(self.added.policy.max_jump_heights) {
            return Rule::JumpBounded;
        }
        self.given.push((epoch, intent.clone()));
        Rule::Advance
    }

    fn would_unlock(&self, intent: &CometbftIntent, epoch: u64) -> bool {
        let asked = intent.position;
        let votes = || {
            let here = self.given.iter().rev().filter(|(_, given)| given.position.height == asked.height);
            here.filter(|(_, given)| given.position.step != Step::Proposal && given.block.is_some())
        };
        let lock = votes().find(|(_, given)| given.position.step == Step::Precommit);
        let Some((lock_epoch, lock)) = lock else { return false };
        let newest_vote = votes().next().and_then(|(_, given)| given.block);
        let allowed = [None, lock.block, newest_vote];
        let knows = *lock_epoch == epoch && lock.node == intent.node;
        asked.step == Step::Prevote && !knows && !allowed.contains(&intent.block)
    }
}

/// Positions in order, without the order that the type itself defines.
fn order(position: Position) -> (u64, u32, Option<usize>) {
    let step =
        [Step::Proposal, Step::Prevote, Step::Precommit].iter().position(|step| *step == position.step);
    (position.height, position.round, step)
}

impl Oracle {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        Self { cluster, keys: BTreeMap::new() }
    }

    /// Follows one command and says which rule must decide it.
    pub(crate) fn decide(&mut self, command: &Command) -> Rule {
        let wrong_cluster = command.cluster != self.cluster;
        if let Action::AddKey(add) = &command.action {
            return if wrong_cluster { Rule::ClusterMatches } else { self.add(command.key, add) };
        }
        let Some(key) = self.keys.get_mut(&command.key) else { return Rule::KeyKnown };
        if wrong_cluster {
            return Rule::ClusterMatches;
        }
        let stopped = key.frozen.is_some();
        match &command.action {
            Action::Acquire { .. } | Action::Handover { .. } | Action::Approve { .. } if stopped => {
                Rule::KeyActive
            }
            Action::Acquire { holder, expected_epoch } => key.acquire(holder, expected_epoch.0),
            Action::Handover { to, expected_epoch, .. } => key.handover(to, expected_epoch.0),
            Action::Release { holder, epoch } => key.release(holder, epoch.0),
            Action::Approve { holder, epoch, intent: Intent::Cometbft(intent) } => {
                key.approve(holder, epoch.0, intent)
            }
            Action::Freeze { expected_version, reason } => {
                key.set_frozen(Some(reason.clone()), *expected_version)
            }
            Action::Unfreeze { expected_version, .. } => key.set_frozen(None, *expected_version),
            Action::AddKey(_) => unreachable!("returned above"),
        }
    }

    fn add(&mut self, id: KeyId, add: &AddKey) -> Rule {
        if let Some(key) = self.keys.get(&id) {
            return if key.added == *add { Rule::KeyChanged } else { Rule::KeyNew };
        }
        if self.keys.values().any(|key| key.added.name == add.name) {
            return Rule::NameFree;
        }
        if add.signers.is_empty() {
            return Rule::SignersSound;
        }
        let (frozen, grants, given) = (None, Vec::new(), Vec::new());
        self.keys.insert(id, Key { added: add.clone(), frozen, version: 1, grants, released: true, given });
        Rule::KeyChanged
    }

    /// S3: who holds a key, under which epoch.
    pub(crate) fn lease(&self, key: KeyId) -> Option<(Epoch, Option<&Holder>)> {
        self.keys.get(&key).map(|key| (Epoch(key.epoch()), key.holder()))
    }
}
