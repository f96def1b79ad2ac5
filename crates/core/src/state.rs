//! The replicated state: the book, how far the log was applied, and the chain over everything applied.
//!
//! Equal on every replica that applied the same log, down to its bytes.

use crate::audit::AuditChain;
use crate::book::{Book, RULES_NEWEST};
use crate::command::Command;
use crate::ids::{ClusterId, Digest, KeyId, LogPosition};
use crate::key::KeyRecord;
use crate::text::{KeyName, Reason};
use crate::verdict::Verdict;
use alloc::vec::Vec;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

/// Version of the encoding that [`State::to_bytes`] writes and [`State::from_bytes`] reads.
pub const STATE_FORMAT: u32 = 1;

/// The authoritative record of a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct State {
    #[n(0)]
    book: Book,
    #[n(1)]
    applied: Option<LogPosition>,
    #[n(2)]
    chain: AuditChain,
}

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Cut, damaged, or no state at all.
    #[error("the state does not decode")]
    Undecodable,
    /// Written by a later release.
    #[error("the state has format {found}, this program reads up to {STATE_FORMAT}; upgrade it")]
    NewerFormat {
        /// Format found.
        found: u32,
    },
    /// Made under rules of a later release.
    #[error(
        "the state is under rule version {found}, this program knows rules up to {RULES_NEWEST}; upgrade it"
    )]
    NewerRules {
        /// Rule version found.
        found: u32,
    },
    /// It decodes, and is not what this code would write: two replicas could not compare it.
    #[error("the state is not in its canonical encoding")]
    NotCanonical,
}

impl State {
    /// The state of a cluster before its first command. Only `node format` and replay from the start make one (S6).
    #[must_use]
    pub fn genesis(cluster: ClusterId) -> Self {
        Self { book: Book::new(cluster), applied: None, chain: AuditChain::start() }
    }

    /// The state that a new cluster begins with after a restore or a forced recovery ([`Book::restored_as`]). Its audit
    /// chain begins with a digest of it, so that replicas restored from two backups differ from the first item on.
    ///
    /// # Panics
    /// When it is the same cluster.
    #[must_use]
    pub fn restored_as(&self, cluster: ClusterId, reason: &Reason) -> Self {
        let book = self.book.restored_as(cluster, reason);
        let mut restored = Self { book, applied: None, chain: AuditChain::start() };
        restored.chain = AuditChain::after_restore(restored.digest());
        restored
    }

    /// What the rules read and write.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The cluster this is the record of.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.book.cluster()
    }

    /// The rule version in force.
    #[must_use]
    pub fn rule_version(&self) -> u32 {
        self.book.rules()
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
        self.book.key(key)
    }

    /// The key with this name.
    #[must_use]
    pub fn key_named(&self, name: &KeyName) -> Option<(KeyId, &KeyRecord)> {
        self.book.key_named(name)
    }

    /// All keys, by id.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (KeyId, &KeyRecord)> {
        self.book.keys()
    }

    /// Applies one command.
    ///
    /// # Panics
    /// When the log is applied out of order, or the command is of a later release ([`Book::understands`]). Both mean
    /// that this replica must not go on.
    pub fn apply(&mut self, at: LogPosition, command: &Command) -> Verdict {
        assert!(
            self.applied.is_none_or(|applied| applied < at),
            "the log is applied in order, each item once"
        );
        let verdict = self.book.apply(at, command);
        self.applied = Some(at);
        self.chain = self.chain.extend(at, command, &verdict);
        verdict
    }

    /// Applies the commands of one log entry: exactly its items in order, each with its own verdict.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub fn apply_batch(&mut self, log_index: u64, commands: &[Command]) -> Vec<Verdict> {
        let items = (0_u32..).zip(commands);
        items.map(|(item, command)| self.apply(LogPosition { log_index, item }, command)).collect()
    }

    /// The canonical encoding: equal states have equal bytes, and no other bytes decode to them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = STATE_FORMAT.to_be_bytes().to_vec();
        let Ok(()) = minicbor::encode(self, &mut bytes) else {
            unreachable!("writing to memory cannot fail")
        };
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are anything else, or of a later release.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (format, body) = bytes.split_first_chunk::<4>().ok_or(StateError::Undecodable)?;
        let format = u32::from_be_bytes(*format);
        if format > STATE_FORMAT {
            return Err(StateError::NewerFormat { found: format });
        }
        let state: Self = minicbor::decode(body).map_err(|_| StateError::Undecodable)?;
        if state.rule_version() > RULES_NEWEST {
            return Err(StateError::NewerRules { found: state.rule_version() });
        }
        if state.to_bytes() != bytes {
            return Err(StateError::NotCanonical);
        }
        Ok(state)
    }

    /// SHA-256 over the canonical encoding.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.to_bytes()).into())
    }
}
