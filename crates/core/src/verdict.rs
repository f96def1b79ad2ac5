//! Verdicts: the answer to each command. A denial is a value like any other, equal on every replica.

use crate::cometbft::Timestamp;
use crate::denial::Denial;
use crate::ids::{ClusterId, Digest, Epoch, Holder, KeyId, LogPosition};
use crate::intent::{Position, Watermark};
use crate::key::Policy;
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
    /// A window of heights belongs to the holder.
    #[n(6)]
    Reserved(#[n(0)] Reserved),
    /// The rule version of the cluster rose.
    #[n(7)]
    RulesRaised {
        /// The version in force.
        #[n(0)]
        rules: u32,
    },
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
    /// The timestamp to sign with: of the first approval of this payload. `None` in protocols that compare every byte.
    #[n(5)]
    pub timestamp: Option<Timestamp>,
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
    /// R14: the watermark advanced.
    #[n(0)]
    Fresh,
    /// R8: this payload was approved before.
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

/// A window, with everything that its holder begins with ([`crate::window`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Reserved {
    /// The cluster that reserved.
    #[n(0)]
    pub cluster: ClusterId,
    /// The key.
    #[n(1)]
    pub key: KeyId,
    /// The lease it belongs to.
    #[n(2)]
    pub epoch: Epoch,
    /// Last height of the window.
    #[n(3)]
    pub up_to_height: u64,
    /// The record of the key when the window was opened. It stands still while the window is open.
    #[n(4)]
    pub watermark: Watermark,
    /// The key's settings, which stand still as well.
    #[n(5)]
    pub policy: Policy,
    /// Where in the log.
    #[n(6)]
    pub at: LogPosition,
    /// The window was there already, up to this height or further: an answer to a request sent twice.
    #[n(7)]
    pub repeat: bool,
    /// The process that it belongs to.
    #[n(8)]
    pub holder: Holder,
}

impl Verdict {
    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::Approved(Approved { approval: Approval::Fresh, .. }) => Rule::Advance,
            Self::Approved(Approved { approval: Approval::Repeat, .. }) => Rule::Repeat,
            Self::Granted(_) => Rule::LeaseGranted,
            Self::Reserved(_) => Rule::WindowReserved,
            Self::Released { .. } => Rule::LeaseReleased,
            Self::Changed { .. } => Rule::KeyChanged,
            Self::RulesRaised { .. } => Rule::RulesRaised,
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
