//! Checked conversions between wire messages and the rule book's types. Wire to core can fail and names the field;
//! core to wire cannot.

use crate::v1;
use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::intent::Watermark;
use interlock_core::text::TextError;
use interlock_core::{
    Approval, Approved, ClusterId, Denial, Digest, Epoch, Holder, Incarnation, Intent, KeyId, KeyRecord,
    KeyState, LogPosition, NodeName, SignerId,
};

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// A field that must be there is not.
    #[error("field {field} is missing")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// A field of bytes has the wrong length.
    #[error("field {field} has {len} bytes instead of {expected}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// A number stands for nothing that this build knows.
    #[error("field {field} has the unknown value {value}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// Value found.
        value: i64,
    },
    /// A name or text is not well formed.
    #[error("field {field}: {source}")]
    Text {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        source: TextError,
    },
}

fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ConversionError> {
    bytes.try_into().map_err(|_| ConversionError::Length { field, len: bytes.len(), expected: N })
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConversionError> {
    value.ok_or(ConversionError::Missing { field })
}

/// Parses a cluster id.
///
/// # Errors
/// When it has not 16 bytes.
pub fn cluster_id(wire: &[u8]) -> Result<ClusterId, ConversionError> {
    bytes("cluster_id", wire).map(ClusterId)
}

/// Parses a key id.
///
/// # Errors
/// When it has not 32 bytes.
pub fn key_id(wire: &[u8]) -> Result<KeyId, ConversionError> {
    bytes("key_id", wire).map(KeyId)
}

/// Parses an incarnation.
///
/// # Errors
/// When it has not 16 bytes.
pub fn incarnation(wire: &[u8]) -> Result<Incarnation, ConversionError> {
    bytes("incarnation", wire).map(Incarnation)
}

/// Parses a holder.
///
/// # Errors
/// When the signer's name or the incarnation is malformed.
pub fn holder_from_wire(wire: &v1::Holder) -> Result<Holder, ConversionError> {
    let signer = SignerId::parse(&wire.signer)
        .map_err(|source| ConversionError::Text { field: "holder.signer", source })?;
    Ok(Holder { signer, incarnation: incarnation(&wire.incarnation)? })
}

/// A holder for the wire.
#[must_use]
pub fn holder_to_wire(holder: &Holder) -> v1::Holder {
    v1::Holder { signer: holder.signer.to_string(), incarnation: holder.incarnation.0.to_vec() }
}

/// A lease for the wire.
#[must_use]
pub fn lease_to_wire(holder: Option<&Holder>, epoch: Epoch) -> v1::Lease {
    v1::Lease { holder: holder.map(holder_to_wire), epoch: epoch.0 }
}

/// Parses a position.
///
/// # Errors
/// When the step is none of the three.
pub fn position_from_wire(wire: &v1::CometbftPosition) -> Result<Position, ConversionError> {
    let step = match v1::Step::try_from(wire.step) {
        Ok(v1::Step::Proposal) => Step::Proposal,
        Ok(v1::Step::Prevote) => Step::Prevote,
        Ok(v1::Step::Precommit) => Step::Precommit,
        Ok(v1::Step::Unspecified) | Err(_) => {
            return Err(ConversionError::Unknown { field: "position.step", value: i64::from(wire.step) });
        }
    };
    Ok(Position { height: wire.height, round: wire.round, step })
}

/// A position for the wire.
#[must_use]
pub fn position_to_wire(position: Position) -> v1::CometbftPosition {
    let step = match position.step {
        Step::Proposal => v1::Step::Proposal,
        Step::Prevote => v1::Step::Prevote,
        Step::Precommit => v1::Step::Precommit,
    };
    v1::CometbftPosition { height: position.height, round: position.round, step: step.into() }
}

fn timestamp_from_wire(wire: Option<&v1::Timestamp>) -> Result<Timestamp, ConversionError> {
    let wire = required("timestamp", wire)?;
    Ok(Timestamp { seconds: wire.seconds, nanos: wire.nanos })
}

fn timestamp_to_wire(timestamp: Timestamp) -> v1::Timestamp {
    v1::Timestamp { seconds: timestamp.seconds, nanos: timestamp.nanos }
}

/// Parses an intent.
///
/// # Errors
/// When a field is missing or malformed.
pub fn intent_from_wire(wire: Option<&v1::Intent>) -> Result<Intent, ConversionError> {
    let kind = required("intent.kind", wire.and_then(|intent| intent.kind.as_ref()))?;
    let v1::intent::Kind::Cometbft(wire) = kind;
    let position = position_from_wire(required("intent.position", wire.position.as_ref())?)?;
    let block = wire.block.as_deref().map(|block| bytes("intent.block", block).map(Digest)).transpose()?;
    let payload = Digest(bytes("intent.payload", &wire.payload)?);
    let timestamp = timestamp_from_wire(wire.timestamp.as_ref())?;
    let node = NodeName::parse(&wire.node)
        .map_err(|source| ConversionError::Text { field: "intent.node", source })?;
    Ok(Intent::Cometbft(CometbftIntent { position, block, payload, timestamp, node }))
}

/// An intent for the wire.
#[must_use]
pub fn intent_to_wire(intent: &Intent) -> v1::Intent {
    let Intent::Cometbft(intent) = intent;
    v1::Intent {
        kind: Some(v1::intent::Kind::Cometbft(v1::CometbftIntent {
            position: Some(position_to_wire(intent.position)),
            block: intent.block.map(|block| block.0.to_vec()),
            payload: intent.payload.0.to_vec(),
            timestamp: Some(timestamp_to_wire(intent.timestamp)),
            node: intent.node.to_string(),
        })),
    }
}

/// Parses an approval.
///
/// # Errors
/// When a field is missing or malformed.
pub fn approved_from_wire(wire: &v1::Approved) -> Result<Approved, ConversionError> {
    Ok(Approved {
        approval: if wire.repeat { Approval::Repeat } else { Approval::Fresh },
        cluster: cluster_id(&wire.cluster_id)?,
        key: key_id(&wire.key_id)?,
        position: position_from_wire(required("position", wire.position.as_ref())?)?,
        payload: Digest(bytes("payload", &wire.payload)?),
        timestamp: timestamp_from_wire(wire.timestamp.as_ref())?,
        epoch: Epoch(wire.epoch),
        at: LogPosition { log_index: wire.log_index, item: 0 },
    })
}

/// An approval for the wire.
#[must_use]
pub fn approved_to_wire(approved: &Approved) -> v1::Approved {
    v1::Approved {
        cluster_id: approved.cluster.0.to_vec(),
        key_id: approved.key.0.to_vec(),
        position: Some(position_to_wire(approved.position)),
        payload: approved.payload.0.to_vec(),
        timestamp: Some(timestamp_to_wire(approved.timestamp)),
        epoch: approved.epoch.0,
        log_index: approved.at.log_index,
        repeat: approved.approval == Approval::Repeat,
    }
}

/// A denial for the wire.
#[must_use]
pub fn denied_to_wire(denial: &Denial) -> v1::Denied {
    let rule = denial.rule();
    v1::Denied { rule: rule.number(), rule_name: rule.name().to_owned(), message: denial.to_string() }
}

/// A key's record for the wire.
#[must_use]
pub fn key_to_wire(key: KeyId, record: &KeyRecord) -> v1::Key {
    let (protocol, chain_name) = record.chain.parts();
    let (state, state_reason) = match &record.state {
        KeyState::Active => ("active", String::new()),
        KeyState::Frozen { reason } => ("frozen", reason.to_string()),
    };
    let Watermark::Cometbft(watermark) = &record.watermark;
    let last = watermark.last.as_ref();
    v1::Key {
        key_id: key.0.to_vec(),
        name: record.name.to_string(),
        protocol: protocol.to_owned(),
        chain_id: chain_name.to_owned(),
        public_key: record.public_key.as_bytes().to_vec(),
        state: state.to_owned(),
        state_reason,
        signers: record.signers.iter().map(SignerId::to_string).collect(),
        lease: Some(lease_to_wire(record.holder.as_ref(), record.epoch)),
        version: record.version,
        floor_height: watermark.floor_height,
        approved: last.map(|last| position_to_wire(last.position)),
        approved_payload: last.map(|last| last.payload.0.to_vec()).unwrap_or_default(),
        max_jump_heights: record.policy.max_jump_heights,
        lock_rule: record.policy.lock_rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        Intent::Cometbft(CometbftIntent {
            position: Position { height: 7, round: 1, step: Step::Precommit },
            block: Some(Digest([1; 32])),
            payload: Digest([2; 32]),
            timestamp: Timestamp { seconds: 5, nanos: 6 },
            node: NodeName::parse("node-a").unwrap(),
        })
    }

    #[test]
    fn an_intent_survives_the_wire() {
        assert_eq!(intent_from_wire(Some(&intent_to_wire(&intent()))).unwrap(), intent());
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
        assert_eq!(broken(|i| i.timestamp = None), "field timestamp is missing");
        assert!(broken(|i| i.node = "a b".into()).starts_with("field intent.node: "));
        assert_eq!(
            broken(|i| i.position.as_mut().unwrap().step = 9),
            "field position.step has the unknown value 9"
        );
        assert_eq!(intent_from_wire(None).unwrap_err().to_string(), "field intent.kind is missing");
    }

    #[test]
    fn an_approval_survives_the_wire() {
        let approved = Approved {
            approval: Approval::Repeat,
            cluster: ClusterId([3; 16]),
            key: KeyId([4; 32]),
            position: Position { height: 7, round: 1, step: Step::Prevote },
            payload: Digest([2; 32]),
            timestamp: Timestamp { seconds: -5, nanos: 6 },
            epoch: Epoch(9),
            at: LogPosition { log_index: 12, item: 0 },
        };
        assert_eq!(approved_from_wire(&approved_to_wire(&approved)).unwrap(), approved);
    }
}
