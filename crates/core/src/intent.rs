//! What a signer wants to sign, where that stands, and the record of what was approved, by protocol.
//!
//! An enum and not a trait: the set of protocols is closed, and each has its own rules, on its own page. Here they are
//! only told apart. *Height* means the first number of a position in every protocol: a CometBFT height, an Ethereum
//! slot, a Tezos level, the first number of a generic position.

use crate::cometbft::{self, CometbftClaim, CometbftIntent, CometbftRecord, Timestamp};
use crate::denial::Denial;
use crate::ethereum::{EthereumClaim, EthereumIntent, EthereumRecord};
use crate::generic::{GenericClaim, GenericIntent, GenericRecord};
use crate::ids::{Digest, Epoch};
use crate::invariant::Invariant;
use crate::key::{ChainIdentity, Policy, Protocol};
use crate::tezos::{self, TezosClaim, TezosIntent, TezosRecord};
use core::fmt;
use minicbor::{Decode, Encode};

/// Highest height that a claim may name: heights are signed integers on the wire of CometBFT, and no chain comes near.
const HEIGHT_MAX: u64 = i64::MAX as u64;
/// Furthest that one step may move the round of a height. Rounds of live chains stay below a hundred.
const ROUND_JUMP_MAX: u32 = 10_000;

/// One payload that a signer asks to sign.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Intent {
    /// A CometBFT proposal, prevote or precommit.
    #[n(0)]
    Cometbft(#[n(0)] CometbftIntent),
    /// An Ethereum block or attestation.
    #[n(1)]
    Ethereum(#[n(0)] EthereumIntent),
    /// A Tezos block, preattestation or attestation.
    #[n(2)]
    Tezos(#[n(0)] TezosIntent),
    /// Up to three numbers and a payload.
    #[n(3)]
    Generic(#[n(0)] GenericIntent),
}

/// Where a payload stands in its protocol. Compared only within one protocol, by the rules of that protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Position {
    /// Height, round, step.
    #[n(0)]
    Cometbft(#[n(0)] cometbft::Position),
    /// A block proposal.
    #[n(1)]
    EthereumBlock {
        /// Its slot.
        #[n(0)]
        slot: u64,
    },
    /// An attestation.
    #[n(2)]
    EthereumAttestation {
        /// Epoch of its source checkpoint.
        #[n(0)]
        source_epoch: u64,
        /// Epoch of its target checkpoint.
        #[n(1)]
        target_epoch: u64,
    },
    /// Kind, level, round.
    #[n(3)]
    Tezos(#[n(0)] tezos::Position),
    /// Three numbers; those that a chain does not use are zero.
    #[n(4)]
    Generic(#[n(0)] [u64; 3]),
}

/// The newest approvals of a key. Invariant: never falls (S4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Watermark {
    /// Of a CometBFT key.
    #[n(0)]
    Cometbft(#[n(0)] CometbftRecord),
    /// Of an Ethereum key.
    #[n(1)]
    Ethereum(#[n(0)] EthereumRecord),
    /// Of a Tezos key.
    #[n(2)]
    Tezos(#[n(0)] TezosRecord),
    /// Of a key of any other chain.
    #[n(3)]
    Generic(#[n(0)] GenericRecord),
}

/// What somebody says a key may have signed already: an operator who adds it, an imported file, a restored backup. It
/// can only raise a watermark.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Claim {
    /// For a CometBFT key.
    #[n(0)]
    Cometbft(#[n(0)] CometbftClaim),
    /// For an Ethereum key.
    #[n(1)]
    Ethereum(#[n(0)] EthereumClaim),
    /// For a Tezos key.
    #[n(2)]
    Tezos(#[n(0)] TezosClaim),
    /// For a key of any other chain.
    #[n(3)]
    Generic(#[n(0)] GenericClaim),
}

/// How an approval may come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// The watermark may advance to the intent.
    Advance,
    /// The same payload again: sign it with this timestamp, if its protocol has one.
    Repeat(Option<Timestamp>),
}

impl Intent {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Cometbft(intent) => Position::Cometbft(intent.position),
            Self::Ethereum(intent) => intent.position(),
            Self::Tezos(intent) => Position::Tezos(intent.position),
            Self::Generic(intent) => Position::Generic(intent.position),
        }
    }

    /// The digest that must not differ at one position.
    #[must_use]
    pub fn payload(&self) -> Digest {
        match self {
            Self::Cometbft(intent) => intent.payload,
            Self::Ethereum(intent) => intent.signing_root(),
            Self::Tezos(intent) => intent.payload,
            Self::Generic(intent) => intent.payload,
        }
    }

    /// The timestamp to sign with, in the protocols whose comparison leaves it out.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Cometbft(intent) => Some(intent.timestamp),
            Self::Ethereum(_) | Self::Tezos(_) | Self::Generic(_) => None,
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position().fmt(f)
    }
}

impl Position {
    /// The first number of the position; for an attestation the first slot of its target epoch.
    #[must_use]
    pub fn height(self) -> u64 {
        match self {
            Self::Cometbft(position) => position.height,
            Self::EthereumBlock { slot } => slot,
            Self::EthereumAttestation { target_epoch, .. } => crate::ethereum::first_slot(target_epoch),
            Self::Tezos(position) => u64::from(position.level),
            Self::Generic([first, ..]) => first,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cometbft(position) => position.fmt(f),
            Self::EthereumBlock { slot } => write!(f, "block slot {slot}"),
            Self::EthereumAttestation { source_epoch, target_epoch } => {
                write!(f, "attestation source epoch {source_epoch} target epoch {target_epoch}")
            }
            Self::Tezos(position) => position.fmt(f),
            Self::Generic([first, second, third]) => write!(f, "position {first}/{second}/{third}"),
        }
    }
}

impl Watermark {
    /// The watermark of a key that has signed nothing.
    pub(crate) fn empty(chain: &ChainIdentity) -> Self {
        match chain {
            ChainIdentity::Cometbft(_) => Self::Cometbft(CometbftRecord::new(0)),
            ChainIdentity::Ethereum { .. } => Self::Ethereum(EthereumRecord::default()),
            ChainIdentity::Tezos(_) => Self::Tezos(TezosRecord::default()),
            ChainIdentity::Generic(_) => Self::Generic(GenericRecord::default()),
        }
    }

    /// Its protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Cometbft(_) => Protocol::Cometbft,
            Self::Ethereum(_) => Protocol::Ethereum,
            Self::Tezos(_) => Protocol::Tezos,
            Self::Generic(_) => Protocol::Generic,
        }
    }

    /// Highest height that is settled: approved at, or excluded by a floor.
    #[must_use]
    pub fn height(&self) -> u64 {
        match self {
            Self::Cometbft(record) => record.height(),
            Self::Ethereum(record) => record.height(),
            Self::Tezos(record) => record.height(),
            Self::Generic(record) => record.height(),
        }
    }

    /// Highest height that is excluded whole; `None` while none is, and for Ethereum, whose keys have no windows.
    #[must_use]
    pub fn floor_height(&self) -> Option<u64> {
        match self {
            Self::Cometbft(record) => Some(record.floor_height),
            Self::Ethereum(_) => None,
            Self::Tezos(record) => record.floor_level.map(u64::from),
            Self::Generic(record) => record.floor_height,
        }
    }

    /// The record of a CometBFT key.
    #[must_use]
    pub fn cometbft(&self) -> Option<&CometbftRecord> {
        match self {
            Self::Cometbft(record) => Some(record),
            Self::Ethereum(_) | Self::Tezos(_) | Self::Generic(_) => None,
        }
    }

    /// Newest position of each kind of message, with its payload where that is known.
    pub fn marks(&self) -> impl Iterator<Item = (Position, Option<Digest>)> {
        let marks: [Option<(Position, Option<Digest>)>; 3] = match self {
            Self::Cometbft(record) => [record.mark(), None, None],
            Self::Ethereum(record) => {
                let [block, attestation] = record.marks();
                [block, attestation, None]
            }
            Self::Tezos(record) => record.positions(),
            Self::Generic(record) => [record.mark(), None, None],
        };
        marks.into_iter().flatten()
    }

    /// Highest height that the protocol can express.
    pub(crate) fn height_max(&self) -> u64 {
        match self {
            Self::Tezos(_) => u64::from(u32::MAX),
            Self::Cometbft(_) | Self::Ethereum(_) | Self::Generic(_) => u64::MAX,
        }
    }

    /// Decides R7 to R14, in order, without changing anything.
    pub(crate) fn judge(&self, intent: &Intent, epoch: Epoch, policy: Policy) -> Result<Judgement, Denial> {
        let judgement = match (self, intent) {
            (Self::Cometbft(record), Intent::Cometbft(intent)) => record.judge(intent, epoch, policy)?,
            (Self::Ethereum(record), Intent::Ethereum(intent)) => record.judge(intent)?,
            (Self::Tezos(record), Intent::Tezos(intent)) => record.judge(intent)?,
            (Self::Generic(record), Intent::Generic(intent)) => record.judge(intent)?,
            _ => return Err(Denial::OtherProtocol { key: self.protocol(), asked: intent.position() }),
        };
        if judgement == Judgement::Advance {
            self.judge_jump(intent.position(), policy)?;
            self.judge_round(intent.position())?;
        }
        Ok(judgement)
    }

    /// R13: one approval may move the height only so far.
    fn judge_jump(&self, asked: Position, policy: Policy) -> Result<(), Denial> {
        let (settled_height, max_jump_heights) = (self.height(), policy.max_jump_heights);
        if asked.height().saturating_sub(settled_height) > max_jump_heights {
            return Err(Denial::Jump { settled_height, asked_height: asked.height(), max_jump_heights });
        }
        Ok(())
    }

    /// R13: nor may it move the round without bound.
    pub(crate) fn judge_round(&self, asked: Position) -> Result<(), Denial> {
        let (round, newest_round) = match (self, asked) {
            (Self::Cometbft(record), Position::Cometbft(at)) => (at.round, record.newest_round(at.height)),
            (Self::Tezos(record), Position::Tezos(at)) => (at.round, record.newest_round(at.kind, at.level)),
            _ => return Ok(()),
        };
        if round.saturating_sub(newest_round) > ROUND_JUMP_MAX {
            return Err(Denial::RoundJump { newest_round, asked, max_jump_rounds: ROUND_JUMP_MAX });
        }
        Ok(())
    }

    /// Whether the parts of a record fit each other.
    pub(crate) fn is_consistent(&self) -> bool {
        match self {
            Self::Cometbft(record) => record.is_consistent(),
            Self::Ethereum(_) | Self::Tezos(_) | Self::Generic(_) => true,
        }
    }

    /// Records an approval that [`Self::judge`] found to advance.
    ///
    /// # Errors
    /// When the intent does not lie above the record: the watermark would fall (S4). Nothing is changed then.
    pub(crate) fn advance(&mut self, intent: &Intent, epoch: Epoch) -> Result<(), Invariant> {
        match (self, intent) {
            (Self::Cometbft(record), Intent::Cometbft(intent)) => record.advance(intent, epoch),
            (Self::Ethereum(record), Intent::Ethereum(intent)) => record.advance(intent),
            (Self::Tezos(record), Intent::Tezos(intent)) => record.advance(intent),
            (Self::Generic(record), Intent::Generic(intent)) => record.advance(intent),
            _ => Err(Invariant::ProtocolFixed),
        }
    }

    /// Raises the watermark to the maximum of itself and the claim.
    ///
    /// # Errors
    /// When the claim is for another protocol, contradicts itself, or lies beyond what any chain reaches.
    pub(crate) fn raise(&mut self, claim: &Claim) -> Result<(), Denial> {
        let before = self.height();
        self.raise_to(claim)?;
        let height = self.height();
        if height > HEIGHT_MAX && height > before {
            return Err(Denial::ClaimTooHigh { height, height_max: HEIGHT_MAX });
        }
        Ok(())
    }

    fn raise_to(&mut self, claim: &Claim) -> Result<(), Denial> {
        match (&mut *self, claim) {
            (Self::Cometbft(record), Claim::Cometbft(claim)) => record.raise(claim),
            (Self::Ethereum(record), Claim::Ethereum(claim)) => record.raise(claim)?,
            (Self::Tezos(record), Claim::Tezos(claim)) => record.raise(claim),
            (Self::Generic(record), Claim::Generic(claim)) => record.raise(claim),
            _ => return Err(Denial::OtherClaim { key: self.protocol() }),
        }
        Ok(())
    }

    /// Excludes every height up to and including this one: what a window may have signed there is not known.
    pub(crate) fn raise_floor(&mut self, height: u64) {
        match self {
            Self::Cometbft(record) => record.floor_height = record.floor_height.max(height),
            Self::Ethereum(_) => {}
            Self::Tezos(record) => {
                let level = u32::try_from(height).unwrap_or(u32::MAX);
                record.floor_level = record.floor_level.max(Some(level));
            }
            Self::Generic(record) => record.floor_height = record.floor_height.max(Some(height)),
        }
    }

    /// Whether this is `earlier` or lies above it in every part (S4).
    #[must_use]
    pub fn is_at_least(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Cometbft(now), Self::Cometbft(before)) => now.is_at_least(before),
            (Self::Ethereum(now), Self::Ethereum(before)) => now.is_at_least(before),
            (Self::Tezos(now), Self::Tezos(before)) => now.is_at_least(before),
            (Self::Generic(now), Self::Generic(before)) => now.is_at_least(before),
            _ => false,
        }
    }
}
