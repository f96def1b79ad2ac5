//! Denials: why a command changed nothing, with both of the values that disagree.

use crate::ids::{ClusterId, Digest, Epoch, Holder, KeyId};
use crate::intent::Position;
use crate::invariant::Invariant;
use crate::key::{KeyState, Protocol};
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
    /// The position is excluded: the key may have signed there elsewhere.
    #[n(5)]
    BelowFloor {
        #[n(0)]
        floor: Floor,
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
        asked_height: u64,
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
    /// The holder has reserved heights and approves them itself.
    #[n(19)]
    WindowOpen {
        #[n(0)]
        up_to_height: u64,
        #[n(1)]
        asked: Position,
    },
    /// The height lies beyond the window that this process holds.
    #[n(20)]
    BeyondWindow {
        #[n(0)]
        up_to_height: u64,
        #[n(1)]
        asked: Position,
    },
    /// The payload is of another protocol than the key.
    #[n(21)]
    OtherProtocol {
        #[n(0)]
        key: Protocol,
        #[n(1)]
        asked: Position,
    },
    /// An attestation whose source lies after its target.
    #[n(22)]
    SourceAfterTarget {
        #[n(0)]
        source_epoch: u64,
        #[n(1)]
        target_epoch: u64,
    },
    /// Windows are off for this key.
    #[n(23)]
    WindowsOff,
    /// The window would be longer than the policy allows, or end before the request.
    #[n(24)]
    WindowUnsound {
        #[n(0)]
        height: u64,
        #[n(1)]
        up_to_height: u64,
        #[n(2)]
        window_heights: u64,
    },
    /// A window is asked for below what is settled.
    #[n(25)]
    WindowBelow {
        #[n(0)]
        settled_height: u64,
        #[n(1)]
        height: u64,
    },
    /// What a holder gives back does not continue the record, or leaves the window.
    #[n(26)]
    GiveBackUnsound {
        #[n(0)]
        up_to_height: Option<u64>,
        #[n(1)]
        recorded_height: u64,
        #[n(2)]
        given_height: u64,
    },
    /// The policy makes no sense for this key.
    #[n(27)]
    UnsoundPolicy {
        #[n(0)]
        window_heights: u64,
        #[n(1)]
        max_jump_heights: u64,
        #[n(2)]
        protocol: Protocol,
    },
    /// The command does not fit the key's state.
    #[n(28)]
    StateUnfit {
        #[n(0)]
        state: KeyState,
    },
    /// The claim is for another protocol than the key's.
    #[n(29)]
    OtherClaim {
        #[n(0)]
        key: Protocol,
    },
    /// The rules moved since the sender looked, or would skip a version.
    #[n(30)]
    RulesMoved {
        #[n(0)]
        current: u32,
        #[n(1)]
        expected: u32,
        #[n(2)]
        asked: u32,
    },
    /// The command needs rules that are not in force yet.
    #[n(31)]
    RulesTooOld {
        #[n(0)]
        current: u32,
        #[n(1)]
        needed: u32,
    },
    /// A claim whose source lies after its target.
    #[n(33)]
    ClaimUnsound {
        #[n(0)]
        source_epoch: u64,
        #[n(1)]
        target_epoch: u64,
    },
    /// A claim that no chain can have reached.
    #[n(35)]
    ClaimTooHigh {
        #[n(0)]
        height: u64,
        #[n(1)]
        height_max: u64,
    },
    /// The round lies too far ahead.
    #[n(36)]
    RoundJump {
        #[n(0)]
        newest_round: u32,
        #[n(1)]
        asked: Position,
        #[n(2)]
        max_jump_rounds: u32,
    },
    /// A window is asked for at or below the floor.
    #[n(34)]
    HeightBelowFloor {
        #[n(0)]
        floor: Floor,
        #[n(1)]
        height: u64,
    },
    /// A bug: the change would have broken an invariant, and was not made.
    #[n(32)]
    Broken {
        #[n(0)]
        invariant: Invariant,
    },
}

/// What excludes a position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Floor {
    /// Everything up to and including a height.
    #[n(0)]
    Height(#[n(0)] u64),
    /// One position whose payload is not known.
    #[n(1)]
    At(#[n(0)] Position),
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Height(height) => write!(f, "height {height}"),
            Self::At(position) => write!(f, "{position}, whose payload is not known"),
        }
    }
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
            Self::BelowFloor { .. } | Self::HeightBelowFloor { .. } => Rule::AboveFloor,
            Self::Regression { .. } => Rule::NoRegression,
            Self::Conflict { .. } => Rule::NoConflict,
            Self::Locked { .. } => Rule::LockRespected,
            Self::Jump { .. } | Self::RoundJump { .. } => Rule::JumpBounded,
            Self::NotRegistered { .. } => Rule::SignerRegistered,
            Self::EpochMoved { .. } => Rule::EpochExpected,
            Self::LeaseHeld { .. } => Rule::LeaseFree,
            Self::NotReleasable { .. } => Rule::ReleasedByHolder,
            Self::KeyExists { .. } | Self::KeyIdMismatch { .. } => Rule::KeyNew,
            Self::NameTaken { .. } => Rule::NameFree,
            Self::UnsoundSigners { .. } => Rule::SignersSound,
            Self::VersionMoved { .. } => Rule::VersionExpected,
            Self::WindowOpen { .. } | Self::BeyondWindow { .. } => Rule::WindowRespected,
            Self::OtherProtocol { .. } | Self::SourceAfterTarget { .. } => Rule::IntentSound,
            Self::WindowsOff | Self::WindowUnsound { .. } => Rule::WindowAllowed,
            Self::WindowBelow { .. } => Rule::NoRegression,
            Self::GiveBackUnsound { .. } => Rule::GiveBackSound,
            Self::UnsoundPolicy { .. } => Rule::PolicySound,
            Self::StateUnfit { .. } => Rule::StateFits,
            Self::OtherClaim { .. } | Self::ClaimUnsound { .. } | Self::ClaimTooHigh { .. } => {
                Rule::ClaimSound
            }
            Self::RulesMoved { .. } => Rule::RulesExpected,
            Self::RulesTooOld { .. } => Rule::RulesInForce,
            Self::Broken { .. } => Rule::InvariantKept,
        }
    }
}
