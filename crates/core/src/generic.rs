//! Any other chain: a position of up to three numbers, compared in order, and a payload.
//!
//! For chains without a front door of their own: the caller says what may never be signed twice by choosing the
//! numbers. Numbers that a chain does not use are zero.

use crate::denial::{Denial, Floor};
use crate::ids::Digest;
use crate::intent::{Judgement, Position};
use crate::invariant::Invariant;
use minicbor::{Decode, Encode};

/// A payload at a position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct GenericIntent {
    /// Where; compared in order.
    #[n(0)]
    pub position: [u64; 3],
    /// Digest of what is signed.
    #[n(1)]
    pub payload: Digest,
}

/// The newest approval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct GenericMark {
    /// Where.
    #[n(0)]
    pub position: [u64; 3],
    /// What; `None` when it was imported, and everything there is refused.
    #[n(1)]
    pub payload: Option<Digest>,
}

/// What was approved for a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct GenericRecord {
    /// Nothing whose first number is up to and including this one may be signed; `None` while nothing is excluded.
    #[n(0)]
    pub floor_height: Option<u64>,
    /// The newest approval or import.
    #[n(1)]
    pub newest: Option<GenericMark>,
}

/// What a key may have signed elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct GenericClaim {
    /// Nothing whose first number is up to and including this one may be signed.
    #[n(0)]
    pub floor_height: Option<u64>,
    /// Highest position; `None` says that it never signed.
    #[n(1)]
    pub newest: Option<[u64; 3]>,
}

impl GenericRecord {
    /// Highest first number that is settled.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.newest.map(|newest| newest.position[0]).max(self.floor_height).unwrap_or(0)
    }

    pub(crate) fn mark(&self) -> Option<(Position, Option<Digest>)> {
        self.newest.map(|newest| (Position::Generic(newest.position), newest.payload))
    }

    /// Decides R8 to R11.
    pub(crate) fn judge(&self, intent: &GenericIntent) -> Result<Judgement, Denial> {
        let asked = Position::Generic(intent.position);
        if self.newest == Some(GenericMark { position: intent.position, payload: Some(intent.payload) }) {
            return Ok(Judgement::Repeat(None));
        }
        if let Some(floor) = self.floor_height.filter(|floor| intent.position[0] <= *floor) {
            return Err(Denial::BelowFloor { floor: Floor::Height(floor), asked });
        }
        let Some(newest) = self.newest else { return Ok(Judgement::Advance) };
        let last = Position::Generic(newest.position);
        if intent.position > newest.position {
            return Ok(Judgement::Advance);
        }
        if intent.position < newest.position {
            return Err(Denial::Regression { last, asked });
        }
        match newest.payload {
            Some(recorded) => Err(Denial::Conflict { at: asked, recorded, asked: intent.payload }),
            None => Err(Denial::BelowFloor { floor: Floor::At(last), asked }),
        }
    }

    /// Records an approval.
    pub(crate) fn advance(&mut self, intent: &GenericIntent) -> Result<(), Invariant> {
        let rises = self.newest.is_none_or(|newest| intent.position > newest.position)
            && self.floor_height.is_none_or(|floor| intent.position[0] > floor);
        if !rises {
            return Err(Invariant::WatermarkRises);
        }
        self.newest = Some(GenericMark { position: intent.position, payload: Some(intent.payload) });
        Ok(())
    }

    /// Takes maxima. The payload is kept only where the maximum is ours alone.
    pub(crate) fn raise(&mut self, claim: &GenericClaim) {
        self.floor_height = self.floor_height.max(claim.floor_height);
        if let Some(newest) = &mut self.newest
            && Some(newest.position[0]) <= claim.floor_height
        {
            newest.payload = None;
        }
        if let Some(position) = claim.newest
            && self.newest.is_none_or(|newest| position >= newest.position)
        {
            self.newest = Some(GenericMark { position, payload: None });
        }
    }

    pub(crate) fn is_at_least(&self, earlier: &Self) -> bool {
        let rises = earlier.newest.is_none_or(|before| {
            self.newest.is_some_and(|now| {
                let same = now.payload.is_none() || now.payload == before.payload;
                now.position > before.position || (now.position == before.position && same)
            })
        });
        rises && self.floor_height >= earlier.floor_height
    }
}
