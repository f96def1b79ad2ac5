//! Checked conversions between wire messages and the rule book's types. Wire to core can fail and names the field;
//! core to wire cannot.

use crate::positions::{any_position_from_wire, any_position_to_wire};
use crate::v1;
use interlock_core::cometbft::{Position as CometbftPosition, Step, Timestamp};
use interlock_core::text::TextError;
use interlock_core::{
    Approval, Approved, ClusterId, Denial, Digest, Epoch, Holder, Incarnation, KeyId, KeyRecord, KeyState,
    LogPosition, Position, SignerId,
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

pub(crate) fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ConversionError> {
    bytes.try_into().map_err(|_| ConversionError::Length { field, len: bytes.len(), expected: N })
}

pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConversionError> {
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

/// Parses a CometBFT position.
///
/// # Errors
/// When the step is none of the three.
pub fn position_from_wire(wire: &v1::CometbftPosition) -> Result<CometbftPosition, ConversionError> {
    let step = match v1::Step::try_from(wire.step) {
        Ok(v1::Step::Proposal) => Step::Proposal,
        Ok(v1::Step::Prevote) => Step::Prevote,
        Ok(v1::Step::Precommit) => Step::Precommit,
        Ok(v1::Step::Unspecified) | Err(_) => {
            return Err(ConversionError::Unknown { field: "position.step", value: i64::from(wire.step) });
        }
    };
    Ok(CometbftPosition { height: wire.height, round: wire.round, step })
}

/// A CometBFT position for the wire.
#[must_use]
pub fn position_to_wire(position: CometbftPosition) -> v1::CometbftPosition {
    let step = match position.step {
        Step::Proposal => v1::Step::Proposal,
        Step::Prevote => v1::Step::Prevote,
        Step::Precommit => v1::Step::Precommit,
    };
    v1::CometbftPosition { height: position.height, round: position.round, step: step.into() }
}

pub(crate) fn timestamp_from_wire(wire: &v1::Timestamp) -> Timestamp {
    Timestamp { seconds: wire.seconds, nanos: wire.nanos }
}

pub(crate) fn timestamp_to_wire(timestamp: Timestamp) -> v1::Timestamp {
    v1::Timestamp { seconds: timestamp.seconds, nanos: timestamp.nanos }
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
        position: any_position_from_wire(wire.position.as_ref())?,
        payload: Digest(bytes("payload", &wire.payload)?),
        timestamp: wire.timestamp.as_ref().map(timestamp_from_wire),
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
        position: Some(any_position_to_wire(approved.position)),
        payload: approved.payload.0.to_vec(),
        timestamp: approved.timestamp.map(timestamp_to_wire),
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
    let (state, state_reason) = state_to_wire(&record.state);
    let last = record.watermark.cometbft().and_then(|watermark| watermark.last);
    let content = last.and_then(|last| last.content);
    v1::Key {
        key_id: key.0.to_vec(),
        name: record.name.to_string(),
        protocol: record.chain.protocol().to_string(),
        chain_id: record.chain.name().into_owned(),
        public_key: record.public_key.as_bytes().to_vec(),
        state: state.to_owned(),
        state_reason,
        signers: record.signers.iter().map(SignerId::to_string).collect(),
        lease: Some(lease_to_wire(record.holder.as_ref(), record.epoch)),
        version: record.version,
        floor_height: record.watermark.floor_height().unwrap_or(0),
        approved: last.map(|last| position_to_wire(last.position)),
        approved_payload: content.map(|content| content.payload.0.to_vec()).unwrap_or_default(),
        max_jump_heights: record.policy.max_jump_heights,
        lock_rule: record.policy.lock_rule,
        marks: record.watermark.marks().map(|(position, payload)| mark_to_wire(position, payload)).collect(),
        window_heights: record.policy.window_heights,
        window_up_to_height: record.window_height,
        reach_height: record.reach_height(),
    }
}

fn state_to_wire(state: &KeyState) -> (&'static str, String) {
    match state {
        KeyState::Active => ("active", String::new()),
        KeyState::Frozen { reason } => ("frozen", reason.to_string()),
        KeyState::Quarantined { reason, .. } => ("quarantined", reason.to_string()),
        KeyState::Retired { reason } => ("retired", reason.to_string()),
    }
}

fn mark_to_wire(position: Position, payload: Option<Digest>) -> v1::Mark {
    v1::Mark {
        position: Some(any_position_to_wire(position)),
        payload: payload.map(|payload| payload.0.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_survives_the_wire() {
        let approved = Approved {
            approval: Approval::Repeat,
            cluster: ClusterId([3; 16]),
            key: KeyId([4; 32]),
            position: Position::Cometbft(CometbftPosition { height: 7, round: 1, step: Step::Prevote }),
            payload: Digest([2; 32]),
            timestamp: Some(Timestamp { seconds: -5, nanos: 6 }),
            epoch: Epoch(9),
            at: LogPosition { log_index: 12, item: 0 },
        };
        assert_eq!(approved_from_wire(&approved_to_wire(&approved)).unwrap(), approved);
    }
}
