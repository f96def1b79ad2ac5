//! Verdicts: the answer to each command. A denial is a value like any other, equal on every replica.

use crate::cometbft::{Position, Timestamp};
use crate::denial::Denial;
use crate::ids::{ClusterId, Digest, Epoch, Holder, KeyId, LogPosition};
use crate::rule::Rule;
use minicbor::{Decode, Encode};

/// What the state machine says to one command.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Verdict {
    /// The payload may be signed.
    #[n(0)]
    Approved(#[n(0)] Approved),
    /// The lease changed hands.
    #[n(1)]
    Granted(#[n(0)] Grant),
    /// The lease was given back.
    #[n(2)]
    Released {
        /// The epoch that ended.
        #[n(0)]
        epoch: Epoch,
    },
    /// An operator's change was recorded.
    #[n(3)]
    Changed {
        /// The record's new version.
        #[n(0)]
        version: u64,
    },
    /// What the command asks for is so already: a duplicate, harmless.
    #[n(4)]
    AlreadyDone {
        /// The rule under which it was done.
        #[n(0)]
        rule: Rule,
        /// The lease epoch in force.
        #[n(1)]
        epoch: Epoch,
        /// The record version in force.
        #[n(2)]
        version: u64,
    },
    /// Nothing changed.
    #[n(5)]
    Denied(#[n(0)] Denial),
}

/// Permission to sign one payload, with everything that the permit is checked against.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Approved {
    /// New, or again.
    #[n(0)]
    pub approval: Approval,
    /// The cluster that approved.
    #[n(1)]
    pub cluster: ClusterId,
    /// The key.
    #[n(2)]
    pub key: KeyId,
    /// The position.
    #[n(3)]
    pub position: Position,
    /// The payload.
    #[n(4)]
    pub payload: Digest,
    /// The timestamp to sign with: of the first approval of this payload.
    #[n(5)]
    pub timestamp: Timestamp,
    /// The lease it was approved under.
    #[n(6)]
    pub epoch: Epoch,
    /// Where in the log.
    #[n(7)]
    pub at: LogPosition,
}

/// New, or again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Approval {
    /// R12: the watermark advanced.
    #[n(0)]
    Fresh,
    /// R6: this payload was approved before.
    #[n(1)]
    Repeat,
}

/// A new lease.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Grant {
    /// Who holds it.
    #[n(0)]
    pub holder: Holder,
    /// Its epoch.
    #[n(1)]
    pub epoch: Epoch,
    /// Who held the lease before, if anybody.
    #[n(2)]
    pub previous: Option<Holder>,
}

impl Verdict {
    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::Approved(Approved { approval: Approval::Fresh, .. }) => Rule::Advance,
            Self::Approved(Approved { approval: Approval::Repeat, .. }) => Rule::Repeat,
            Self::Granted(_) => Rule::LeaseGranted,
            Self::Released { .. } => Rule::LeaseReleased,
            Self::Changed { .. } => Rule::KeyChanged,
            Self::AlreadyDone { rule, .. } => *rule,
            Self::Denied(denial) => denial.rule(),
        }
    }

    /// Whether the command was refused.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}
