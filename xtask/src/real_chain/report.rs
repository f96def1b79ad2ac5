//! The one JSON line, and whether what it says is good enough.

use interlock_testkit::cometbft::VERSION;
use serde::Serialize;

use super::faults::{FAULTS, Recovery};
use super::ledger::Ledger;
use crate::Outcome;

/// Fewer signed heights prove too little.
const SIGNED_HEIGHTS_MIN: usize = 30;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    cometbft: &'static str,
    /// Final heights of the chain.
    heights: usize,
    /// Heights whose commit carries the guarded validator's signature.
    signed: usize,
    missed: usize,
    conflicts: usize,
    evidence: usize,
    failovers: Vec<Failover>,
}

#[derive(Debug, Serialize)]
struct Failover {
    cause: &'static str,
    /// From the fault to the signature that ends it.
    gap_ms: u64,
    missed_heights: usize,
    /// Present and false when the lease stayed where it was, as it does when only a guard node dies.
    #[serde(skip_serializing_if = "is_true")]
    moved: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_true(moved: &bool) -> bool {
    *moved
}

impl Report {
    pub(super) fn new(ledger: &Ledger, recoveries: &[Recovery]) -> Outcome<Self> {
        let signed = ledger.signed.values().filter(|signed| **signed).count();
        let mut failovers = Vec::new();
        for recovery in recoveries {
            failovers.push(Failover {
                cause: recovery.fault.cause(),
                gap_ms: recovery.gap_ms,
                missed_heights: missed_heights(ledger, recovery.height_before, recovery.height_after)?,
                moved: recovery.moved,
            });
        }
        Ok(Self {
            cometbft: VERSION,
            heights: ledger.signed.len(),
            signed,
            missed: ledger.signed.len() - signed,
            conflicts: ledger.conflicts.len(),
            evidence: ledger.evidence.len(),
            failovers,
        })
    }

    /// Fails with everything that is wrong, details first.
    pub(super) fn verdict(&self, ledger: &Ledger) -> Outcome<()> {
        let mut wrong: Vec<String> = ledger.conflicts.iter().map(ToString::to_string).collect();
        wrong.extend(ledger.evidence.iter().map(|item| format!("evidence on chain: {item}")));
        if !ledger.untapped.is_empty() {
            wrong.push(format!(
                "the taps lack signatures that are on chain, at heights {:?}",
                ledger.untapped
            ));
        }
        for node in &ledger.idle_nodes {
            wrong.push(format!("the log of {node} shows no precommit signed by the guarded validator"));
        }
        if self.failovers.len() != FAULTS.len() {
            wrong.push(format!("{} of {} failovers happened", self.failovers.len(), FAULTS.len()));
        }
        if self.signed < SIGNED_HEIGHTS_MIN {
            wrong.push(format!(
                "only {} heights were signed, at least {SIGNED_HEIGHTS_MIN} must be",
                self.signed
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }
}

/// Heights without our vote from the first that the fault could touch to the first signed one after recovery.
fn missed_heights(ledger: &Ledger, before: u64, after: u64) -> Outcome<usize> {
    let mut missed = 0;
    for (height, signed) in ledger.signed.range(before + 1..) {
        if *signed && *height >= after {
            return Ok(missed);
        }
        missed += usize::from(!signed);
    }
    Err(format!("no signed height at or above {after} although its vote was seen on chain").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ledger(signed: &[bool]) -> Ledger {
        let signed: BTreeMap<u64, bool> = (1..).zip(signed.iter().copied()).collect();
        Ledger { signed, evidence: vec![], conflicts: vec![], untapped: vec![], idle_nodes: vec![] }
    }

    fn report(ledger: &Ledger) -> Report {
        let mut report = Report::new(ledger, &[]).unwrap();
        let failover = || Failover { cause: "a test", gap_ms: 1, missed_heights: 0, moved: true };
        report.failovers = FAULTS.iter().map(|_| failover()).collect();
        report
    }

    #[test]
    fn missed_heights_run_from_the_fault_to_the_first_signed_height_after_it() {
        let ledger = ledger(&[true, true, true, false, false, true, false]);
        assert_eq!(missed_heights(&ledger, 2, 6).unwrap(), 2);
        assert_eq!(missed_heights(&ledger, 3, 5).unwrap(), 2, "the vote for 5 came too late for its commit");
        assert_eq!(missed_heights(&ledger, 1, 3).unwrap(), 0);
        assert!(missed_heights(&ledger, 5, 7).is_err());
    }

    #[test]
    fn a_good_run_passes_and_its_line_has_the_promised_form() {
        let ledger = ledger(&[true; 30]);
        let mut report = report(&ledger);
        report.verdict(&ledger).unwrap();
        report.failovers.truncate(1);
        let line = serde_json::to_string(&report).unwrap();
        let expected = "{\"cometbft\":\"v0.38.25\",\"heights\":30,\"signed\":30,\"missed\":0,\
            \"conflicts\":0,\"evidence\":0,\
            \"failovers\":[{\"cause\":\"a test\",\"gap_ms\":1,\"missed_heights\":0}]}";
        assert_eq!(line, expected);
    }

    #[test]
    fn each_shortfall_fails_the_run() {
        let fails = |ledger: &Ledger, part: &str| {
            let error = report(ledger).verdict(ledger).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        fails(&ledger(&[true; 29]), "only 29 heights were signed");
        let good = || ledger(&[true; 40]);
        fails(&Ledger { evidence: vec!["x".into()], ..good() }, "evidence on chain: x");
        fails(&Ledger { untapped: vec![7], ..good() }, "at heights [7]");
        fails(&Ledger { idle_nodes: vec!["node0a".into()], ..good() }, "the log of node0a");
        let mut short = report(&good());
        short.failovers.pop();
        assert!(short.verdict(&good()).unwrap_err().to_string().contains("4 of 5 failovers happened"));
    }
}
