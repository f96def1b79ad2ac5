//! Audit records to and from the wire. Nothing here is read by any rule.

use interlock_core::{Action, Verdict};
use interlock_proto::v1;
use interlock_store::{AuditRecord, AuditSummary, StoredRecord, codec};

/// What the wire tells people of a record.
#[must_use]
pub fn audit_record_to_wire(record: &AuditRecord) -> v1::AuditRecord {
    v1::AuditRecord {
        log_index: record.at.log_index,
        item: record.at.item,
        key_id: record.key().0.to_vec(),
        rule: record.rule().number(),
        rule_name: record.rule().name().to_owned(),
        summary: summary(record),
        chain: record.chain.as_bytes().to_vec(),
        holder: record.holder().map(ToString::to_string).unwrap_or_default(),
        applied_at_ms: record.applied_at_ms,
        encoded: Vec::new(),
        chain_before: None,
    }
}

/// What the wire tells of a record to those who check the chain.
pub(crate) fn stored_record_to_wire(stored: &StoredRecord) -> v1::AuditRecord {
    v1::AuditRecord {
        encoded: stored.record.to_bytes(),
        chain_before: stored.before.map(|chain| chain.as_bytes().to_vec()),
        ..audit_record_to_wire(&stored.record)
    }
}

/// A record of a page, for checking the chain.
///
/// # Errors
/// Names what does not decode.
pub fn stored_record_from_wire(wire: &v1::AuditRecord) -> Result<StoredRecord, String> {
    let record = AuditRecord::from_bytes(&wire.encoded).map_err(|error| format!("field encoded: {error}"))?;
    let before = wire.chain_before.as_deref().map(codec::decode_chain).transpose();
    let before = before.map_err(|error| format!("field chain_before: {error}"))?;
    Ok(StoredRecord { record, before })
}

pub(crate) fn status_to_wire(summary: &AuditSummary) -> v1::AuditStatus {
    v1::AuditStatus {
        index: summary.index.to_string(),
        first_log_index: summary.first_log_index,
        last_log_index: summary.last.map(|last| last.log_index),
        bytes: summary.bytes,
    }
}

/// One line for people: what was asked, and how it ended.
fn summary(record: &AuditRecord) -> String {
    let asked = match &record.command.action {
        Action::AddKey(add) => format!("add key {}", add.name),
        Action::Acquire { holder, .. } => format!("acquire by {holder}"),
        Action::Release { holder, epoch, .. } => format!("release of epoch {epoch} by {holder}"),
        Action::Handover { to, reason, .. } => format!("handover to {to} ({reason})"),
        Action::Approve { epoch, intent, .. } => format!("approve {intent} under epoch {epoch}"),
        Action::Freeze { reason, .. } => format!("freeze ({reason})"),
        Action::Unfreeze { reason, .. } => format!("unfreeze ({reason})"),
        Action::Reserve { holder, height, up_to_height, .. } => {
            format!("reserve heights {height} to {up_to_height} by {holder}")
        }
        Action::Import { reason, .. } => format!("import ({reason})"),
        Action::SetPolicy { reason, .. } => format!("set policy ({reason})"),
        Action::SetSigners { signers, reason, .. } => {
            let signers: Vec<_> = signers.iter().map(ToString::to_string).collect();
            format!("set signers to {} ({reason})", signers.join(", "))
        }
        Action::Retire { reason, .. } => format!("retire ({reason})"),
        Action::LiftQuarantine { attestation, .. } => format!("lift quarantine ({attestation})"),
        Action::RaiseRules { rules, .. } => format!("raise rules to version {rules}"),
    };
    match &record.verdict {
        Verdict::Denied(denial) => format!("{asked}: refused, {denial}"),
        verdict => format!("{asked}: {}", verdict.rule()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::{
        ClusterId, Command, Epoch, Holder, Incarnation, KeyId, LogPosition, SignerId, State,
    };

    #[test]
    fn a_record_and_the_chain_before_it_come_back_whole() {
        let mut state = State::genesis(ClusterId([1; 16]));
        let before = state.audit_chain();
        let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
        let action = Action::Release { holder, epoch: Epoch(4), give_back: None };
        let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
        let at = LogPosition { log_index: 7, item: 2 };
        let verdict = state.apply(at, &command);
        let record = AuditRecord { at, command, verdict, chain: state.audit_chain(), applied_at_ms: Some(5) };
        for before in [None, Some(before)] {
            let stored = StoredRecord { record: record.clone(), before };
            assert_eq!(stored_record_from_wire(&stored_record_to_wire(&stored)), Ok(stored));
        }
        let mut wire = stored_record_to_wire(&StoredRecord { record, before: Some(before) });
        wire.chain_before = Some(vec![1; 31]);
        assert!(stored_record_from_wire(&wire).unwrap_err().contains("chain_before"));
        wire.encoded.pop();
        assert!(stored_record_from_wire(&wire).unwrap_err().contains("encoded"));
    }
}
