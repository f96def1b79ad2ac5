//! Tezos: blocks, preattestations and attestations, each with a high watermark of level and round.
//!
//! Upstream rule: `octez-signer --check-high-watermark`, which keeps {level, round, digest} per chain, key and kind:
//! lower is refused, equal with the same digest repeats, equal with another is refused. The floor is ours.

use crate::denial::{Denial, Floor};
use crate::ids::Digest;
use crate::intent::{Judgement, Position as AnyPosition};
use crate::invariant::Invariant;
use core::fmt;
use minicbor::{Decode, Encode};

/// Kinds of message; each has a watermark of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// A block.
    #[n(0)]
    Block,
    /// First vote of a round.
    #[n(1)]
    Preattestation,
    /// Second vote of a round.
    #[n(2)]
    Attestation,
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Position {
    /// What it is.
    #[n(0)]
    pub kind: Kind,
    /// Block level.
    #[n(1)]
    pub level: u32,
    /// Round of the level, from 0.
    #[n(2)]
    pub round: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Block => "block",
            Kind::Preattestation => "preattestation",
            Kind::Attestation => "attestation",
        };
        write!(f, "{kind} level {} round {}", self.level, self.round)
    }
}

/// A message that a baker wants signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct TezosIntent {
    /// Where.
    #[n(0)]
    pub position: Position,
    /// Digest of the bytes to sign.
    #[n(1)]
    pub payload: Digest,
}

/// Level and round, compared in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct LevelRound {
    /// Block level.
    #[n(0)]
    pub level: u32,
    /// Round of the level, from 0.
    #[n(1)]
    pub round: u32,
}

/// Newest message of one kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct TezosMark {
    /// Where.
    #[n(0)]
    pub at: LevelRound,
    /// Its payload; `None` when it was imported, and every message there is refused.
    #[n(1)]
    pub payload: Option<Digest>,
}

/// What was approved for a Tezos key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct TezosRecord {
    /// No level up to and including this one may be signed, in any kind; `None` while none is excluded.
    #[n(0)]
    pub floor_level: Option<u32>,
    /// Newest block.
    #[n(1)]
    pub block: Option<TezosMark>,
    /// Newest preattestation.
    #[n(2)]
    pub preattestation: Option<TezosMark>,
    /// Newest attestation.
    #[n(3)]
    pub attestation: Option<TezosMark>,
}

/// What a Tezos key may have signed elsewhere; `None` says that it never signed that kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct TezosClaim {
    /// No level up to and including this one may be signed.
    #[n(0)]
    pub floor_level: Option<u32>,
    /// Highest block.
    #[n(1)]
    pub block: Option<LevelRound>,
    /// Highest preattestation.
    #[n(2)]
    pub preattestation: Option<LevelRound>,
    /// Highest attestation.
    #[n(3)]
    pub attestation: Option<LevelRound>,
}

impl TezosMark {
    fn continues(self, before: Self) -> bool {
        let same = self.payload.is_none() || self.payload == before.payload;
        self.at > before.at || (self.at == before.at && same)
    }
}

impl TezosRecord {
    /// Round of the newest message of a kind at a level; zero when there is none.
    pub(crate) fn newest_round(&self, kind: Kind, level: u32) -> u32 {
        self.mark(kind).filter(|mark| mark.at.level == level).map_or(0, |mark| mark.at.round)
    }

    fn mark(&self, kind: Kind) -> Option<TezosMark> {
        match kind {
            Kind::Block => self.block,
            Kind::Preattestation => self.preattestation,
            Kind::Attestation => self.attestation,
        }
    }

    fn mark_mut(&mut self, kind: Kind) -> &mut Option<TezosMark> {
        match kind {
            Kind::Block => &mut self.block,
            Kind::Preattestation => &mut self.preattestation,
            Kind::Attestation => &mut self.attestation,
        }
    }

    fn marks(&self) -> [Option<TezosMark>; 3] {
        [self.block, self.preattestation, self.attestation]
    }

    pub(crate) fn positions(&self) -> [Option<(AnyPosition, Option<Digest>)>; 3] {
        [Kind::Block, Kind::Preattestation, Kind::Attestation].map(|kind| {
            let mark = self.mark(kind)?;
            let LevelRound { level, round } = mark.at;
            Some((AnyPosition::Tezos(Position { kind, level, round }), mark.payload))
        })
    }

    /// Highest level that is settled in any kind.
    #[must_use]
    pub fn height(&self) -> u64 {
        let newest = self.marks().into_iter().flatten().map(|mark| mark.at.level).max();
        u64::from(newest.max(self.floor_level).unwrap_or(0))
    }

    /// Decides R8 to R11.
    pub(crate) fn judge(&self, intent: &TezosIntent) -> Result<Judgement, Denial> {
        let Position { kind, level, round } = intent.position;
        let (asked, at) = (AnyPosition::Tezos(intent.position), LevelRound { level, round });
        let newest = self.mark(kind);
        if newest == Some(TezosMark { at, payload: Some(intent.payload) }) {
            return Ok(Judgement::Repeat(None));
        }
        if let Some(floor) = self.floor_level.filter(|floor| level <= *floor) {
            return Err(Denial::BelowFloor { floor: Floor::Height(u64::from(floor)), asked });
        }
        let Some(newest) = newest else { return Ok(Judgement::Advance) };
        let last = AnyPosition::Tezos(Position { kind, level: newest.at.level, round: newest.at.round });
        if at > newest.at {
            return Ok(Judgement::Advance);
        }
        if at < newest.at {
            return Err(Denial::Regression { last, asked });
        }
        match newest.payload {
            Some(recorded) => Err(Denial::Conflict { at: asked, recorded, asked: intent.payload }),
            None => Err(Denial::BelowFloor { floor: Floor::At(last), asked }),
        }
    }

    /// Records an approval.
    pub(crate) fn advance(&mut self, intent: &TezosIntent) -> Result<(), Invariant> {
        let Position { kind, level, round } = intent.position;
        let at = LevelRound { level, round };
        if self.floor_level.is_some_and(|floor| level <= floor) {
            return Err(Invariant::WatermarkRises);
        }
        let newest = self.mark_mut(kind);
        if newest.is_some_and(|newest| at <= newest.at) {
            return Err(Invariant::WatermarkRises);
        }
        *newest = Some(TezosMark { at, payload: Some(intent.payload) });
        Ok(())
    }

    /// Takes maxima. A payload is kept only where the maximum is ours alone.
    pub(crate) fn raise(&mut self, claim: &TezosClaim) {
        self.floor_level = self.floor_level.max(claim.floor_level);
        for kind in [Kind::Block, Kind::Preattestation, Kind::Attestation] {
            if let Some(mark) = self.mark_mut(kind)
                && Some(mark.at.level) <= claim.floor_level
            {
                mark.payload = None;
            }
        }
        let claimed = [
            (Kind::Block, claim.block),
            (Kind::Preattestation, claim.preattestation),
            (Kind::Attestation, claim.attestation),
        ];
        for (kind, at) in claimed {
            let mark = self.mark_mut(kind);
            if let Some(at) = at
                && mark.is_none_or(|newest| at >= newest.at)
            {
                *mark = Some(TezosMark { at, payload: None });
            }
        }
    }

    pub(crate) fn is_at_least(&self, earlier: &Self) -> bool {
        let rises =
            self.marks().into_iter().zip(earlier.marks()).all(|(now, before)| {
                before.is_none_or(|before| now.is_some_and(|now| now.continues(before)))
            });
        rises && self.floor_level >= earlier.floor_level
    }
}
