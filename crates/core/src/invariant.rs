//! Postconditions: what must hold between the record before a command and the record after it, whatever the command.
//!
//! Checked before the new record is put in place, also in release builds. A broken one is a bug of this code. It
//! becomes a denial ([`Denial::Broken`](crate::Denial::Broken)), equal on every replica, and the record stays as it
//! was: nothing is approved, other commands go on, and no replica stops and meets the same command again when it
//! restarts.

use crate::key::{KeyRecord, KeyState};
use core::fmt;
use minicbor::{Decode, Encode};

/// What must never happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Invariant {
    /// S3: a lease epoch falls, or the holder changes without a new epoch.
    #[n(0)]
    EpochRises,
    /// S4: a watermark or floor falls.
    #[n(1)]
    WatermarkRises,
    /// A window without a holder, or one that ends and leaves its heights open.
    #[n(2)]
    WindowSettled,
    /// The record's identity or protocol changes.
    #[n(3)]
    ProtocolFixed,
    /// A retired key comes back, or the version falls.
    #[n(4)]
    VersionRises,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EpochRises => "S3: a new holder needs a new epoch, and epochs never fall",
            Self::WatermarkRises => "S4: a watermark never falls",
            Self::WindowSettled => "a window belongs to a holder and leaves no height open",
            Self::ProtocolFixed => "a key's identity never changes",
            Self::VersionRises => "versions never fall and a retired key stays so",
        })
    }
}

/// Compares the record that a command found with the one that it would leave.
pub(crate) fn check(before: &KeyRecord, after: &KeyRecord) -> Result<(), Invariant> {
    let new_holder = after.holder.is_some() && after.holder != before.holder;
    if after.epoch < before.epoch || (new_holder && after.epoch == before.epoch) {
        return Err(Invariant::EpochRises);
    }
    if !after.watermark.is_at_least(&before.watermark) {
        return Err(Invariant::WatermarkRises);
    }
    check_window(before, after)?;
    if after.public_key != before.public_key || after.chain != before.chain || after.name != before.name {
        return Err(Invariant::ProtocolFixed);
    }
    let revived =
        matches!(before.state, KeyState::Retired { .. }) && !matches!(after.state, KeyState::Retired { .. });
    if after.version < before.version || revived {
        return Err(Invariant::VersionRises);
    }
    Ok(())
}

/// A release may give a window back instead of excluding it; nothing else may.
fn check_window(before: &KeyRecord, after: &KeyRecord) -> Result<(), Invariant> {
    let same_lease = after.epoch == before.epoch && after.holder == before.holder;
    let released = after.epoch == before.epoch
        && after.holder.is_none()
        && (after.version, &after.state) == (before.version, &before.state);
    let settled = match (before.window_height, after.window_height) {
        (Some(was), Some(is)) if same_lease => is >= was,
        (Some(was), None) => released || after.watermark.floor_height() >= Some(was),
        (Some(_), Some(_)) => false,
        (None, _) => true,
    };
    if settled && (after.window_height.is_none() || after.holder.is_some()) {
        return Ok(());
    }
    Err(Invariant::WindowSettled)
}

#[cfg(test)]
#[path = "invariant_tests.rs"]
pub(crate) mod tests;
