//! Answers from the audit trail. Files are read, so never on a thread of the runtime.

use crate::audit_wire::{audit_record_to_wire, stored_record_to_wire};
use crate::service::Shared;
use interlock_core::{KeyId, LogPosition};
use interlock_proto::v1;
use interlock_store::{AuditReadError, AuditReader};
use tonic::Status;

/// The newest records, of all keys or of one.
pub(super) async fn tail(
    shared: &Shared,
    count: u32,
    key: Option<KeyId>,
) -> Result<Vec<v1::AuditRecord>, Status> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let records = read(shared, move |reader| match key {
        Some(key) => reader.of_key(key, count),
        None => reader.tail(count),
    });
    Ok(records.await?.iter().map(audit_record_to_wire).collect())
}

/// Records from a place on.
pub(super) async fn page(
    shared: &Shared,
    from: LogPosition,
    count: u32,
    key: Option<KeyId>,
) -> Result<v1::AuditPageResponse, Status> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let page = read(shared, move |reader| reader.page(from, count, key)).await?;
    Ok(v1::AuditPageResponse {
        records: page.records.iter().map(stored_record_to_wire).collect(),
        next_log_index: page.next.log_index,
        next_item: page.next.item,
        end: page.end,
        damage: page.damage,
    })
}

async fn read<T: Send + 'static>(
    shared: &Shared,
    ask: impl FnOnce(&AuditReader) -> Result<T, AuditReadError> + Send + 'static,
) -> Result<T, Status> {
    let reader = shared.audit.clone();
    let asked = tokio::task::spawn_blocking(move || ask(&reader)).await;
    asked
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))
}
