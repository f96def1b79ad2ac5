//! CometBFT: positions, payloads, and the rules R6 to R12 that decide whether one may be signed.
//!
//! Upstream rule: `FilePV` of CometBFT v0.38 (`CheckHRS`, then the branch for equal positions): a vote's payload is
//! compared without its timestamp and repeats with the recorded one. Deviations, all deliberate: a proposal repeats
//! only when every byte is equal, because a node copies back the signature alone; R10 and R11 are ours.

use crate::denial::Denial;
use crate::ids::{Digest, Epoch};
use crate::key::Policy;
use crate::text::NodeName;
use core::fmt;
use minicbor::{Decode, Encode};

/// Which message of a round. The order is the order of signing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Step {
    /// A block proposal.
    #[n(1)]
    Proposal,
    /// First vote of a round.
    #[n(2)]
    Prevote,
    /// Second vote of a round.
    #[n(3)]
    Precommit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proposal => "proposal",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        })
    }
}

/// Height, round, step: compared in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Position {
    /// Block height, from 1.
    #[n(0)]
    pub height: u64,
    /// Round of the height, from 0.
    #[n(1)]
    pub round: u32,
    /// Step of the round.
    #[n(2)]
    pub step: Step,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "height {} round {} {}", self.height, self.round, self.step)
    }
}

/// Time inside a message. Data only: no rule compares it with a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[n(0)]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[n(1)]
    pub nanos: i32,
}

/// A message that a node wants signed, reduced to what the rules compare.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CometbftIntent {
    /// Where.
    #[n(0)]
    pub position: Position,
    /// Digest of the block id; `None` is a vote for nil. A proposal always has one.
    #[n(1)]
    pub block: Option<Digest>,
    /// Digest of what must not differ at one position: a vote's sign bytes with the timestamp left out; a proposal's
    /// sign bytes whole.
    #[n(2)]
    pub payload: Digest,
    /// The timestamp the node asked for.
    #[n(3)]
    pub timestamp: Timestamp,
    /// The validator node that asks.
    #[n(4)]
    pub node: NodeName,
}

/// The newest approval of a key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LastApproved {
    /// Where.
    #[n(0)]
    pub position: Position,
    /// What, for comparison.
    #[n(1)]
    pub payload: Digest,
    /// The timestamp that every repeat carries.
    #[n(2)]
    pub timestamp: Timestamp,
}

/// The newest approved non-nil precommit: what the key has locked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Lock {
    /// Height of the precommit.
    #[n(0)]
    pub height: u64,
    /// The block.
    #[n(1)]
    pub block: Digest,
    /// Lease epoch it was approved under.
    #[n(2)]
    pub epoch: Epoch,
    /// The validator node that asked for it, and so knows of the lock itself.
    #[n(3)]
    pub node: NodeName,
}

/// The newest approved non-nil vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BlockVote {
    /// Height of the vote.
    #[n(0)]
    pub height: u64,
    /// The block.
    #[n(1)]
    pub block: Digest,
}

/// What was approved for a CometBFT key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CometbftRecord {
    /// No height up to and including this one may be signed. Set when the key is added.
    #[n(0)]
    pub floor_height: u64,
    /// Newest approval; `None` only while nothing was approved above the floor.
    #[n(1)]
    pub last: Option<LastApproved>,
    /// What the key has locked.
    #[n(2)]
    pub lock: Option<Lock>,
    /// What the key voted for last.
    #[n(3)]
    pub vote: Option<BlockVote>,
}

/// How an approval came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// The watermark may advance to the intent.
    Advance,
    /// The same payload again: sign it with this timestamp.
    Repeat(Timestamp),
}

impl CometbftRecord {
    /// The record of a key for which nothing was approved.
    #[must_use]
    pub fn new(floor_height: u64) -> Self {
        Self { floor_height, last: None, lock: None, vote: None }
    }

    /// Highest height that is settled: approved at, or excluded by the floor.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.last.as_ref().map_or(self.floor_height, |last| last.position.height.max(self.floor_height))
    }

    /// Decides R6 to R12, in order, without changing anything.
    pub(crate) fn judge(
        &self,
        intent: &CometbftIntent,
        epoch: Epoch,
        policy: Policy,
    ) -> Result<Judgement, Denial> {
        let asked = intent.position;
        if let Some(last) = &self.last
            && last.position == asked
            && last.payload == intent.payload
        {
            return Ok(Judgement::Repeat(last.timestamp));
        }
        if asked.height <= self.floor_height {
            return Err(Denial::BelowFloor { floor_height: self.floor_height, asked });
        }
        if let Some(last) = &self.last {
            if asked < last.position {
                return Err(Denial::Regression { last: last.position, asked });
            }
            if asked == last.position {
                return Err(Denial::Conflict { at: asked, recorded: last.payload, asked: intent.payload });
            }
        }
        if policy.lock_rule {
            self.judge_lock(intent, epoch)?;
        }
        let settled_height = self.height();
        if asked.height - settled_height > policy.max_jump_heights {
            return Err(Denial::Jump { settled_height, asked, max_jump_heights: policy.max_jump_heights });
        }
        Ok(Judgement::Advance)
    }

    /// R10. A node knows its own locks, so only a request from another epoch or node can contradict one. Precommits
    /// follow a polka that the asking node saw and are free; nil is always safe.
    fn judge_lock(&self, intent: &CometbftIntent, epoch: Epoch) -> Result<(), Denial> {
        let (Some(lock), Some(block)) = (&self.lock, intent.block) else { return Ok(()) };
        let same_asker = lock.epoch == epoch && lock.node == intent.node;
        let bound = intent.position.step == Step::Prevote && intent.position.height == lock.height;
        if same_asker || !bound || block == lock.block {
            return Ok(());
        }
        match self.vote {
            Some(vote) if vote.height == lock.height && vote.block == block => Ok(()),
            _ => Err(Denial::Locked { at: intent.position, locked: lock.block, asked: block }),
        }
    }

    /// Records an approval that [`Self::judge`] found to advance.
    ///
    /// # Panics
    /// When the intent does not lie above the record: the watermark would fall (S4).
    pub(crate) fn advance(&mut self, intent: &CometbftIntent, epoch: Epoch) {
        let position = intent.position;
        assert!(
            self.last.as_ref().is_none_or(|last| last.position < position)
                && position.height > self.floor_height,
            "S4: an approval must raise the watermark"
        );
        self.last = Some(LastApproved { position, payload: intent.payload, timestamp: intent.timestamp });
        let Some(block) = intent.block else { return };
        if position.step != Step::Proposal {
            self.vote = Some(BlockVote { height: position.height, block });
        }
        if position.step == Step::Precommit {
            self.lock = Some(Lock { height: position.height, block, epoch, node: intent.node.clone() });
        }
    }
}
