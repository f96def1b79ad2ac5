//! Commands: the only way to change the state. Each names the cluster and the key, and carries what its sender saw
//! (an epoch, a record version) with an absolute target, so that a duplicate is harmless.

use crate::ids::{ClusterId, Epoch, Holder, KeyId};
use crate::intent::Intent;
use crate::key::{ChainIdentity, Policy, PublicKey};
use crate::text::{KeyName, Reason, SignerId};
use alloc::vec::Vec;
use minicbor::{Decode, Encode};

/// One command about one key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Command {
    /// The cluster it was made for.
    #[n(0)]
    pub cluster: ClusterId,
    /// The key it is about.
    #[n(1)]
    pub key: KeyId,
    /// What to do.
    #[n(2)]
    pub action: Action,
}

/// What a command does.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
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
}

/// The record to create.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
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
    /// No height up to and including this one may ever be signed.
    #[n(4)]
    pub floor_height: u64,
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
