//! CometBFT: positions, payloads, and the rules R8 to R12 that decide whether one may be signed.
//!
//! Upstream rule: `FilePV` of CometBFT v0.38 (`CheckHRS`, then the branch for equal positions): a vote's payload is
//! compared without its timestamp and repeats with the recorded one. Deviations, all deliberate: a proposal repeats
//! only when every byte is equal, because a node copies back the signature alone; the floor and R12 are ours.

use crate::denial::{Denial, Floor};
use crate::ids::{Digest, Epoch};
use crate::intent::{Judgement, Position as AnyPosition};
use crate::invariant::Invariant;
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
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

/// What was approved at a position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Content {
    /// Digest for comparison.
    #[n(0)]
    pub payload: Digest,
    /// The timestamp that every repeat carries.
    #[n(1)]
    pub timestamp: Timestamp,
}

/// The newest approval of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct LastApproved {
    /// Where.
    #[n(0)]
    pub position: Position,
    /// What; `None` when it was imported without, and everything there is refused.
    #[n(1)]
    pub content: Option<Content>,
}

/// Who locked: the only one who may contradict the lock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Locker {
    /// Lease epoch the precommit was approved under.
    #[n(0)]
    pub epoch: Epoch,
    /// The validator node that asked for it, and so knows of the lock itself.
    #[n(1)]
    pub node: NodeName,
}

/// The newest approved non-nil precommit: what the key has locked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Lock {
    /// Height of the precommit.
    #[n(0)]
    pub height: u64,
    /// The block.
    #[n(1)]
    pub block: Digest,
    /// Who locked; `None` when the lock was imported.
    #[n(2)]
    pub by: Option<Locker>,
}

/// The newest approved non-nil vote.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct BlockVote {
    /// Height of the vote.
    #[n(0)]
    pub height: u64,
    /// The block.
    #[n(1)]
    pub block: Digest,
}

/// What was approved for a CometBFT key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct CometbftRecord {
    /// No height up to and including this one may be signed. Heights begin at 1, so zero excludes none.
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

/// What a CometBFT key may have signed elsewhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct CometbftClaim {
    /// No height up to and including this one may be signed.
    #[n(0)]
    pub floor_height: u64,
    /// The newest message, where one is known: a signer's state file, another cluster's record.
    #[n(1)]
    pub signed: Option<ClaimedMessage>,
}

/// The newest message that a key may have signed elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct ClaimedMessage {
    /// Where.
    #[n(0)]
    pub position: Position,
    /// What, if its bytes are known: then it may repeat.
    #[n(1)]
    pub content: Option<Content>,
    /// The block of a precommit, if known: then the key has locked it.
    #[n(2)]
    pub block: Option<Digest>,
}

impl CometbftClaim {
    /// Says that nothing above this height was signed.
    #[must_use]
    pub fn floor(floor_height: u64) -> Self {
        Self { floor_height, signed: None }
    }
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
        self.last.map_or(self.floor_height, |last| last.position.height.max(self.floor_height))
    }

    /// Round of the newest approval at a height; zero when there is none.
    pub(crate) fn newest_round(&self, height: u64) -> u32 {
        self.last.filter(|last| last.position.height == height).map_or(0, |last| last.position.round)
    }

    pub(crate) fn mark(&self) -> Option<(AnyPosition, Option<Digest>)> {
        let payload = |last: LastApproved| last.content.map(|content| content.payload);
        self.last.map(|last| (AnyPosition::Cometbft(last.position), payload(last)))
    }

    /// Decides R8 to R12, in order, without changing anything.
    pub(crate) fn judge(
        &self,
        intent: &CometbftIntent,
        epoch: Epoch,
        policy: Policy,
    ) -> Result<Judgement, Denial> {
        let position = intent.position;
        let asked = AnyPosition::Cometbft(position);
        if let Some(LastApproved { position: newest, content: Some(content) }) = self.last
            && newest == position
            && content.payload == intent.payload
        {
            return Ok(Judgement::Repeat(Some(content.timestamp)));
        }
        if position.height <= self.floor_height {
            return Err(Denial::BelowFloor { floor: Floor::Height(self.floor_height), asked });
        }
        if let Some(last) = self.last {
            let newest = AnyPosition::Cometbft(last.position);
            if position < last.position {
                return Err(Denial::Regression { last: newest, asked });
            }
            if position == last.position {
                return Err(match last.content {
                    Some(Content { payload, .. }) => {
                        Denial::Conflict { at: asked, recorded: payload, asked: intent.payload }
                    }
                    None => Denial::BelowFloor { floor: Floor::At(newest), asked },
                });
            }
        }
        if policy.lock_rule {
            self.judge_lock(intent, epoch)?;
        }
        Ok(Judgement::Advance)
    }

    /// R12. A node knows its own locks, so only a request from another epoch or node can contradict one. Precommits
    /// follow a polka that the asking node saw and are free; nil is always safe.
    fn judge_lock(&self, intent: &CometbftIntent, epoch: Epoch) -> Result<(), Denial> {
        let (Some(lock), Some(block)) = (&self.lock, intent.block) else { return Ok(()) };
        let same_asker = lock.by.as_ref().is_some_and(|by| by.epoch == epoch && by.node == intent.node);
        let bound = intent.position.step == Step::Prevote && intent.position.height == lock.height;
        if same_asker || !bound || block == lock.block {
            return Ok(());
        }
        match self.vote {
            Some(vote) if vote.height == lock.height && vote.block == block => Ok(()),
            _ => {
                let at = AnyPosition::Cometbft(intent.position);
                Err(Denial::Locked { at, locked: lock.block, asked: block })
            }
        }
    }

    /// Records an approval that [`Self::judge`] found to advance.
    pub(crate) fn advance(&mut self, intent: &CometbftIntent, epoch: Epoch) -> Result<(), Invariant> {
        let position = intent.position;
        let rises = self.last.is_none_or(|last| last.position < position);
        if !rises || position.height <= self.floor_height {
            return Err(Invariant::WatermarkRises);
        }
        let content = Some(Content { payload: intent.payload, timestamp: intent.timestamp });
        self.last = Some(LastApproved { position, content });
        let Some(block) = intent.block else { return Ok(()) };
        let height = position.height;
        if position.step != Step::Proposal {
            self.vote = Some(BlockVote { height, block });
        }
        if position.step == Step::Precommit {
            let by = Some(Locker { epoch, node: intent.node.clone() });
            self.lock = Some(Lock { height, block, by });
        }
        Ok(())
    }

    /// Takes maxima. Where the claim covers the newest approval with anything but the same content, nothing repeats
    /// there any more: the key may have signed something else.
    pub(crate) fn raise(&mut self, claim: &CometbftClaim) {
        self.floor_height = self.floor_height.max(claim.floor_height);
        if let Some(last) = &mut self.last
            && last.position.height <= claim.floor_height
        {
            last.content = None;
        }
        let Some(message) = claim.signed else { return };
        match &mut self.last {
            Some(last) if message.position < last.position => {}
            Some(last) if message.position == last.position => {
                last.content = last.content.filter(|ours| message.content == Some(*ours));
            }
            _ => self.last = Some(LastApproved { position: message.position, content: message.content }),
        }
        self.raise_votes(message);
    }

    /// A vote for a block that is newer than ours is remembered as ours would be, and a precommit locks.
    fn raise_votes(&mut self, message: ClaimedMessage) {
        let (height, step) = (message.position.height, message.position.step);
        let Some(block) = message.block.filter(|_| step != Step::Proposal) else { return };
        if self.vote.is_none_or(|vote| vote.height < height) {
            self.vote = Some(BlockVote { height, block });
        }
        if step == Step::Precommit && self.lock.as_ref().is_none_or(|lock| lock.height < height) {
            self.lock = Some(Lock { height, block, by: None });
        }
    }

    /// Whether the parts fit each other: the lock and the vote are approvals, none newer than the newest.
    pub(crate) fn is_consistent(&self) -> bool {
        let newest = self.last.map(|last| last.position.height);
        self.lock.as_ref().map(|lock| lock.height) <= newest && self.vote.map(|vote| vote.height) <= newest
    }

    pub(crate) fn is_at_least(&self, earlier: &Self) -> bool {
        let last = |record: &Self| record.last.map(|last| last.position);
        let lock = |record: &Self| record.lock.as_ref().map(|lock| lock.height);
        let vote = |record: &Self| record.vote.map(|vote| vote.height);
        let same_content = match (self.last, earlier.last) {
            (Some(now), Some(before)) if now.position == before.position => {
                now.content.is_none() || now.content == before.content
            }
            _ => true,
        };
        self.floor_height >= earlier.floor_height
            && last(self) >= last(earlier)
            && lock(self) >= lock(earlier)
            && vote(self) >= vote(earlier)
            && same_content
    }
}
