//! Lease transitions. Every change of holder or epoch in the whole system is one of the functions here.
//!
//! Keeps S3: at every log index a key has at most one holder, and epochs strictly increase.

use crate::denial::Denial;
use crate::ids::{Epoch, Holder};
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

/// Whether the record stands right after a grant that expected this epoch. The sender chose the number: no overflow.
fn follows(record: &KeyRecord, expected: Epoch) -> bool {
    expected.0.checked_add(1) == Some(record.epoch.0)
}

fn grant(record: &mut KeyRecord, to: &Holder) -> Verdict {
    let previous = record.holder.replace(to.clone());
    let before = record.epoch;
    record.epoch = before.next();
    assert!(record.epoch > before, "S3: a grant raises the epoch");
    Verdict::Granted(Grant { holder: to.clone(), epoch: record.epoch, previous })
}

/// Takes a lease that nobody holds (R20 to R22, R24).
pub(crate) fn acquire(record: &mut KeyRecord, holder: &Holder, expected: Epoch) -> Result<Verdict, Denial> {
    check_registered(record, holder)?;
    if record.holder.as_ref() == Some(holder) && follows(record, expected) {
        return Ok(already_done(record, Rule::LeaseGranted));
    }
    check_epoch(record, expected)?;
    match &record.holder {
        Some(held_by) => Err(Denial::LeaseHeld { holder: held_by.clone(), epoch: record.epoch }),
        None => Ok(grant(record, holder)),
    }
}

/// Revokes and grants in one step (R20, R21, R24). To the present holder it changes nothing.
pub(crate) fn handover(record: &mut KeyRecord, to: &Holder, expected: Epoch) -> Result<Verdict, Denial> {
    check_registered(record, to)?;
    let is_duplicate = record.epoch == expected || follows(record, expected);
    if record.holder.as_ref() == Some(to) && is_duplicate {
        return Ok(already_done(record, Rule::LeaseGranted));
    }
    check_epoch(record, expected)?;
    Ok(grant(record, to))
}

/// Gives a lease back (R23, R25). The epoch stays: the next grant raises it.
pub(crate) fn release(record: &mut KeyRecord, holder: &Holder, epoch: Epoch) -> Result<Verdict, Denial> {
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
    record.holder = None;
    Ok(Verdict::Released { epoch })
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
