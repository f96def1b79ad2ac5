//! Reading a local watermark without using it: what a signer may have signed, for a guard that is restored.

use crate::watermark::{WatermarkError, read_record};
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim};
use interlock_core::{Claim, ClusterId, KeyId};
use interlock_disk::RealDisk;
use std::path::Path;

/// What a signer may have signed with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkReport {
    /// The cluster that it was enrolled in.
    pub cluster: ClusterId,
    /// The key.
    pub key: KeyId,
    /// What it may have signed: what it signed, what it asked for, and the floor it was given.
    pub claim: Claim,
}

/// Reads the file of a signer that is stopped, or a copy of it.
///
/// # Errors
/// When it is missing, damaged, or no watermark.
pub fn read_watermark(path: &Path) -> Result<WatermarkReport, WatermarkError> {
    let found = read_record(&RealDisk, path)?;
    let signed =
        found.newest.map(|mark| ClaimedMessage { position: mark.position, content: None, block: None });
    let claim = Claim::Cometbft(CometbftClaim { floor_height: found.floor_height, signed });
    Ok(WatermarkReport { cluster: found.cluster, key: found.key, claim })
}
