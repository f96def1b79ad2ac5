//! Audit records for the wire. Nothing here is read by any rule.

use crate::service::Shared;
use interlock_core::{Action, KeyId, Verdict};
use interlock_proto::v1;
use interlock_store::AuditRecord;
use tonic::Status;

/// The newest records, of all keys or of one.
pub(super) async fn tail(
    shared: &Shared,
    count: u32,
    key: Option<KeyId>,
) -> Result<Vec<v1::AuditRecord>, Status> {
    let reader = shared.audit.clone();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let read = move || match key {
        Some(key) => reader.of_key(key, count),
        None => reader.tail(count),
    };
    // Files are read: not on a runtime thread.
    let records = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(records
        .into_iter()
        .map(|record| v1::AuditRecord {
            log_index: record.at.log_index,
            item: record.at.item,
            key_id: record.key().0.to_vec(),
            rule: record.rule().number(),
            rule_name: record.rule().name().to_owned(),
            summary: summary(&record),
            chain: record.chain.as_bytes().to_vec(),
            holder: record.holder().map(ToString::to_string).unwrap_or_default(),
        })
        .collect())
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
