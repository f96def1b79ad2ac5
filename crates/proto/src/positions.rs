//! Positions and intents of every protocol, between the wire and the rule book's types.

use crate::convert::{
    ConversionError, bytes, position_from_wire, position_to_wire, required, timestamp_from_wire,
    timestamp_to_wire,
};
use crate::v1;
use interlock_core::cometbft::CometbftIntent;
use interlock_core::ethereum::EthereumIntent;
use interlock_core::generic::GenericIntent;
use interlock_core::tezos::{Kind, Position as TezosPosition, TezosIntent};
use interlock_core::{Digest, Intent, NodeName, Position};

/// Parses a position of any protocol.
///
/// # Errors
/// When it is missing or malformed.
pub fn any_position_from_wire(wire: Option<&v1::Position>) -> Result<Position, ConversionError> {
    use v1::position::Kind;
    let kind = required("position", wire.and_then(|position| position.kind.as_ref()))?;
    Ok(match kind {
        Kind::Cometbft(position) => Position::Cometbft(position_from_wire(position)?),
        Kind::EthereumBlock(position) => Position::EthereumBlock { slot: position.slot },
        Kind::EthereumAttestation(position) => Position::EthereumAttestation {
            source_epoch: position.source_epoch,
            target_epoch: position.target_epoch,
        },
        Kind::Tezos(position) => Position::Tezos(tezos_from_wire(position)?),
        Kind::Generic(position) => Position::Generic(generic_from_wire(position)),
    })
}

/// A position of any protocol for the wire.
#[must_use]
pub fn any_position_to_wire(position: Position) -> v1::Position {
    use v1::position::Kind;
    let kind = match position {
        Position::Cometbft(position) => Kind::Cometbft(position_to_wire(position)),
        Position::EthereumBlock { slot } => Kind::EthereumBlock(v1::EthereumBlockPosition { slot }),
        Position::EthereumAttestation { source_epoch, target_epoch } => {
            Kind::EthereumAttestation(v1::EthereumAttestationPosition { source_epoch, target_epoch })
        }
        Position::Tezos(position) => Kind::Tezos(tezos_to_wire(position)),
        Position::Generic(position) => Kind::Generic(generic_to_wire(position)),
    };
    v1::Position { kind: Some(kind) }
}

/// Parses an intent.
///
/// # Errors
/// When a field is missing or malformed.
pub fn intent_from_wire(wire: Option<&v1::Intent>) -> Result<Intent, ConversionError> {
    use v1::intent::Kind;
    let kind = required("intent.kind", wire.and_then(|intent| intent.kind.as_ref()))?;
    Ok(match kind {
        Kind::Cometbft(wire) => Intent::Cometbft(cometbft_intent(wire)?),
        Kind::Ethereum(wire) => Intent::Ethereum(ethereum_intent(wire)?),
        Kind::Tezos(wire) => Intent::Tezos(TezosIntent {
            position: tezos_from_wire(required("intent.position", wire.position.as_ref())?)?,
            payload: Digest(bytes("intent.payload", &wire.payload)?),
        }),
        Kind::Generic(wire) => Intent::Generic(GenericIntent {
            position: generic_from_wire(required("intent.position", wire.position.as_ref())?),
            payload: Digest(bytes("intent.payload", &wire.payload)?),
        }),
    })
}

fn cometbft_intent(wire: &v1::CometbftIntent) -> Result<CometbftIntent, ConversionError> {
    let position = position_from_wire(required("intent.position", wire.position.as_ref())?)?;
    let block = wire.block.as_deref().map(|block| bytes("intent.block", block).map(Digest)).transpose()?;
    let payload = Digest(bytes("intent.payload", &wire.payload)?);
    let timestamp = timestamp_from_wire(required("intent.timestamp", wire.timestamp.as_ref())?);
    let node = NodeName::parse(&wire.node)
        .map_err(|source| ConversionError::Text { field: "intent.node", source })?;
    Ok(CometbftIntent { position, block, payload, timestamp, node })
}

fn ethereum_intent(wire: &v1::EthereumIntent) -> Result<EthereumIntent, ConversionError> {
    use v1::ethereum_intent::Position;
    let signing_root = Digest(bytes("intent.signing_root", &wire.signing_root)?);
    Ok(match required("intent.position", wire.position.as_ref())? {
        Position::Block(block) => EthereumIntent::Block { slot: block.slot, signing_root },
        Position::Attestation(attestation) => EthereumIntent::Attestation {
            source_epoch: attestation.source_epoch,
            target_epoch: attestation.target_epoch,
            signing_root,
        },
    })
}

/// An intent for the wire.
#[must_use]
pub fn intent_to_wire(intent: &Intent) -> v1::Intent {
    use v1::intent::Kind;
    let payload = intent.payload().0.to_vec();
    let kind = match intent {
        Intent::Cometbft(intent) => Kind::Cometbft(v1::CometbftIntent {
            position: Some(position_to_wire(intent.position)),
            block: intent.block.map(|block| block.0.to_vec()),
            payload,
            timestamp: Some(timestamp_to_wire(intent.timestamp)),
            node: intent.node.to_string(),
        }),
        Intent::Ethereum(intent) => Kind::Ethereum(v1::EthereumIntent {
            position: Some(ethereum_position(intent)),
            signing_root: payload,
        }),
        Intent::Tezos(intent) => {
            Kind::Tezos(v1::TezosIntent { position: Some(tezos_to_wire(intent.position)), payload })
        }
        Intent::Generic(intent) => {
            Kind::Generic(v1::GenericIntent { position: Some(generic_to_wire(intent.position)), payload })
        }
    };
    v1::Intent { kind: Some(kind) }
}

fn ethereum_position(intent: &EthereumIntent) -> v1::ethereum_intent::Position {
    use v1::ethereum_intent::Position;
    match *intent {
        EthereumIntent::Block { slot, .. } => Position::Block(v1::EthereumBlockPosition { slot }),
        EthereumIntent::Attestation { source_epoch, target_epoch, .. } => {
            Position::Attestation(v1::EthereumAttestationPosition { source_epoch, target_epoch })
        }
    }
}

pub(crate) fn tezos_from_wire(wire: &v1::TezosPosition) -> Result<TezosPosition, ConversionError> {
    let kind = match v1::TezosKind::try_from(wire.kind) {
        Ok(v1::TezosKind::Block) => Kind::Block,
        Ok(v1::TezosKind::Preattestation) => Kind::Preattestation,
        Ok(v1::TezosKind::Attestation) => Kind::Attestation,
        Ok(v1::TezosKind::Unspecified) | Err(_) => {
            return Err(ConversionError::Unknown { field: "position.kind", value: i64::from(wire.kind) });
        }
    };
    Ok(TezosPosition { kind, level: wire.level, round: wire.round })
}

pub(crate) fn tezos_to_wire(position: TezosPosition) -> v1::TezosPosition {
    let kind = match position.kind {
        Kind::Block => v1::TezosKind::Block,
        Kind::Preattestation => v1::TezosKind::Preattestation,
        Kind::Attestation => v1::TezosKind::Attestation,
    };
    v1::TezosPosition { kind: kind.into(), level: position.level, round: position.round }
}

pub(crate) fn generic_from_wire(wire: &v1::GenericPosition) -> [u64; 3] {
    [wire.first, wire.second, wire.third]
}

pub(crate) fn generic_to_wire([first, second, third]: [u64; 3]) -> v1::GenericPosition {
    v1::GenericPosition { first, second, third }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::cometbft::{Position as CometbftPosition, Step, Timestamp};

    fn intent() -> Intent {
        Intent::Cometbft(CometbftIntent {
            position: CometbftPosition { height: 7, round: 1, step: Step::Precommit },
            block: Some(Digest([1; 32])),
            payload: Digest([2; 32]),
            timestamp: Timestamp { seconds: 5, nanos: 6 },
            node: NodeName::parse("node-a").unwrap(),
        })
    }

    #[test]
    fn an_intent_and_its_position_survive_the_wire_in_every_protocol() {
        let digest = Digest([2; 32]);
        let tezos = TezosPosition { kind: Kind::Preattestation, level: 8, round: 1 };
        let intents = [
            intent(),
            Intent::Ethereum(EthereumIntent::Block { slot: 9, signing_root: digest }),
            Intent::Ethereum(EthereumIntent::Attestation {
                source_epoch: 3,
                target_epoch: 4,
                signing_root: digest,
            }),
            Intent::Tezos(TezosIntent { position: tezos, payload: digest }),
            Intent::Generic(GenericIntent { position: [1, 2, 3], payload: digest }),
        ];
        for intent in intents {
            assert_eq!(intent_from_wire(Some(&intent_to_wire(&intent))).unwrap(), intent);
            let position = any_position_to_wire(intent.position());
            assert_eq!(any_position_from_wire(Some(&position)).unwrap(), intent.position());
        }
    }

    #[test]
    fn every_malformed_field_is_named() {
        let broken = |change: fn(&mut v1::CometbftIntent)| {
            let mut wire = intent_to_wire(&intent());
            let Some(v1::intent::Kind::Cometbft(inner)) = &mut wire.kind else { unreachable!() };
            change(inner);
            intent_from_wire(Some(&wire)).unwrap_err().to_string()
        };
        assert_eq!(broken(|i| i.position = None), "field intent.position is missing");
        assert_eq!(broken(|i| i.payload = vec![0; 31]), "field intent.payload has 31 bytes instead of 32");
        assert_eq!(broken(|i| i.block = Some(vec![])), "field intent.block has 0 bytes instead of 32");
        assert_eq!(broken(|i| i.timestamp = None), "field intent.timestamp is missing");
        assert!(broken(|i| i.node = "a b".into()).starts_with("field intent.node: "));
        assert_eq!(
            broken(|i| i.position.as_mut().unwrap().step = 9),
            "field position.step has the unknown value 9"
        );
        assert_eq!(intent_from_wire(None).unwrap_err().to_string(), "field intent.kind is missing");
        let kindless = v1::TezosPosition { kind: 7, level: 1, round: 0 };
        let tezos = v1::TezosIntent { position: Some(kindless), payload: vec![0; 32] };
        let wire = v1::Intent { kind: Some(v1::intent::Kind::Tezos(tezos)) };
        let error = intent_from_wire(Some(&wire)).unwrap_err();
        assert_eq!(error.to_string(), "field position.kind has the unknown value 7");
        assert_eq!(any_position_from_wire(None).unwrap_err().to_string(), "field position is missing");
    }
}
