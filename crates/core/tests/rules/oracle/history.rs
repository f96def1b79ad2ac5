//! What the oracle searches: messages and claims of every protocol in one shape, all of them, in order. Nothing here
//! decides anything.

use interlock_core::cometbft::{Step, Timestamp};
use interlock_core::ethereum::{ClaimedEpochs, EthereumIntent};
use interlock_core::tezos::Kind;
use interlock_core::{Action, Claim, Digest, Intent, NodeName, Position, Watermark};
use std::collections::BTreeSet;

/// Kinds of message, each with a watermark of its own. The tens are the protocol.
pub(crate) const BLOCK_OF_ETHEREUM: u8 = 10;
pub(crate) const ATTESTATION_OF_ETHEREUM: u8 = 11;

/// Who asked for a vote: lease epoch and node.
pub(crate) type Asker = Option<(u64, NodeName)>;

/// One message that was approved, or is claimed to have been signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) kind: u8,
    /// Where: height, round, step; slot; target epoch; level, round; three numbers.
    pub(crate) at: [u64; 3],
    /// Source epoch of an attestation, zero for everything else.
    pub(crate) source: u64,
    /// `None`: claimed without.
    pub(crate) payload: Option<Digest>,
    /// Signed with it, where a protocol leaves it out of the payload.
    pub(crate) time: Option<Timestamp>,
    /// The block of a CometBFT vote for one.
    pub(crate) vote: Option<Digest>,
    /// Lease epoch and node; `None`: claimed.
    pub(crate) by: Asker,
}

impl Mark {
    fn new(position: Position, payload: Option<Digest>) -> Self {
        let (kind, at, source) = match position {
            Position::Cometbft(at) => (0, [at.height, at.round.into(), at.step as u64], 0),
            Position::EthereumBlock { slot } => (BLOCK_OF_ETHEREUM, [slot, 0, 0], 0),
            Position::EthereumAttestation { source_epoch, target_epoch } => {
                (ATTESTATION_OF_ETHEREUM, [target_epoch, 0, 0], source_epoch)
            }
            Position::Tezos(at) => (20 + at.kind as u8, [at.level.into(), at.round.into(), 0], 0),
            Position::Generic(at) => (30, at, 0),
        };
        Self { kind, at, source, payload, time: None, vote: None, by: None }
    }

    pub(crate) fn of(intent: &Intent, epoch: u64) -> Self {
        let (vote, by) = match intent {
            Intent::Cometbft(intent) => {
                let is_vote = intent.position.step != Step::Proposal;
                (intent.block.filter(|_| is_vote), Some((epoch, intent.node.clone())))
            }
            _ => (None, None),
        };
        let payload = match intent {
            Intent::Cometbft(intent) => intent.payload,
            Intent::Ethereum(
                EthereumIntent::Block { signing_root, .. } | EthereumIntent::Attestation { signing_root, .. },
            ) => *signing_root,
            Intent::Tezos(intent) => intent.payload,
            Intent::Generic(intent) => intent.payload,
        };
        let time = intent.timestamp();
        Self { vote, by, time, ..Self::new(intent.position(), Some(payload)) }
    }

    /// In slots for an attestation.
    pub(crate) fn height(&self) -> u64 {
        if self.kind == ATTESTATION_OF_ETHEREUM { self.at[0].saturating_mul(32) } else { self.at[0] }
    }
}

/// Everything approved and claimed, in order, and every height excluded.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) marks: Vec<Mark>,
    pub(crate) floors: Vec<u64>,
    /// Votes for a block of CometBFT, by height.
    pub(crate) votes: Vec<(u64, Digest)>,
    /// Those that were precommits, and who asked for them.
    pub(crate) locks: Vec<(u64, Digest, Asker)>,
}

impl History {
    /// Newest place and newest source of one kind.
    pub(crate) fn newest(&self, kind: u8) -> Option<([u64; 3], u64)> {
        let marks = || self.marks.iter().filter(|mark| mark.kind == kind);
        Some((marks().map(|mark| mark.at).max()?, marks().map(|mark| mark.source).max()?))
    }

    /// The payload where this mark stands, with its timestamp; none where two were named, or one without its payload.
    pub(crate) fn payload(&self, of: &Mark) -> Option<Option<(Digest, Option<Timestamp>)>> {
        let mut here = self.marks.iter().filter(|mark| (mark.kind, mark.at) == (of.kind, of.at));
        let first = here.next()?;
        let named = first.payload.map(|payload| (payload, first.time));
        let agree = here.all(|mark| mark.payload.map(|payload| (payload, mark.time)) == named);
        Some(named.filter(|_| agree))
    }

    /// Round of the newest message at a height, in protocols that have rounds.
    pub(crate) fn round(&self, of: &Mark) -> u64 {
        self.newest(of.kind).filter(|(at, _)| at[0] == of.at[0]).map_or(0, |(at, _)| at[1])
    }

    pub(crate) fn push(&mut self, mark: Mark) {
        self.votes.extend(mark.vote.map(|block| (mark.at[0], block)));
        let lock = mark.vote.filter(|_| mark.at[2] == 2);
        self.locks.extend(lock.map(|block| (mark.at[0], block, mark.by.clone())));
        self.marks.push(mark);
    }

    pub(crate) fn height(&self) -> u64 {
        self.marks.iter().map(Mark::height).chain(self.floors.iter().copied()).max().unwrap_or(0)
    }

    pub(crate) fn excludes(&self, height: u64) -> bool {
        self.floors.iter().any(|floor| height <= *floor)
    }

    /// Whether a watermark is what this history comes to.
    pub(crate) fn comes_to(&self, watermark: &Watermark) -> bool {
        let shown: Vec<_> =
            watermark.marks().map(|(position, payload)| Mark::new(position, payload)).collect();
        let newest = |mark: &Mark| self.newest(mark.kind) == Some((mark.at, mark.source));
        let payload = |mark: &Mark| self.payload(mark).flatten().map(|(payload, _)| payload);
        shown.iter().all(|mark| newest(mark) && payload(mark) == mark.payload)
            && shown.len() == self.marks.iter().map(|mark| mark.kind).collect::<BTreeSet<_>>().len()
            && self.floors.iter().copied().max() == watermark.floor_height()
    }
}

/// The record version that an operator saw.
pub(crate) fn version_seen(action: &Action) -> Option<u64> {
    match action {
        Action::Freeze { expected_version, .. }
        | Action::Unfreeze { expected_version, .. }
        | Action::Import { expected_version, .. }
        | Action::SetPolicy { expected_version, .. }
        | Action::SetSigners { expected_version, .. }
        | Action::Retire { expected_version, .. }
        | Action::LiftQuarantine { expected_version, .. } => Some(*expected_version),
        _ => None,
    }
}

/// The protocol of a claim, its floor, and the messages it names.
pub(crate) fn claimed(claim: &Claim) -> (u8, Option<u64>, Vec<Mark>) {
    match claim {
        Claim::Cometbft(claim) => {
            let signed = claim.signed.iter().map(|signed| {
                let payload = signed.content.map(|content| content.payload);
                let vote = signed.block.filter(|_| signed.position.step != Step::Proposal);
                let time = signed.content.map(|content| content.timestamp);
                Mark { vote, time, ..Mark::new(Position::Cometbft(signed.position), payload) }
            });
            (0, Some(claim.floor_height), signed.collect())
        }
        Claim::Ethereum(claim) => {
            let block = claim.slot.map(|slot| Position::EthereumBlock { slot });
            let attestation = claim.epochs.map(|ClaimedEpochs { source_epoch, target_epoch }| {
                Position::EthereumAttestation { source_epoch, target_epoch }
            });
            let marks = block.into_iter().chain(attestation).map(|position| Mark::new(position, None));
            (1, None, marks.collect())
        }
        Claim::Tezos(claim) => {
            let kinds = [
                (Kind::Block, claim.block),
                (Kind::Preattestation, claim.preattestation),
                (Kind::Attestation, claim.attestation),
            ];
            let marks = kinds.into_iter().filter_map(|(kind, at)| {
                let at = at?;
                Some((kind, at.level, at.round))
            });
            let position = |(kind, level, round)| interlock_core::tezos::Position { kind, level, round };
            let marks = marks.map(|at| Mark::new(Position::Tezos(position(at)), None));
            (2, claim.floor_level.map(u64::from), marks.collect())
        }
        Claim::Generic(claim) => {
            let marks = claim.newest.iter().map(|at| Mark::new(Position::Generic(*at), None));
            (3, claim.floor_height, marks.collect())
        }
    }
}
