//! Ethereum: blocks and attestations, by the minimal rules of EIP-3076 (one record per kind instead of a history).
//!
//! A block must lie above the newest slot. An attestation's target must lie above the newest target and its source
//! must not lie below the newest source: then it can neither vote twice nor surround nor be surrounded. Where the
//! signing root is not known (an import), nothing repeats.

use crate::denial::{Denial, Floor};
use crate::ids::Digest;
use crate::intent::{Judgement, Position};
use crate::invariant::Invariant;
use minicbor::{Decode, Encode};

/// Slots of an epoch on mainnet. Used only to bound jumps, so another preset is bounded more loosely or tightly.
const SLOTS_PER_EPOCH: u64 = 32;

/// Least `max_jump_heights`: a target lies up to an epoch beyond the newest, and one may be missed.
pub(crate) const MAX_JUMP_SLOTS_MIN: u64 = 2 * SLOTS_PER_EPOCH;

/// First slot of an epoch.
pub(crate) fn first_slot(epoch: u64) -> u64 {
    epoch.saturating_mul(SLOTS_PER_EPOCH)
}

/// A message that a validator client wants signed. Only slashable kinds are guarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum EthereumIntent {
    /// A block proposal.
    #[n(0)]
    Block {
        /// Its slot.
        #[n(0)]
        slot: u64,
        /// Its signing root.
        #[n(1)]
        signing_root: Digest,
    },
    /// An attestation.
    #[n(1)]
    Attestation {
        /// Epoch of the source checkpoint.
        #[n(0)]
        source_epoch: u64,
        /// Epoch of the target checkpoint.
        #[n(1)]
        target_epoch: u64,
        /// Its signing root.
        #[n(2)]
        signing_root: Digest,
    },
}

/// Newest block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct BlockMark {
    /// Its slot.
    #[n(0)]
    pub slot: u64,
    /// Its signing root; `None` when it was imported, and every block at this slot is refused.
    #[n(1)]
    pub signing_root: Option<Digest>,
}

/// Newest attestation; after an import, the maximum of sources with the maximum of targets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct AttestationMark {
    /// Newest source epoch.
    #[n(0)]
    pub source_epoch: u64,
    /// Newest target epoch.
    #[n(1)]
    pub target_epoch: u64,
    /// Signing root of the attestation with that target; `None` when it was imported.
    #[n(2)]
    pub signing_root: Option<Digest>,
}

/// What was approved for an Ethereum key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct EthereumRecord {
    /// Newest block; `None` only while none was approved or imported.
    #[n(0)]
    pub block: Option<BlockMark>,
    /// Newest attestation; `None` only while none was approved or imported.
    #[n(1)]
    pub attestation: Option<AttestationMark>,
}

/// What an Ethereum key may have signed elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
pub struct EthereumClaim {
    /// Highest slot of a block; `None` says that it never signed one.
    #[n(0)]
    pub slot: Option<u64>,
    /// Highest source and highest target of its attestations; `None` says that it never signed one.
    #[n(1)]
    pub epochs: Option<ClaimedEpochs>,
}

/// Maxima over attestations: the two need not come from the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct ClaimedEpochs {
    /// Highest source epoch.
    #[n(0)]
    pub source_epoch: u64,
    /// Highest target epoch.
    #[n(1)]
    pub target_epoch: u64,
}

impl EthereumIntent {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match *self {
            Self::Block { slot, .. } => Position::EthereumBlock { slot },
            Self::Attestation { source_epoch, target_epoch, .. } => {
                Position::EthereumAttestation { source_epoch, target_epoch }
            }
        }
    }

    /// Its signing root.
    #[must_use]
    pub fn signing_root(&self) -> Digest {
        match *self {
            Self::Block { signing_root, .. } | Self::Attestation { signing_root, .. } => signing_root,
        }
    }
}

impl AttestationMark {
    fn position(self) -> Position {
        Position::EthereumAttestation { source_epoch: self.source_epoch, target_epoch: self.target_epoch }
    }
}

impl EthereumRecord {
    /// Highest slot that a block or a target stands at.
    #[must_use]
    pub fn height(&self) -> u64 {
        let block = self.block.map_or(0, |block| block.slot);
        block.max(self.attestation.map_or(0, |attestation| first_slot(attestation.target_epoch)))
    }

    pub(crate) fn marks(&self) -> [Option<(Position, Option<Digest>)>; 2] {
        let block =
            self.block.map(|block| (Position::EthereumBlock { slot: block.slot }, block.signing_root));
        [block, self.attestation.map(|newest| (newest.position(), newest.signing_root))]
    }

    /// Decides R7 to R11.
    pub(crate) fn judge(&self, intent: &EthereumIntent) -> Result<Judgement, Denial> {
        match *intent {
            EthereumIntent::Block { slot, signing_root } => {
                self.block.map_or(Ok(Judgement::Advance), |newest| judge_block(newest, slot, signing_root))
            }
            EthereumIntent::Attestation { source_epoch, target_epoch, signing_root } => {
                if source_epoch > target_epoch {
                    return Err(Denial::SourceAfterTarget { source_epoch, target_epoch });
                }
                let asked = AttestationMark { source_epoch, target_epoch, signing_root: Some(signing_root) };
                self.attestation
                    .map_or(Ok(Judgement::Advance), |newest| judge_attestation(newest, asked, signing_root))
            }
        }
    }

    /// Records an approval.
    pub(crate) fn advance(&mut self, intent: &EthereumIntent) -> Result<(), Invariant> {
        match *intent {
            EthereumIntent::Block { slot, signing_root } => {
                if self.block.is_some_and(|newest| slot <= newest.slot) {
                    return Err(Invariant::WatermarkRises);
                }
                self.block = Some(BlockMark { slot, signing_root: Some(signing_root) });
            }
            EthereumIntent::Attestation { source_epoch, target_epoch, signing_root } => {
                let newest = self.attestation;
                if newest.is_some_and(|newest| {
                    target_epoch <= newest.target_epoch || source_epoch < newest.source_epoch
                }) {
                    return Err(Invariant::WatermarkRises);
                }
                let signing_root = Some(signing_root);
                self.attestation = Some(AttestationMark { source_epoch, target_epoch, signing_root });
            }
        }
        Ok(())
    }

    /// Takes maxima. A root is kept only where the maximum is ours alone: at a slot or target that the claim
    /// reaches as well, another root may have been signed, so nothing repeats there.
    pub(crate) fn raise(&mut self, claim: &EthereumClaim) -> Result<(), Denial> {
        if let Some(ClaimedEpochs { source_epoch, target_epoch }) = claim.epochs
            && source_epoch > target_epoch
        {
            return Err(Denial::ClaimUnsound { source_epoch, target_epoch });
        }
        if let Some(slot) = claim.slot
            && self.block.is_none_or(|newest| slot >= newest.slot)
        {
            self.block = Some(BlockMark { slot, signing_root: None });
        }
        if let Some(ClaimedEpochs { source_epoch, target_epoch }) = claim.epochs {
            let claimed = AttestationMark { source_epoch, target_epoch, signing_root: None };
            let Some(newest) = &mut self.attestation else {
                self.attestation = Some(claimed);
                return Ok(());
            };
            if target_epoch >= newest.target_epoch {
                newest.target_epoch = target_epoch;
                newest.signing_root = None;
            }
            newest.source_epoch = newest.source_epoch.max(source_epoch);
        }
        Ok(())
    }

    pub(crate) fn is_at_least(&self, earlier: &Self) -> bool {
        let block = earlier.block.is_none_or(|before| {
            self.block.is_some_and(|now| {
                let same = now.signing_root.is_none() || now.signing_root == before.signing_root;
                now.slot > before.slot || (now.slot == before.slot && same)
            })
        });
        let attestation = earlier.attestation.is_none_or(|before| {
            self.attestation.is_some_and(|now| {
                let same = now.signing_root.is_none() || now.signing_root == before.signing_root;
                let target = now.target_epoch > before.target_epoch
                    || (now.target_epoch == before.target_epoch && same);
                now.source_epoch >= before.source_epoch && target
            })
        });
        block && attestation
    }
}

/// Upstream: EIP-3076 conditions 1 and 2.
fn judge_block(newest: BlockMark, slot: u64, signing_root: Digest) -> Result<Judgement, Denial> {
    let asked = Position::EthereumBlock { slot };
    let last = Position::EthereumBlock { slot: newest.slot };
    if slot > newest.slot {
        return Ok(Judgement::Advance);
    }
    if slot < newest.slot {
        return Err(Denial::Regression { last, asked });
    }
    match newest.signing_root {
        Some(recorded) if recorded == signing_root => Ok(Judgement::Repeat(None)),
        Some(recorded) => Err(Denial::Conflict { at: asked, recorded, asked: signing_root }),
        None => Err(Denial::BelowFloor { floor: Floor::At(last), asked }),
    }
}

/// Upstream: EIP-3076 conditions 3 to 5. The source is compared even for a repeat: an import may have raised it.
fn judge_attestation(
    newest: AttestationMark,
    asked: AttestationMark,
    signing_root: Digest,
) -> Result<Judgement, Denial> {
    let (last, at) = (newest.position(), asked.position());
    if asked == newest {
        return Ok(Judgement::Repeat(None));
    }
    if asked.source_epoch < newest.source_epoch || asked.target_epoch < newest.target_epoch {
        return Err(Denial::Regression { last, asked: at });
    }
    if asked.target_epoch > newest.target_epoch {
        return Ok(Judgement::Advance);
    }
    match newest.signing_root {
        Some(recorded) => Err(Denial::Conflict { at, recorded, asked: signing_root }),
        None => Err(Denial::BelowFloor { floor: Floor::At(last), asked: at }),
    }
}
