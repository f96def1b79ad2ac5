//! The records of all keys, and the one function that decides about them.
//!
//! Total and deterministic: every command gets a verdict, equal on every replica. The order of the checks is the order
//! of the rules. A change is made on a copy of the record and put in place only when the invariants hold; an approval,
//! which only its watermark records, is checked by the watermark itself.

mod encoding;

use crate::command::{Action, AddKey, Command};
use crate::denial::Denial;
use crate::ids::{ClusterId, Epoch, KeyId, LogPosition};
use crate::intent::Watermark;
use crate::invariant;
use crate::key::{KeyRecord, KeyState};
use crate::names::{Names, Records};
use crate::rule::Rule;
use crate::shared::Pool;
use crate::signing::{self, Asked};
use crate::text::{KeyName, Reason};
use crate::verdict::Verdict;
use crate::{lease, operator};
use alloc::boxed::Box;
use alloc::sync::Arc;

/// Rule version of a new cluster.
pub const RULES_OLDEST: u32 = 1;
/// Newest rule version that this code applies. 1: everything but windows. 2: windows.
pub const RULES_NEWEST: u32 = 2;

/// What the rules read and write: everything that decides a verdict, and nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Book {
    cluster: ClusterId,
    rules: u32,
    keys: Records,
    /// Follows from `keys`.
    names: Names,
    /// Saves memory only.
    pool: Pool,
}

/// A command of a later release: applying it here would give another verdict than there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rule version {asked} is asked for, this program knows rules up to {RULES_NEWEST}; upgrade it")]
pub struct NotUnderstood {
    /// The rule version that the command brings in force.
    pub asked: u32,
}

impl Book {
    /// The book of a cluster before its first command.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        let (keys, names, pool) = (Records::new(), Names::default(), Pool::default());
        Self { cluster, rules: RULES_OLDEST, keys, names, pool }
    }

    /// The cluster this is the record of.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The rule version in force.
    #[must_use]
    pub fn rules(&self) -> u32 {
        self.rules
    }

    /// One key's record.
    #[must_use]
    pub fn key(&self, key: KeyId) -> Option<&KeyRecord> {
        self.keys.get(&key).map(|record| &**record)
    }

    /// The key with this name.
    #[must_use]
    pub fn key_named(&self, name: &KeyName) -> Option<(KeyId, &KeyRecord)> {
        self.names.find(name, &self.keys)
    }

    /// All keys, by id.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (KeyId, &KeyRecord)> {
        self.keys.iter().map(|(key, record)| (*key, &**record))
    }

    /// Whether this code can apply a command. To be asked before a command is proposed, and again before it is applied.
    ///
    /// # Errors
    /// When the command would bring rules in force that this code does not have. A node that met it in the log has to
    /// stop and be upgraded.
    pub fn understands(&self, command: &Command) -> Result<(), NotUnderstood> {
        let Action::RaiseRules { expected_rules, rules } = command.action else { return Ok(()) };
        // What every release refuses, this one may refuse as well.
        let accepted = command.cluster == self.cluster
            && command.key == KeyId::of_cluster(self.cluster)
            && expected_rules == self.rules
            && Some(rules) == self.rules.checked_add(1);
        if accepted && rules > RULES_NEWEST { Err(NotUnderstood { asked: rules }) } else { Ok(()) }
    }

    /// Applies one command.
    ///
    /// # Panics
    /// When the command is not understood ([`Self::understands`]): no verdict would be the right one.
    pub fn apply(&mut self, at: LogPosition, command: &Command) -> Verdict {
        if let Err(error) = self.understands(command) {
            panic!("{error}");
        }
        self.decide(at, command).unwrap_or_else(Verdict::Denied)
    }

    fn decide(&mut self, at: LogPosition, command: &Command) -> Result<Verdict, Denial> {
        match &command.action {
            Action::AddKey(add) => {
                self.check_cluster(command)?;
                self.add_key(command.key, add)
            }
            Action::RaiseRules { expected_rules, rules } => {
                self.check_cluster(command)?;
                self.raise_rules(command.key, *expected_rules, *rules)
            }
            Action::Approve { holder, epoch, intent } => {
                let cluster = self.cluster;
                let record = self.record(command)?;
                check_active(record)?;
                lease::check_holder(record, holder, *epoch)?;
                signing::approve(record, Asked { cluster, key: command.key, epoch: *epoch, at }, intent)
            }
            action => {
                let (cluster, rules) = (self.cluster, self.rules);
                let record = self.record(command)?;
                let mut next = record.clone();
                let asked = |epoch| Asked { cluster, key: command.key, epoch, at };
                let verdict = change(&mut next, action, asked, rules)?;
                invariant::check(record, &next).map_err(|invariant| Denial::Broken { invariant })?;
                *record = next;
                self.share(command.key);
                Ok(verdict)
            }
        }
    }

    fn record(&mut self, command: &Command) -> Result<&mut KeyRecord, Denial> {
        let (ours, asked) = (self.cluster, command.cluster);
        let record = self.keys.get_mut(&command.key).ok_or(Denial::UnknownKey { key: command.key })?;
        if asked == ours { Ok(record) } else { Err(Denial::WrongCluster { ours, asked }) }
    }

    fn check_cluster(&self, command: &Command) -> Result<(), Denial> {
        if command.cluster == self.cluster {
            Ok(())
        } else {
            Err(Denial::WrongCluster { ours: self.cluster, asked: command.cluster })
        }
    }

    fn add_key(&mut self, key: KeyId, add: &AddKey) -> Result<Verdict, Denial> {
        let computed = KeyId::of(&add.chain, &add.public_key);
        if computed != key {
            return Err(Denial::KeyIdMismatch { computed, asked: key });
        }
        if let Some(existing) = self.keys.get(&key) {
            return repeat_add(existing, add);
        }
        if let Some((by, _)) = self.key_named(&add.name) {
            return Err(Denial::NameTaken { name: add.name.clone(), by });
        }
        operator::check_signers(&add.signers)?;
        operator::check_policy(&add.chain, add.policy)?;
        let mut watermark = Watermark::empty(&add.chain);
        watermark.raise(&add.claim)?;
        operator::check_policy_rules(add.policy, self.rules)?;
        self.insert(key, new_record(add, watermark));
        Ok(Verdict::Changed { version: 1 })
    }

    fn insert(&mut self, key: KeyId, mut record: KeyRecord) {
        self.pool.share(&mut record);
        self.names.insert(&record.name, key);
        self.keys.insert(key, Box::new(record));
    }

    /// A changed record shares again what it has in common with others.
    fn share(&mut self, key: KeyId) {
        if let Some(record) = self.keys.get_mut(&key) {
            self.pool.share(record);
        }
    }

    fn raise_rules(&mut self, subject: KeyId, expected: u32, asked: u32) -> Result<Verdict, Denial> {
        let computed = KeyId::of_cluster(self.cluster);
        if subject != computed {
            return Err(Denial::KeyIdMismatch { computed, asked: subject });
        }
        let current = self.rules;
        if asked == current {
            let (epoch, version) = (Epoch(0), u64::from(current));
            return Ok(Verdict::AlreadyDone { rule: Rule::RulesRaised, epoch, version });
        }
        if expected != current || current.checked_add(1) != Some(asked) {
            return Err(Denial::RulesMoved { current, expected, asked });
        }
        self.rules = asked;
        Ok(Verdict::RulesRaised { rules: asked })
    }

    /// The book of a new cluster that continues this one after a restore or a forced recovery: every key that is not
    /// retired is quarantined and held by nobody, every window excluded. Watermarks stay or rise; the claims that
    /// raise them are imported by commands.
    ///
    /// # Panics
    /// When it is the same cluster: commands of its old signers would stay valid.
    #[must_use]
    pub fn restored_as(&self, cluster: ClusterId, reason: &Reason) -> Self {
        assert!(cluster != self.cluster, "a restored cluster is another cluster");
        let mut restored = self.clone();
        restored.cluster = cluster;
        for record in restored.keys.values_mut() {
            record.end_window_and_lease();
            record.holder = None;
            record.version = record.version.saturating_add(1);
            record.state = match &record.state {
                retired @ KeyState::Retired { .. } => retired.clone(),
                KeyState::Active => KeyState::Quarantined { reason: reason.clone(), frozen: None },
                KeyState::Frozen { reason: why } | KeyState::Quarantined { frozen: Some(why), .. } => {
                    KeyState::Quarantined { reason: reason.clone(), frozen: Some(why.clone()) }
                }
                KeyState::Quarantined { frozen: None, .. } => {
                    KeyState::Quarantined { reason: reason.clone(), frozen: None }
                }
            };
        }
        restored
    }
}

/// The commands that change a record other than by an approval. Checks R3 to R5 where they apply.
fn change(
    record: &mut KeyRecord,
    action: &Action,
    asked: impl Fn(Epoch) -> Asked,
    rules: u32,
) -> Result<Verdict, Denial> {
    match action {
        Action::AddKey(_) | Action::RaiseRules { .. } | Action::Approve { .. } => {
            unreachable!("decided before")
        }
        Action::Acquire { holder, expected_epoch } => {
            check_active(record)?;
            lease::acquire(record, holder, *expected_epoch)
        }
        Action::Release { holder, epoch, give_back } => {
            lease::release(record, holder, *epoch, give_back.as_ref())
        }
        Action::Handover { expected_epoch, to, reason: _ } => {
            check_active(record)?;
            lease::handover(record, to, *expected_epoch)
        }
        Action::Reserve { holder, epoch, height, up_to_height } => {
            check_active(record)?;
            lease::check_holder(record, holder, *epoch)?;
            signing::reserve(record, asked(*epoch), *height, *up_to_height)
        }
        Action::Freeze { expected_version, reason } => operator::freeze(record, *expected_version, reason),
        Action::Unfreeze { expected_version, reason: _ } => operator::unfreeze(record, *expected_version),
        Action::Import { expected_version, claim, jump_confirmed, reason: _ } => {
            operator::import(record, *expected_version, claim, *jump_confirmed)
        }
        Action::SetPolicy { expected_version, policy, reason: _ } => {
            operator::set_policy(record, *expected_version, *policy, rules)
        }
        Action::SetSigners { expected_version, signers, reason: _ } => {
            operator::set_signers(record, *expected_version, signers)
        }
        Action::Retire { expected_version, reason } => operator::retire(record, *expected_version, reason),
        Action::LiftQuarantine { expected_version, attestation: _ } => {
            operator::lift_quarantine(record, *expected_version)
        }
    }
}

fn check_active(record: &KeyRecord) -> Result<(), Denial> {
    match &record.state {
        KeyState::Active => Ok(()),
        state => Err(Denial::NotActive { state: state.clone() }),
    }
}

fn new_record(add: &AddKey, watermark: Watermark) -> KeyRecord {
    KeyRecord {
        name: add.name.clone(),
        chain: Arc::new(add.chain.clone()),
        public_key: add.public_key.clone(),
        state: KeyState::Active,
        policy: add.policy,
        signers: Arc::from(&*add.signers),
        epoch: Epoch(0),
        holder: None,
        version: 1,
        watermark,
        window_height: None,
    }
}

/// A duplicate of the command that made the record is harmless, even after the key has signed; anything else would
/// re-register a key, and S4 forbids what that usually means.
fn repeat_add(existing: &KeyRecord, add: &AddKey) -> Result<Verdict, Denial> {
    let mut raised = existing.watermark.clone();
    let covered = raised.raise(&add.claim).is_ok() && raised == existing.watermark;
    let same =
        existing.name == add.name && *existing.signers == *add.signers && existing.policy == add.policy;
    if same && covered && existing.state == KeyState::Active {
        return Ok(operator::already_done(existing));
    }
    Err(Denial::KeyExists { name: existing.name.clone() })
}
