//! Permits: proof that the guard approved exactly one payload.
//!
//! A permit cannot be made outside this file, cannot be copied, and is consumed by the signature it allows. It is made
//! only from an approval that echoes the request in every field (S2).

use interlock_core::cometbft::Timestamp;
use interlock_core::{Approval, Approved, ClusterId, Digest, Epoch, Intent, KeyId, LogPosition, Position};

/// What was asked, as the approval must echo it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) cluster: ClusterId,
    pub(crate) key: KeyId,
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
    pub(crate) payload: Digest,
    /// Whether the protocol's comparison leaves a timestamp out, so that the approval must say which one to sign with.
    pub(crate) has_timestamp: bool,
}

impl Asked {
    pub(crate) fn new(cluster: ClusterId, key: KeyId, epoch: Epoch, intent: &Intent) -> Self {
        let has_timestamp = intent.timestamp().is_some();
        Self { cluster, key, epoch, position: intent.position(), payload: intent.payload(), has_timestamp }
    }
}

/// An approval of something else than was asked. The guard is faulty, or an answer went to the wrong caller: nothing is
/// signed on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EchoMismatch {
    /// Of another cluster.
    #[error("asked cluster {asked}, cluster {answered} answered")]
    Cluster {
        /// Asked.
        asked: ClusterId,
        /// Answered.
        answered: ClusterId,
    },
    /// For another key.
    #[error("asked for key {asked}, the approval is for key {answered}")]
    Key {
        /// Asked.
        asked: KeyId,
        /// Answered.
        answered: KeyId,
    },
    /// At another position.
    #[error("asked for {asked}, the approval is for {answered}")]
    Position {
        /// Asked.
        asked: Position,
        /// Answered.
        answered: Position,
    },
    /// Of another payload.
    #[error("asked for payload {asked}, the approval is for payload {answered}")]
    Payload {
        /// Asked.
        asked: Digest,
        /// Answered.
        answered: Digest,
    },
    /// Under another lease.
    #[error("asked under epoch {asked}, the approval is under epoch {answered}")]
    Epoch {
        /// Asked.
        asked: Epoch,
        /// Answered.
        answered: Epoch,
    },
    /// Without the timestamp to sign with, or with one in a protocol that has none.
    #[error("asked for {asked}, the approval {}", if *answered { "has a timestamp" } else { "has no timestamp" })]
    Timestamp {
        /// Asked.
        asked: Position,
        /// Whether the answer has one.
        answered: bool,
    },
}

/// Permission to sign one payload, once.
#[derive(Debug)]
pub struct Permit {
    approved: Approved,
}

impl Permit {
    pub(crate) fn new(asked: &Asked, approved: Approved) -> Result<Self, EchoMismatch> {
        if approved.cluster != asked.cluster {
            return Err(EchoMismatch::Cluster { asked: asked.cluster, answered: approved.cluster });
        }
        if approved.key != asked.key {
            return Err(EchoMismatch::Key { asked: asked.key, answered: approved.key });
        }
        if approved.position != asked.position {
            return Err(EchoMismatch::Position { asked: asked.position, answered: approved.position });
        }
        if approved.payload != asked.payload {
            return Err(EchoMismatch::Payload { asked: asked.payload, answered: approved.payload });
        }
        if approved.epoch != asked.epoch {
            return Err(EchoMismatch::Epoch { asked: asked.epoch, answered: approved.epoch });
        }
        if approved.timestamp.is_some() != asked.has_timestamp {
            let answered = approved.timestamp.is_some();
            return Err(EchoMismatch::Timestamp { asked: asked.position, answered });
        }
        Ok(Self { approved })
    }

    /// The key to sign with.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.approved.key
    }

    /// Where.
    #[must_use]
    pub fn position(&self) -> Position {
        self.approved.position
    }

    /// What: the digest that the bytes to sign must have.
    #[must_use]
    pub fn payload(&self) -> Digest {
        self.approved.payload
    }

    /// The timestamp to sign with: that of the first approval of the payload. `None` in protocols that compare
    /// every byte.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.approved.timestamp
    }

    /// The lease it was approved under.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.approved.epoch
    }

    /// Whether the payload had been approved before.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        self.approved.approval == Approval::Repeat
    }

    /// Where in the guard's log.
    #[must_use]
    pub fn approved_at(&self) -> LogPosition {
        self.approved.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::cometbft::{Position as CometbftPosition, Step};

    fn at(height: u64, round: u32, step: Step) -> Position {
        Position::Cometbft(CometbftPosition { height, round, step })
    }

    fn asked() -> Asked {
        Asked {
            cluster: ClusterId([1; 16]),
            key: KeyId([2; 32]),
            epoch: Epoch(3),
            position: at(4, 0, Step::Prevote),
            payload: Digest([5; 32]),
            has_timestamp: true,
        }
    }

    fn echo() -> Approved {
        let asked = asked();
        Approved {
            approval: Approval::Fresh,
            cluster: asked.cluster,
            key: asked.key,
            position: asked.position,
            payload: asked.payload,
            timestamp: Some(Timestamp { seconds: 6, nanos: 7 }),
            epoch: asked.epoch,
            at: LogPosition { log_index: 8, item: 0 },
        }
    }

    #[test]
    fn an_exact_echo_makes_a_permit() {
        let permit = Permit::new(&asked(), echo()).unwrap();
        assert_eq!(permit.position(), asked().position);
        assert_eq!(permit.payload(), asked().payload);
        assert_eq!(permit.timestamp(), Some(Timestamp { seconds: 6, nanos: 7 }));
        assert!(!permit.is_repeat());
    }

    #[test]
    fn an_echo_that_differs_in_any_field_makes_none() {
        let mismatch = |change: fn(&mut Approved)| {
            let mut approved = echo();
            change(&mut approved);
            Permit::new(&asked(), approved).unwrap_err()
        };
        assert!(matches!(mismatch(|a| a.cluster = ClusterId([9; 16])), EchoMismatch::Cluster { .. }));
        assert!(matches!(mismatch(|a| a.key = KeyId([9; 32])), EchoMismatch::Key { .. }));
        assert!(matches!(mismatch(|a| a.position = at(5, 0, Step::Prevote)), EchoMismatch::Position { .. }));
        assert!(matches!(mismatch(|a| a.position = at(4, 5, Step::Prevote)), EchoMismatch::Position { .. }));
        assert!(matches!(
            mismatch(|a| a.position = at(4, 0, Step::Precommit)),
            EchoMismatch::Position { .. }
        ));
        assert!(matches!(mismatch(|a| a.payload = Digest([9; 32])), EchoMismatch::Payload { .. }));
        assert!(matches!(mismatch(|a| a.epoch = Epoch(4)), EchoMismatch::Epoch { .. }));
        assert!(matches!(mismatch(|a| a.timestamp = None), EchoMismatch::Timestamp { answered: false, .. }));
    }
}
