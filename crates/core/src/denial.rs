//! Denials: why a command changed nothing, with both of the values that disagree.

use crate::cometbft::Position;
use crate::ids::{ClusterId, Digest, Epoch, Holder, KeyId};
use crate::key::KeyState;
use crate::rule::Rule;
use crate::text::{KeyName, SignerId};
use core::fmt;
use minicbor::{Decode, Encode};

/// Why a command was refused. The text begins with the rule, which `docs/spec/rules.md` explains.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[allow(missing_docs)] // Fields repeat what the variant and its message say.
pub enum Denial {
    /// The key was never added.
    #[n(0)]
    UnknownKey {
        #[n(0)]
        key: KeyId,
    },
    /// The command was made for another cluster.
    #[n(1)]
    WrongCluster {
        #[n(0)]
        ours: ClusterId,
        #[n(1)]
        asked: ClusterId,
    },
    /// The key may not sign now.
    #[n(2)]
    NotActive {
        #[n(0)]
        state: KeyState,
    },
    /// Another process holds the lease, or nobody.
    #[n(3)]
    NotHolder {
        #[n(0)]
        holder: Option<Holder>,
        #[n(1)]
        epoch: Epoch,
        #[n(2)]
        asked: Holder,
    },
    /// The lease was granted anew since.
    #[n(4)]
    StaleEpoch {
        #[n(0)]
        current: Epoch,
        #[n(1)]
        asked: Epoch,
    },
    /// The height is excluded by the floor.
    #[n(5)]
    BelowFloor {
        #[n(0)]
        floor_height: u64,
        #[n(1)]
        asked: Position,
    },
    /// A newer position was approved before.
    #[n(6)]
    Regression {
        #[n(0)]
        last: Position,
        #[n(1)]
        asked: Position,
    },
    /// Another payload was approved at this position: signing this one would be a double sign.
    #[n(7)]
    Conflict {
        #[n(0)]
        at: Position,
        #[n(1)]
        recorded: Digest,
        #[n(2)]
        asked: Digest,
    },
    /// The key has locked another block at this height.
    #[n(8)]
    Locked {
        #[n(0)]
        at: Position,
        #[n(1)]
        locked: Digest,
        #[n(2)]
        asked: Digest,
    },
    /// The height lies too far ahead.
    #[n(9)]
    Jump {
        #[n(0)]
        settled_height: u64,
        #[n(1)]
        asked: Position,
        #[n(2)]
        max_jump_heights: u64,
    },
    /// The signer is not registered for the key.
    #[n(10)]
    NotRegistered {
        #[n(0)]
        signer: SignerId,
    },
    /// The lease moved since the sender looked.
    #[n(11)]
    EpochMoved {
        #[n(0)]
        current: Epoch,
        #[n(1)]
        expected: Epoch,
    },
    /// The lease is held.
    #[n(12)]
    LeaseHeld {
        #[n(0)]
        holder: Holder,
        #[n(1)]
        epoch: Epoch,
    },
    /// A release by somebody who does not hold the lease.
    #[n(13)]
    NotReleasable {
        #[n(0)]
        holder: Option<Holder>,
        #[n(1)]
        epoch: Epoch,
        #[n(2)]
        asked: Holder,
        #[n(3)]
        asked_epoch: Epoch,
    },
    /// The key exists, with other settings.
    #[n(14)]
    KeyExists {
        #[n(0)]
        name: KeyName,
    },
    /// Another key has this name.
    #[n(15)]
    NameTaken {
        #[n(0)]
        name: KeyName,
        #[n(1)]
        by: KeyId,
    },
    /// No signer, too many, or one twice.
    #[n(16)]
    UnsoundSigners {
        #[n(0)]
        count: u32,
    },
    /// The record changed since the sender looked.
    #[n(17)]
    VersionMoved {
        #[n(0)]
        current: u64,
        #[n(1)]
        expected: u64,
    },
    /// The command's key id is not that of the key it describes.
    #[n(18)]
    KeyIdMismatch {
        #[n(0)]
        computed: KeyId,
        #[n(1)]
        asked: KeyId,
    },
}

impl Denial {
    /// The rule that refused.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::UnknownKey { .. } => Rule::KeyKnown,
            Self::WrongCluster { .. } => Rule::ClusterMatches,
            Self::NotActive { .. } => Rule::KeyActive,
            Self::NotHolder { .. } => Rule::HolderMatches,
            Self::StaleEpoch { .. } => Rule::EpochCurrent,
            Self::BelowFloor { .. } => Rule::AboveFloor,
            Self::Regression { .. } => Rule::NoRegression,
            Self::Conflict { .. } => Rule::NoConflict,
            Self::Locked { .. } => Rule::LockRespected,
            Self::Jump { .. } => Rule::JumpBounded,
            Self::NotRegistered { .. } => Rule::SignerRegistered,
            Self::EpochMoved { .. } => Rule::EpochExpected,
            Self::LeaseHeld { .. } => Rule::LeaseFree,
            Self::NotReleasable { .. } => Rule::ReleasedByHolder,
            Self::KeyExists { .. } | Self::KeyIdMismatch { .. } => Rule::KeyNew,
            Self::NameTaken { .. } => Rule::NameFree,
            Self::UnsoundSigners { .. } => Rule::SignersSound,
            Self::VersionMoved { .. } => Rule::VersionExpected,
        }
    }
}

struct HolderOrNobody<'a>(Option<&'a Holder>);

impl fmt::Display for HolderOrNobody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => holder.fmt(f),
            None => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Self::UnknownKey { key } => {
                write!(f, "key {key} is not known here; add it with `interlock key add`")
            }
            Self::WrongCluster { ours, asked } => {
                write!(f, "this is cluster {ours}, the request is for cluster {asked}")
            }
            Self::NotActive { state } => write!(f, "the key is {state}"),
            Self::NotHolder { holder, epoch, asked } => {
                let holder = HolderOrNobody(holder.as_ref());
                write!(f, "{holder} holds the lease of epoch {epoch}, not {asked}")
            }
            Self::StaleEpoch { current, asked } => write!(f, "the lease is at epoch {current}, not {asked}"),
            Self::BelowFloor { floor_height, asked } => {
                write!(f, "{asked} is not above the key's floor, height {floor_height}")
            }
            Self::Regression { last, asked } => write!(f, "{asked} is below {last}, which was approved"),
            Self::Conflict { at, recorded, asked } => {
                write!(f, "double sign: at {at} payload {recorded} was approved, {asked} is another")
            }
            Self::Locked { at, locked, asked } => {
                write!(f, "at {at} the key has locked block {locked}, a prevote for {asked} would unlock it")
            }
            Self::Jump { settled_height, asked, max_jump_heights } => {
                write!(f, "{asked} is more than {max_jump_heights} heights above height {settled_height}")
            }
            Self::NotRegistered { signer } => write!(f, "signer {signer} is not registered for this key"),
            Self::EpochMoved { current, expected } => {
                write!(f, "the lease is at epoch {current}, the command expected {expected}")
            }
            Self::LeaseHeld { holder, epoch } => write!(f, "{holder} holds the lease of epoch {epoch}"),
            Self::NotReleasable { holder, epoch, asked, asked_epoch } => {
                let holder = HolderOrNobody(holder.as_ref());
                write!(f, "{holder} holds epoch {epoch}; {asked} cannot release epoch {asked_epoch}")
            }
            Self::KeyExists { name } => write!(f, "the key exists already, as {name}, with other settings"),
            Self::NameTaken { name, by } => write!(f, "the name {name} belongs to key {by}"),
            Self::UnsoundSigners { count } => {
                write!(f, "{count} signers given: name 1 to 16, each once")
            }
            Self::VersionMoved { current, expected } => {
                write!(f, "the record is at version {current}, the command expected {expected}; look again")
            }
            Self::KeyIdMismatch { computed, asked } => {
                write!(f, "the key described is {computed}, the command names {asked}")
            }
        }
    }
}
