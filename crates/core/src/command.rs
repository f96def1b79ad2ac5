//! Commands: the only way to change the state. Each names the cluster and the key, and carries what its sender saw
//! (an epoch, a record version) with an absolute target, so that a duplicate is harmless.

use crate::ids::{ClusterId, Epoch, Holder, KeyId};
use crate::intent::{Claim, Intent, Watermark};
use crate::key::{ChainIdentity, Policy, PublicKey};
use crate::text::{KeyName, Reason, SignerId};
use alloc::vec::Vec;
use minicbor::{Decode, Encode};

/// One command about one key, or about the cluster as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Command {
    /// The cluster it was made for.
    #[n(0)]
    pub cluster: ClusterId,
    /// The key it is about; for [`Action::RaiseRules`] the cluster's own id, [`KeyId::of_cluster`].
    #[n(1)]
    pub key: KeyId,
    /// What to do.
    #[n(2)]
    pub action: Action,
}

/// What a command does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Action {
    /// Creates the key's record: the one way in which a key begins to exist.
    #[n(0)]
    AddKey(#[n(0)] AddKey),
    /// Takes a lease that nobody holds.
    #[n(1)]
    Acquire {
        /// Who takes it.
        #[n(0)]
        holder: Holder,
        /// The epoch that the sender saw.
        #[n(1)]
        expected_epoch: Epoch,
    },
    /// Gives a lease back.
    #[n(2)]
    Release {
        /// Who holds it.
        #[n(0)]
        holder: Holder,
        /// Its epoch.
        #[n(1)]
        epoch: Epoch,
        /// What the holder had approved itself inside its window, which it dropped for good before it sent this.
        /// Without it, the heights of an open window are excluded.
        #[n(2)]
        give_back: Option<Watermark>,
    },
    /// Revokes the lease, if any, and grants it to a successor, in one step.
    #[n(3)]
    Handover {
        /// The epoch that the sender saw.
        #[n(0)]
        expected_epoch: Epoch,
        /// The successor.
        #[n(1)]
        to: Holder,
        /// Why, for the audit trail.
        #[n(2)]
        reason: Reason,
    },
    /// Asks to sign one payload.
    #[n(4)]
    Approve {
        /// Who asks.
        #[n(0)]
        holder: Holder,
        /// Under which lease.
        #[n(1)]
        epoch: Epoch,
        /// What.
        #[n(2)]
        intent: Intent,
    },
    /// Stops the key until it is unfrozen.
    #[n(5)]
    Freeze {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// Why, for the audit trail.
        #[n(1)]
        reason: Reason,
    },
    /// Lets a frozen key sign again.
    #[n(6)]
    Unfreeze {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// Why, for the audit trail.
        #[n(1)]
        reason: Reason,
    },
    /// Takes a window of heights, inside which the holder approves from memory ([`crate::window`]). Asked when a real
    /// request at `height` is there, never in advance.
    #[n(7)]
    Reserve {
        /// Who takes it.
        #[n(0)]
        holder: Holder,
        /// Under which lease.
        #[n(1)]
        epoch: Epoch,
        /// Height of the request that is there.
        #[n(2)]
        height: u64,
        /// Last height of the window.
        #[n(3)]
        up_to_height: u64,
    },
    /// Raises the watermark to what the key may have signed elsewhere. Never lowers any part of it.
    #[n(8)]
    Import {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// What it may have signed.
        #[n(1)]
        claim: Claim,
        /// An operator has confirmed a jump beyond the key's `max_jump_heights`.
        #[n(2)]
        jump_confirmed: bool,
        /// Why, for the audit trail.
        #[n(3)]
        reason: Reason,
    },
    /// Sets the operator's settings.
    #[n(9)]
    SetPolicy {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// All of them, as they shall be.
        #[n(1)]
        policy: Policy,
        /// Why, for the audit trail.
        #[n(2)]
        reason: Reason,
    },
    /// Sets the signers that may hold the lease.
    #[n(10)]
    SetSigners {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// All of them, by falling priority.
        #[n(1)]
        signers: Vec<SignerId>,
        /// Why, for the audit trail.
        #[n(2)]
        reason: Reason,
    },
    /// Stops the key for ever.
    #[n(11)]
    Retire {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// Why, for the audit trail.
        #[n(1)]
        reason: Reason,
    },
    /// Lifts a quarantine.
    #[n(12)]
    LiftQuarantine {
        /// The record version that the sender saw.
        #[n(0)]
        expected_version: u64,
        /// What the operator attests: that the old nodes and signers are fenced, or how long the chain saw no
        /// signature.
        #[n(1)]
        attestation: Reason,
    },
    /// Raises the rule version of the cluster. Proposed only when every voter supports it.
    #[n(13)]
    RaiseRules {
        /// The version that the sender saw.
        #[n(0)]
        expected_rules: u32,
        /// The version that shall be in force.
        #[n(1)]
        rules: u32,
    },
}

impl Action {
    /// The signer process that asks, or that a lease goes to; `None` for an operator's change.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Acquire { holder, .. }
            | Self::Release { holder, .. }
            | Self::Approve { holder, .. }
            | Self::Reserve { holder, .. } => Some(holder),
            Self::Handover { to, .. } => Some(to),
            Self::AddKey(_)
            | Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Import { .. }
            | Self::SetPolicy { .. }
            | Self::SetSigners { .. }
            | Self::Retire { .. }
            | Self::LiftQuarantine { .. }
            | Self::RaiseRules { .. } => None,
        }
    }
}

/// The record to create.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct AddKey {
    /// Operator's name.
    #[n(0)]
    pub name: KeyName,
    /// Chain it signs for.
    #[n(1)]
    pub chain: ChainIdentity,
    /// Its public key.
    #[n(2)]
    pub public_key: PublicKey,
    /// Signers that may hold its lease, by falling priority.
    #[n(3)]
    pub signers: Vec<SignerId>,
    /// What it may have signed before; nothing at or below is ever approved.
    #[n(4)]
    pub claim: Claim,
    /// Operator's settings.
    #[n(5)]
    pub policy: Policy,
}

impl AddKey {
    /// The command that adds this key to a cluster.
    #[must_use]
    pub fn into_command(self, cluster: ClusterId) -> Command {
        let key = KeyId::of(&self.chain, &self.public_key);
        Command { cluster, key, action: Action::AddKey(self) }
    }
}
