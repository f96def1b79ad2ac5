//! A second opinion on every verdict, from the whole history instead of a watermark, written from `docs/spec/rules.md`.
//! Slow and obvious: keeps all that was approved and claimed and searches it. Shares types with core, no decision.

mod history;
mod key;
mod rules;

use crate::build::CLUSTER;
use history::{History, Mark, version_seen};
use interlock_core::command::AddKey;
use interlock_core::{Action, Command, Epoch, Holder, Intent, KeyId, Rule};
use key::Key;
use rules::{raised, unsound};
use std::collections::BTreeMap;

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

impl Oracle {
    /// R30 to R34, R41, R37.
    fn add(&mut self, id: KeyId, add: &AddKey) -> Rule {
        let protocol = add.chain.protocol() as u8;
        if KeyId::of(&add.chain, &add.public_key) != id {
            return Rule::KeyNew;
        }
        if let Some(Key { added, history, frozen, retired, .. }) = self.keys.get(&id) {
            let same = (&added.name, &added.signers, added.policy) == (&add.name, &add.signers, add.policy);
            let covered = raised(history, &add.claim, protocol).as_ref() == Some(history);
            return if same && covered && frozen.is_none() && !retired {
                Rule::KeyChanged
            } else {
                Rule::KeyNew
            };
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
