//! Lease transitions. Every change of holder or epoch in the whole system is one of the functions here, or
//! [`KeyRecord::end_window_and_lease`].
//!
//! Keeps S3: at every log index a key has at most one holder, and epochs strictly increase.

use crate::denial::Denial;
use crate::ids::{Epoch, Holder};
use crate::intent::Watermark;
use crate::invariant::Invariant;
use crate::key::KeyRecord;
use crate::rule::Rule;
use crate::verdict::{Grant, Verdict};

fn already_done(record: &KeyRecord, rule: Rule) -> Verdict {
    Verdict::AlreadyDone { rule, epoch: record.epoch, version: record.version }
}

fn check_registered(record: &KeyRecord, holder: &Holder) -> Result<(), Denial> {
    if record.is_registered(&holder.signer) {
        Ok(())
    } else {
        Err(Denial::NotRegistered { signer: holder.signer.clone() })
    }
}

fn check_epoch(record: &KeyRecord, expected: Epoch) -> Result<(), Denial> {
    if record.epoch == expected {
        Ok(())
    } else {
        Err(Denial::EpochMoved { current: record.epoch, expected })
    }
}

/// Whether the holder asks for what it has: it saw the epoch, or its request was the one that was granted.
fn holds_already(record: &KeyRecord, holder: &Holder, expected: Epoch) -> bool {
    let seen = expected == record.epoch || expected.next() == Some(record.epoch);
    record.holder.as_ref() == Some(holder) && seen
}

/// Revokes, and excludes the window of whoever loses the lease: only it knows what it signed there.
fn grant(record: &mut KeyRecord, to: &Holder) -> Result<Verdict, Denial> {
    let next = record.epoch.next().ok_or(Denial::Broken { invariant: Invariant::EpochRises })?;
    let previous = record.holder.clone();
    record.end_window_and_lease();
    record.holder = Some(to.clone());
    record.epoch = next;
    Ok(Verdict::Granted(Grant { holder: to.clone(), epoch: next, previous }))
}

/// Takes a lease that nobody holds (R20 to R22, R25).
pub(crate) fn acquire(record: &mut KeyRecord, holder: &Holder, expected: Epoch) -> Result<Verdict, Denial> {
    check_registered(record, holder)?;
    if holds_already(record, holder, expected) {
        return Ok(already_done(record, Rule::LeaseGranted));
    }
    check_epoch(record, expected)?;
    match &record.holder {
        Some(held_by) => Err(Denial::LeaseHeld { holder: held_by.clone(), epoch: record.epoch }),
        None => grant(record, holder),
    }
}

/// Revokes and grants in one step (R20, R21, R25). To the present holder it changes nothing.
pub(crate) fn handover(record: &mut KeyRecord, to: &Holder, expected: Epoch) -> Result<Verdict, Denial> {
    check_registered(record, to)?;
    if holds_already(record, to, expected) {
        return Ok(already_done(record, Rule::LeaseGranted));
    }
    check_epoch(record, expected)?;
    grant(record, to)
}

/// Gives a lease back (R23, R24, R26). The epoch stays: the next grant raises it.
pub(crate) fn release(
    record: &mut KeyRecord,
    holder: &Holder,
    epoch: Epoch,
    give_back: Option<&Watermark>,
) -> Result<Verdict, Denial> {
    if record.epoch == epoch && record.holder.is_none() {
        return Ok(already_done(record, Rule::LeaseReleased));
    }
    if record.epoch != epoch || record.holder.as_ref() != Some(holder) {
        return Err(Denial::NotReleasable {
            holder: record.holder.clone(),
            epoch: record.epoch,
            asked: holder.clone(),
            asked_epoch: epoch,
        });
    }
    if let Some(given) = give_back {
        check_give_back(record, given)?;
        record.watermark = given.clone();
        record.window_height = None;
    }
    record.end_window_and_lease();
    record.holder = None;
    Ok(Verdict::Released { epoch })
}

/// A holder can only have raised its record, and only inside its window.
fn check_give_back(record: &KeyRecord, given: &Watermark) -> Result<(), Denial> {
    let recorded = &record.watermark;
    let continues = given.is_at_least(recorded)
        && given.is_consistent()
        && given.floor_height() == recorded.floor_height()
        && given.height() <= record.window_height.unwrap_or(recorded.height());
    if continues && (record.window_height.is_some() || given == recorded) {
        return Ok(());
    }
    Err(Denial::GiveBackUnsound {
        up_to_height: record.window_height,
        recorded_height: recorded.height(),
        given_height: given.height(),
    })
}

/// Only the holder, only under the current epoch (R4, R5).
pub(crate) fn check_holder(record: &KeyRecord, asked: &Holder, epoch: Epoch) -> Result<(), Denial> {
    if record.holder.as_ref() != Some(asked) {
        return Err(Denial::NotHolder {
            holder: record.holder.clone(),
            epoch: record.epoch,
            asked: asked.clone(),
        });
    }
    if record.epoch != epoch {
        return Err(Denial::StaleEpoch { current: record.epoch, asked: epoch });
    }
    Ok(())
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
