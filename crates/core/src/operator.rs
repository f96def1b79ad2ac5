//! What operators change on a key (R32 to R37): its state, settings, signers, and what it may have signed elsewhere.
//!
//! Each command carries the record version that its sender saw and the state that shall be, so a duplicate changes
//! nothing. Whatever changes here ends an open window: its holder judges by what stood when it was opened.

use crate::denial::Denial;
use crate::ethereum;
use crate::intent::{Claim, Watermark};
use crate::key::{ChainIdentity, KeyRecord, KeyState, Policy, SIGNERS_PER_KEY_MAX, WINDOW_HEIGHTS_MAX};
use crate::rule::Rule;
use crate::text::{Reason, SignerId};
use crate::verdict::Verdict;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;

/// First rule version that knows windows.
const RULES_WITH_WINDOWS: u32 = 2;

pub(crate) fn already_done(record: &KeyRecord) -> Verdict {
    Verdict::AlreadyDone { rule: Rule::KeyChanged, epoch: record.epoch, version: record.version }
}

fn check_version(record: &KeyRecord, expected: u64) -> Result<(), Denial> {
    if record.version == expected {
        Ok(())
    } else {
        Err(Denial::VersionMoved { current: record.version, expected })
    }
}

fn check_not_retired(record: &KeyRecord) -> Result<(), Denial> {
    match &record.state {
        KeyState::Active | KeyState::Frozen { .. } | KeyState::Quarantined { .. } => Ok(()),
        state @ KeyState::Retired { .. } => Err(Denial::StateUnfit { state: state.clone() }),
    }
}

fn changed(record: &mut KeyRecord) -> Verdict {
    record.end_window_and_lease();
    record.version = record.version.saturating_add(1);
    Verdict::Changed { version: record.version }
}

fn set_state(record: &mut KeyRecord, expected_version: u64, state: KeyState) -> Result<Verdict, Denial> {
    if record.state == state {
        return Ok(already_done(record));
    }
    check_version(record, expected_version)?;
    record.state = state;
    Ok(changed(record))
}

pub(crate) fn freeze(record: &mut KeyRecord, expected: u64, reason: &Reason) -> Result<Verdict, Denial> {
    check_not_retired(record)?;
    let state = match &record.state {
        KeyState::Quarantined { reason: quarantined, .. } => {
            KeyState::Quarantined { reason: quarantined.clone(), frozen: Some(reason.clone()) }
        }
        _ => KeyState::Frozen { reason: reason.clone() },
    };
    set_state(record, expected, state)
}

pub(crate) fn unfreeze(record: &mut KeyRecord, expected: u64) -> Result<Verdict, Denial> {
    check_not_retired(record)?;
    let state = match &record.state {
        KeyState::Quarantined { reason, .. } => {
            KeyState::Quarantined { reason: reason.clone(), frozen: None }
        }
        _ => KeyState::Active,
    };
    set_state(record, expected, state)
}

/// Lifts a quarantine; a key that was frozen as well stays frozen.
pub(crate) fn lift_quarantine(record: &mut KeyRecord, expected: u64) -> Result<Verdict, Denial> {
    check_not_retired(record)?;
    let state = match &record.state {
        KeyState::Quarantined { frozen: Some(reason), .. } => KeyState::Frozen { reason: reason.clone() },
        KeyState::Quarantined { frozen: None, .. } => KeyState::Active,
        state => state.clone(),
    };
    set_state(record, expected, state)
}

/// Ends the lease as well: nobody holds a key that never signs again.
pub(crate) fn retire(record: &mut KeyRecord, expected: u64, reason: &Reason) -> Result<Verdict, Denial> {
    if matches!(record.state, KeyState::Retired { .. }) {
        return Ok(already_done(record));
    }
    check_version(record, expected)?;
    record.state = KeyState::Retired { reason: reason.clone() };
    let verdict = changed(record);
    record.holder = None;
    Ok(verdict)
}

pub(crate) fn set_policy(
    record: &mut KeyRecord,
    expected: u64,
    policy: Policy,
    rules: u32,
) -> Result<Verdict, Denial> {
    check_policy(&record.chain, policy)?;
    check_not_retired(record)?;
    if record.policy == policy {
        return Ok(already_done(record));
    }
    check_version(record, expected)?;
    check_policy_rules(policy, rules)?;
    record.policy = policy;
    Ok(changed(record))
}

/// A holder whose signer is no longer registered loses its lease.
pub(crate) fn set_signers(
    record: &mut KeyRecord,
    expected: u64,
    signers: &[SignerId],
) -> Result<Verdict, Denial> {
    check_signers(signers)?;
    check_not_retired(record)?;
    if *record.signers == *signers {
        return Ok(already_done(record));
    }
    check_version(record, expected)?;
    record.signers = Arc::from(signers);
    let verdict = changed(record);
    record.holder = record.holder.take().filter(|holder| signers.contains(&holder.signer));
    Ok(verdict)
}

/// Raises the watermark to a claim. A claim that the record covers already changes nothing.
pub(crate) fn import(
    record: &mut KeyRecord,
    expected: u64,
    claim: &Claim,
    jump_confirmed: bool,
) -> Result<Verdict, Denial> {
    let mut raised = record.watermark.clone();
    raised.raise(claim)?;
    check_not_retired(record)?;
    if raised == record.watermark {
        return Ok(already_done(record));
    }
    check_version(record, expected)?;
    if !jump_confirmed {
        check_import_jump(record, &raised)?;
    }
    record.watermark = raised;
    Ok(changed(record))
}

/// R13.
fn check_import_jump(record: &KeyRecord, raised: &Watermark) -> Result<(), Denial> {
    let (settled_height, max_jump_heights) = (record.reach_height(), record.policy.max_jump_heights);
    let asked_height = raised.height();
    if asked_height.saturating_sub(settled_height) > max_jump_heights {
        return Err(Denial::Jump { settled_height, asked_height, max_jump_heights });
    }
    raised.marks().try_for_each(|(position, _)| record.watermark.judge_round(position))
}

/// R32.
pub(crate) fn check_signers(signers: &[SignerId]) -> Result<(), Denial> {
    let distinct: BTreeSet<_> = signers.iter().collect();
    if distinct.is_empty() || distinct.len() != signers.len() || distinct.len() > SIGNERS_PER_KEY_MAX {
        return Err(Denial::UnsoundSigners { count: u32::try_from(signers.len()).unwrap_or(u32::MAX) });
    }
    Ok(())
}

/// R33.
pub(crate) fn check_policy(chain: &ChainIdentity, policy: Policy) -> Result<(), Denial> {
    let Policy { max_jump_heights, lock_rule: _, window_heights } = policy;
    let windows_fit = window_heights <= WINDOW_HEIGHTS_MAX && (window_heights == 0 || chain.has_windows());
    let jump_min = match chain {
        ChainIdentity::Ethereum { .. } => ethereum::MAX_JUMP_SLOTS_MIN,
        ChainIdentity::Cometbft(_) | ChainIdentity::Tezos(_) | ChainIdentity::Generic(_) => 1,
    };
    if windows_fit && max_jump_heights >= window_heights.max(jump_min) {
        return Ok(());
    }
    Err(Denial::UnsoundPolicy { window_heights, max_jump_heights, protocol: chain.protocol() })
}

/// R41.
pub(crate) fn check_policy_rules(policy: Policy, rules: u32) -> Result<(), Denial> {
    if policy.window_heights > 0 && rules < RULES_WITH_WINDOWS {
        return Err(Denial::RulesTooOld { current: rules, needed: RULES_WITH_WINDOWS });
    }
    Ok(())
}

#[cfg(test)]
#[path = "operator_tests.rs"]
mod tests;
