//! The simulated layer: a whole store lives through power cuts on a disk in memory, beside a model of what it may hold.
//!
//! Names and bytes are volatile until they are synced; a cut keeps any part of the rest, torn at any byte. Cuts fall
//! inside any operation of log, vote, snapshot, audit trail and book of peers, inside `format`, and inside a start.

mod check;
mod life;
mod model;
mod operations;

use life::Life;

use crate::planted::Planted;
use crate::report::Report;

/// Crashes of one store before a new one is formatted.
const CRASHES_PER_STORE: u64 = 15;

/// Runs until `cuts` cuts were made, or until the first broken promise.
pub(crate) fn run(seed: u64, cuts: u64, planted: Planted) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut report = Report::new("simulated");
    let mut seed = seed;
    while report.cuts < cuts && report.lost == 0 {
        let mut life = Life::new(seed, planted);
        for crash in 0..CRASHES_PER_STORE {
            if let Err(violation) = runtime.block_on(life.live_and_crash()) {
                report.lose(format!("seed {seed}, crash {crash}: {violation}"));
                break;
            }
            if report.cuts + life.cuts >= cuts {
                break;
            }
        }
        report.cuts += life.cuts;
        report.acknowledged += life.acknowledged;
        seed += 1;
    }
    report
}
