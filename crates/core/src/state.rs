//! The replicated state and `apply`, the one function that changes it.
//!
//! Total and deterministic: every command gets a verdict, equal on every replica. The order of the checks is the order
//! of the rules.

use crate::audit::AuditChain;
use crate::cometbft::{CometbftRecord, Judgement};
use crate::command::{Action, AddKey, Command};
use crate::denial::Denial;
use crate::ids::{ClusterId, Epoch, KeyId, LogPosition};
use crate::intent::{Intent, Watermark};
use crate::key::{KeyRecord, KeyState, SIGNERS_PER_KEY_MAX};
use crate::lease;
use crate::rule::Rule;
use crate::text::KeyName;
use crate::verdict::{Approval, Approved, Verdict};
use alloc::collections::{BTreeMap, BTreeSet};
use minicbor::{Decode, Encode};

/// Version of the rules that this code applies.
pub const RULE_VERSION: u32 = 1;

/// The authoritative record of a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct State {
    #[n(0)]
    cluster: ClusterId,
    #[n(1)]
    rule_version: u32,
    #[n(2)]
    applied: Option<LogPosition>,
    #[n(3)]
    chain: AuditChain,
    #[n(4)]
    keys: BTreeMap<KeyId, KeyRecord>,
    #[n(5)]
    names: BTreeMap<KeyName, KeyId>,
}

impl State {
    /// The state of a cluster before its first command. Only `node format` and replay from the start make one (S6).
    #[must_use]
    pub fn genesis(cluster: ClusterId) -> Self {
        Self {
            cluster,
            rule_version: RULE_VERSION,
            applied: None,
            chain: AuditChain::start(),
            keys: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// The cluster this is the record of.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The rules this state was made under.
    #[must_use]
    pub fn rule_version(&self) -> u32 {
        self.rule_version
    }

    /// Newest applied place in the log; `None` before the first.
    #[must_use]
    pub fn applied(&self) -> Option<LogPosition> {
        self.applied
    }

    /// The audit chain after the newest applied item.
    #[must_use]
    pub fn audit_chain(&self) -> AuditChain {
        self.chain
    }

    /// One key's record.
    #[must_use]
    pub fn key(&self, key: KeyId) -> Option<&KeyRecord> {
        self.keys.get(&key)
    }

    /// The key with this name.
    #[must_use]
    pub fn key_named(&self, name: &KeyName) -> Option<(KeyId, &KeyRecord)> {
        let key = *self.names.get(name)?;
        Some((key, self.keys.get(&key)?))
    }

    /// All keys, by id.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (KeyId, &KeyRecord)> {
        self.keys.iter().map(|(key, record)| (*key, record))
    }

    /// Applies one command.
    ///
    /// # Panics
    /// When an invariant of the rule book would break (S3, S4) or the log is applied out of order. Both mean that this
    /// replica cannot be trusted any more.
    pub fn apply(&mut self, at: LogPosition, command: &Command) -> Verdict {
        assert!(
            self.applied.is_none_or(|applied| applied < at),
            "the log is applied in order, each item once"
        );
        let verdict = self.decide(at, command).unwrap_or_else(Verdict::Denied);
        self.applied = Some(at);
        self.chain = self.chain.extend(at, command, &verdict);
        verdict
    }

    fn decide(&mut self, at: LogPosition, command: &Command) -> Result<Verdict, Denial> {
        if let Action::AddKey(add) = &command.action {
            self.check_cluster(command)?;
            return self.add_key(command.key, add);
        }
        if !self.keys.contains_key(&command.key) {
            return Err(Denial::UnknownKey { key: command.key });
        }
        self.check_cluster(command)?;
        let cluster = self.cluster;
        let record = self.keys.get_mut(&command.key).ok_or(Denial::UnknownKey { key: command.key })?;
        let epoch_before = record.epoch;
        let verdict = match &command.action {
            Action::AddKey(_) => unreachable!("handled above"),
            Action::Acquire { holder, expected_epoch } => {
                check_active(record)?;
                lease::acquire(record, holder, *expected_epoch)
            }
            Action::Release { holder, epoch } => lease::release(record, holder, *epoch),
            Action::Handover { expected_epoch, to, reason: _ } => {
                check_active(record)?;
                lease::handover(record, to, *expected_epoch)
            }
            Action::Approve { holder, epoch, intent } => {
                check_active(record)?;
                lease::check_holder(record, holder, *epoch)?;
                approve(record, Asked { cluster, key: command.key, epoch: *epoch, at }, intent)
            }
            Action::Freeze { expected_version, reason } => {
                set_state(record, *expected_version, KeyState::Frozen { reason: reason.clone() })
            }
            Action::Unfreeze { expected_version, reason: _ } => {
                set_state(record, *expected_version, KeyState::Active)
            }
        };
        assert!(record.epoch >= epoch_before, "S3: an epoch never falls");
        verdict
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
        if let Some(by) = self.names.get(&add.name) {
            return Err(Denial::NameTaken { name: add.name.clone(), by: *by });
        }
        let distinct: BTreeSet<_> = add.signers.iter().collect();
        if distinct.is_empty() || distinct.len() != add.signers.len() || distinct.len() > SIGNERS_PER_KEY_MAX
        {
            let count = u32::try_from(add.signers.len()).unwrap_or(u32::MAX);
            return Err(Denial::UnsoundSigners { count });
        }
        self.names.insert(add.name.clone(), key);
        self.keys.insert(key, new_record(add));
        Ok(Verdict::Changed { version: 1 })
    }
}

fn new_record(add: &AddKey) -> KeyRecord {
    KeyRecord {
        name: add.name.clone(),
        chain: add.chain.clone(),
        public_key: add.public_key.clone(),
        state: KeyState::Active,
        policy: add.policy,
        signers: add.signers.clone(),
        epoch: Epoch(0),
        holder: None,
        version: 1,
        watermark: Watermark::Cometbft(CometbftRecord::new(add.floor_height)),
    }
}

/// A duplicate of the command that made the record is harmless, even after the key has signed; anything else would
/// re-register a key, and S4 forbids what that usually means.
fn repeat_add(existing: &KeyRecord, add: &AddKey) -> Result<Verdict, Denial> {
    let Watermark::Cometbft(watermark) = &existing.watermark;
    let same = existing.name == add.name
        && existing.signers == add.signers
        && existing.policy == add.policy
        && watermark.floor_height == add.floor_height;
    if same {
        let (epoch, version) = (existing.epoch, existing.version);
        return Ok(Verdict::AlreadyDone { rule: Rule::KeyChanged, epoch, version });
    }
    Err(Denial::KeyExists { name: existing.name.clone() })
}

fn check_active(record: &KeyRecord) -> Result<(), Denial> {
    match &record.state {
        KeyState::Active => Ok(()),
        state @ KeyState::Frozen { .. } => Err(Denial::NotActive { state: state.clone() }),
    }
}

fn set_state(record: &mut KeyRecord, expected_version: u64, state: KeyState) -> Result<Verdict, Denial> {
    if record.state == state {
        let (epoch, version) = (record.epoch, record.version);
        return Ok(Verdict::AlreadyDone { rule: Rule::KeyChanged, epoch, version });
    }
    if record.version != expected_version {
        return Err(Denial::VersionMoved { current: record.version, expected: expected_version });
    }
    record.state = state;
    record.version += 1;
    Ok(Verdict::Changed { version: record.version })
}

#[derive(Clone, Copy)]
struct Asked {
    cluster: ClusterId,
    key: KeyId,
    epoch: Epoch,
    at: LogPosition,
}

fn approve(record: &mut KeyRecord, asked: Asked, intent: &Intent) -> Result<Verdict, Denial> {
    let Intent::Cometbft(intent) = intent;
    let Watermark::Cometbft(watermark) = &mut record.watermark;
    let (approval, timestamp) = match watermark.judge(intent, asked.epoch, record.policy)? {
        Judgement::Repeat(timestamp) => (Approval::Repeat, timestamp),
        Judgement::Advance => {
            watermark.advance(intent, asked.epoch);
            (Approval::Fresh, intent.timestamp)
        }
    };
    Ok(Verdict::Approved(Approved {
        approval,
        cluster: asked.cluster,
        key: asked.key,
        position: intent.position,
        payload: intent.payload,
        timestamp,
        epoch: asked.epoch,
        at: asked.at,
    }))
}
