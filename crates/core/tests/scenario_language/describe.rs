//! Verdicts and records in one line of text each.

use interlock_core::cometbft::Lock;
use interlock_core::{Approved, Grant, KeyRecord, Reserved, Verdict, Watermark};

pub(crate) fn verdict(verdict: &Verdict) -> String {
    let rule = verdict.rule();
    match verdict {
        Verdict::Approved(approved) => format!("{rule}: {}", approval(approved)),
        Verdict::Granted(Grant { holder, epoch, previous }) => {
            let previous = previous.as_ref().map_or_else(|| "nobody".into(), ToString::to_string);
            format!("{rule}: {holder} holds epoch {epoch}, before it {previous}")
        }
        Verdict::Released { epoch } => format!("{rule}: epoch {epoch} has ended"),
        Verdict::Changed { version } => format!("{rule}: version {version}"),
        Verdict::AlreadyDone { epoch, version, .. } => {
            format!("{rule}: done already, at epoch {epoch}, version {version}")
        }
        Verdict::Reserved(Reserved { epoch, up_to_height, repeat, .. }) => {
            let again = if *repeat { ", as before" } else { "" };
            format!("{rule}: epoch {epoch} has heights up to {up_to_height}{again}")
        }
        Verdict::RulesRaised { rules } => format!("{rule}: rule version {rules}"),
        Verdict::Denied(denial) => denial.to_string(),
    }
}

fn approval(approved: &Approved) -> String {
    let Approved { payload, position, epoch, timestamp, .. } = approved;
    let timestamp = timestamp.map_or_else(String::new, |at| format!(" with timestamp {}", at.seconds));
    format!("sign {payload} at {position}{timestamp} under epoch {epoch}")
}

pub(crate) fn record(record: &KeyRecord) -> String {
    let holder = record.holder.as_ref().map_or_else(|| "nobody".into(), ToString::to_string);
    let window = record.window_height.map_or_else(String::new, |height| format!(", window up to {height}"));
    let (state, version, epoch) = (&record.state, record.version, record.epoch);
    format!("{state}, version {version}; epoch {epoch} of {holder}{window}; {}", watermark(&record.watermark))
}

pub(crate) fn watermark(watermark: &Watermark) -> String {
    let mut parts = Vec::new();
    if let Some(floor) = watermark.floor_height() {
        parts.push(format!("floor {floor}"));
    }
    for (position, payload) in watermark.marks() {
        let payload = payload.map_or_else(|| "something unknown".into(), |payload| payload.to_string());
        parts.push(format!("approved {payload} at {position}"));
    }
    if watermark.marks().next().is_none() {
        parts.push("approved nothing".into());
    }
    if let Some(Lock { height, block, by }) = watermark.cometbft().and_then(|record| record.lock.as_ref()) {
        let by =
            by.as_ref().map_or_else(|| "imported".into(), |by| format!("epoch {}, {}", by.epoch, by.node));
        parts.push(format!("locked {block} at height {height} ({by})"));
    }
    parts.join("; ")
}
