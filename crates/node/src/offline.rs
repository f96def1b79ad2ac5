//! What can be read from a data directory without a node.

use interlock_disk::{DiskError, RealDisk};
use interlock_store::{AuditReader, IdentityError, identity};
use std::path::Path;
use std::sync::Arc;

/// Why a data directory's audit trail does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenAuditError {
    /// It is not the data directory of a node.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The device failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The audit trail of a data directory. Nothing is locked and nothing is changed: a node may run on it.
///
/// # Errors
/// When it is not the data directory of a node, or does not read.
pub fn open_audit(data: &Path) -> Result<AuditReader, OpenAuditError> {
    identity::read(&RealDisk, data)?;
    Ok(AuditReader::of_directory(Arc::new(RealDisk), data)?)
}
