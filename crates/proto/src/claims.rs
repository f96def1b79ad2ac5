//! Claims and policies between the wire and the rule book's types. Each part of a claim says what it is, or says
//! outright that there is nothing (S6): an absent part is an error and never "never signed".

use crate::convert::{ConversionError, position_from_wire, position_to_wire, required};
use crate::positions::{generic_from_wire, generic_to_wire, tezos_from_wire, tezos_to_wire};
use crate::v1;
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim};
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim};
use interlock_core::generic::GenericClaim;
use interlock_core::tezos::{Kind, LevelRound, Position as TezosPosition, TezosClaim};
use interlock_core::{Claim, Policy};

/// Parses a claim.
///
/// # Errors
/// When it, or a part of it, is missing or malformed.
pub fn claim_from_wire(wire: Option<&v1::Claim>) -> Result<Claim, ConversionError> {
    use v1::claim::Kind;
    let kind = required("claim", wire.and_then(|claim| claim.kind.as_ref()))?;
    Ok(match kind {
        Kind::Cometbft(claim) => Claim::Cometbft(cometbft(claim)?),
        Kind::Ethereum(claim) => Claim::Ethereum(ethereum(claim)?),
        Kind::Tezos(claim) => Claim::Tezos(tezos(claim)?),
        Kind::Generic(claim) => Claim::Generic(generic(claim)?),
    })
}

fn cometbft(wire: &v1::CometbftClaim) -> Result<CometbftClaim, ConversionError> {
    use v1::cometbft_claim::Signed;
    let signed = match required("claim.cometbft.signed", wire.signed.as_ref())? {
        Signed::NoMessage(v1::Nothing {}) => None,
        Signed::Message(message) => {
            let position = required("claim.cometbft.signed.position", message.position.as_ref())?;
            Some(ClaimedMessage { position: position_from_wire(position)?, content: None, block: None })
        }
    };
    Ok(CometbftClaim { floor_height: required("claim.cometbft.floor_height", wire.floor_height)?, signed })
}

fn ethereum(wire: &v1::EthereumClaim) -> Result<EthereumClaim, ConversionError> {
    use v1::ethereum_claim::{Attestations, Blocks};
    let slot = match required("claim.ethereum.blocks", wire.blocks.as_ref())? {
        Blocks::HighestSlot(slot) => Some(*slot),
        Blocks::NoBlock(v1::Nothing {}) => None,
    };
    let epochs = match required("claim.ethereum.attestations", wire.attestations.as_ref())? {
        Attestations::HighestEpochs(v1::ClaimedEpochs { source_epoch, target_epoch }) => {
            Some(ClaimedEpochs { source_epoch: *source_epoch, target_epoch: *target_epoch })
        }
        Attestations::NoAttestation(v1::Nothing {}) => None,
    };
    Ok(EthereumClaim { slot, epochs })
}

fn tezos(wire: &v1::TezosClaim) -> Result<TezosClaim, ConversionError> {
    use v1::tezos_claim::Floor;
    let floor_level = match required("claim.tezos.floor", wire.floor.as_ref())? {
        Floor::FloorLevel(level) => Some(*level),
        Floor::NoFloor(v1::Nothing {}) => None,
    };
    let mut claim = TezosClaim { floor_level, ..TezosClaim::default() };
    for position in &wire.highest {
        let TezosPosition { kind, level, round } = tezos_from_wire(position)?;
        let highest = match kind {
            Kind::Block => &mut claim.block,
            Kind::Preattestation => &mut claim.preattestation,
            Kind::Attestation => &mut claim.attestation,
        };
        *highest = (*highest).max(Some(LevelRound { level, round }));
    }
    Ok(claim)
}

fn generic(wire: &v1::GenericClaim) -> Result<GenericClaim, ConversionError> {
    use v1::generic_claim::{Floor, Newest};
    let floor_height = match required("claim.generic.floor", wire.floor.as_ref())? {
        Floor::FloorHeight(height) => Some(*height),
        Floor::NoFloor(v1::Nothing {}) => None,
    };
    let newest = match required("claim.generic.newest", wire.newest.as_ref())? {
        Newest::Position(position) => Some(generic_from_wire(position)),
        Newest::NoPosition(v1::Nothing {}) => None,
    };
    Ok(GenericClaim { floor_height, newest })
}

/// A claim for the wire. What a claimed message contains is not sent: nothing repeats there.
#[must_use]
pub fn claim_to_wire(claim: &Claim) -> v1::Claim {
    use v1::claim::Kind;
    let kind = match claim {
        Claim::Cometbft(claim) => Kind::Cometbft(cometbft_to_wire(claim)),
        Claim::Ethereum(claim) => Kind::Ethereum(ethereum_to_wire(claim)),
        Claim::Tezos(claim) => Kind::Tezos(tezos_claim_to_wire(claim)),
        Claim::Generic(claim) => Kind::Generic(generic_claim_to_wire(claim)),
    };
    v1::Claim { kind: Some(kind) }
}

fn cometbft_to_wire(claim: &CometbftClaim) -> v1::CometbftClaim {
    use v1::cometbft_claim::Signed;
    let signed = match &claim.signed {
        None => Signed::NoMessage(v1::Nothing {}),
        Some(message) => {
            Signed::Message(v1::ClaimedMessage { position: Some(position_to_wire(message.position)) })
        }
    };
    v1::CometbftClaim { floor_height: Some(claim.floor_height), signed: Some(signed) }
}

fn ethereum_to_wire(claim: &EthereumClaim) -> v1::EthereumClaim {
    use v1::ethereum_claim::{Attestations, Blocks};
    let blocks = claim.slot.map_or(Blocks::NoBlock(v1::Nothing {}), Blocks::HighestSlot);
    let attestations = match claim.epochs {
        None => Attestations::NoAttestation(v1::Nothing {}),
        Some(ClaimedEpochs { source_epoch, target_epoch }) => {
            Attestations::HighestEpochs(v1::ClaimedEpochs { source_epoch, target_epoch })
        }
    };
    v1::EthereumClaim { blocks: Some(blocks), attestations: Some(attestations) }
}

fn tezos_claim_to_wire(claim: &TezosClaim) -> v1::TezosClaim {
    use v1::tezos_claim::Floor;
    let floor = claim.floor_level.map_or(Floor::NoFloor(v1::Nothing {}), Floor::FloorLevel);
    let parts = [
        (Kind::Block, claim.block),
        (Kind::Preattestation, claim.preattestation),
        (Kind::Attestation, claim.attestation),
    ];
    let highest = parts.into_iter().filter_map(|(kind, at)| {
        at.map(|LevelRound { level, round }| tezos_to_wire(TezosPosition { kind, level, round }))
    });
    v1::TezosClaim { floor: Some(floor), highest: highest.collect() }
}

fn generic_claim_to_wire(claim: &GenericClaim) -> v1::GenericClaim {
    use v1::generic_claim::{Floor, Newest};
    let floor = claim.floor_height.map_or(Floor::NoFloor(v1::Nothing {}), Floor::FloorHeight);
    let newest = match claim.newest {
        None => Newest::NoPosition(v1::Nothing {}),
        Some(position) => Newest::Position(generic_to_wire(position)),
    };
    v1::GenericClaim { floor: Some(floor), newest: Some(newest) }
}

/// Parses a policy: all settings must be there.
///
/// # Errors
/// When one is missing.
pub fn policy_from_wire(wire: Option<&v1::Policy>) -> Result<Policy, ConversionError> {
    let wire = required("policy", wire)?;
    Ok(Policy {
        max_jump_heights: required("policy.max_jump_heights", wire.max_jump_heights)?,
        lock_rule: required("policy.lock_rule", wire.lock_rule)?,
        window_heights: required("policy.window_heights", wire.window_heights)?,
    })
}

/// A policy for the wire.
#[must_use]
pub fn policy_to_wire(policy: Policy) -> v1::Policy {
    v1::Policy {
        max_jump_heights: Some(policy.max_jump_heights),
        lock_rule: Some(policy.lock_rule),
        window_heights: Some(policy.window_heights),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::cometbft::{Position, Step};

    #[test]
    fn claims_survive_the_wire() {
        let position = Position { height: 7, round: 1, step: Step::Precommit };
        let signed = Some(ClaimedMessage { position, content: None, block: None });
        let at = Some(LevelRound { level: 4, round: 2 });
        for claim in [
            Claim::Cometbft(CometbftClaim::floor(0)),
            Claim::Cometbft(CometbftClaim { floor_height: 6, signed }),
            Claim::Ethereum(EthereumClaim::default()),
            Claim::Ethereum(EthereumClaim {
                slot: Some(0),
                epochs: Some(ClaimedEpochs { source_epoch: 0, target_epoch: 3 }),
            }),
            Claim::Tezos(TezosClaim::default()),
            Claim::Tezos(TezosClaim {
                floor_level: Some(0),
                block: at,
                preattestation: None,
                attestation: at,
            }),
            Claim::Generic(GenericClaim::default()),
            Claim::Generic(GenericClaim { floor_height: Some(1), newest: Some([2, 0, 1]) }),
        ] {
            assert_eq!(claim_from_wire(Some(&claim_to_wire(&claim))), Ok(claim));
        }
    }

    #[test]
    fn an_absent_part_is_an_error_and_never_zero() {
        use v1::claim::Kind;
        let missing = |kind: Option<Kind>| match claim_from_wire(Some(&v1::Claim { kind })).unwrap_err() {
            ConversionError::Missing { field } => field,
            other => panic!("{other}"),
        };
        assert!(claim_from_wire(None).is_err());
        assert_eq!(missing(None), "claim");
        let cometbft = v1::CometbftClaim {
            floor_height: None,
            signed: Some(v1::cometbft_claim::Signed::NoMessage(v1::Nothing {})),
        };
        assert_eq!(missing(Some(Kind::Cometbft(cometbft))), "claim.cometbft.floor_height");
        assert_eq!(missing(Some(Kind::Cometbft(v1::CometbftClaim::default()))), "claim.cometbft.signed");
        assert_eq!(missing(Some(Kind::Ethereum(v1::EthereumClaim::default()))), "claim.ethereum.blocks");
        assert_eq!(missing(Some(Kind::Tezos(v1::TezosClaim::default()))), "claim.tezos.floor");
        assert_eq!(missing(Some(Kind::Generic(v1::GenericClaim::default()))), "claim.generic.floor");
        assert!(policy_from_wire(Some(&v1::Policy::default())).is_err());
    }
}
