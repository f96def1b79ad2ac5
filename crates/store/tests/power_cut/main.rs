//! Power cuts over the whole store, through its public API only: nothing acknowledged is lost, and every cut reopens
//! unattended.
//!
//! Two layers: `simulated` runs on the disk in memory whose names and bytes are volatile until they are synced;
//! `filesystem` runs a writing process on ext4 and xfs on loop devices and shuts the file system down under it, without
//! a flush of its journal. Without arguments the simulated layer runs for a short while and proves that it notices
//! planted bugs; `cargo xtask power-cut` runs both for longer. Each layer prints one JSON line.
//!
//! The planted bugs live here, outside of every crate, so that no product can contain them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness fails by panicking and prints what it found"
)]

mod arguments;
mod common;
mod filesystem;
mod planted;
mod report;
mod simulated;

use std::process::ExitCode;

use arguments::Task;
use planted::Planted;
use report::Outcome;

/// Cuts of a run without arguments.
const SHORT_RUN_CUTS: u64 = 300;
/// Within so many cuts a planted bug must be noticed.
const PROOF_CUTS: u64 = 2_000;

fn main() -> ExitCode {
    match Task::of_arguments(std::env::args().skip(1)) {
        Ok(Task::ShortRun) => short_run(),
        Ok(Task::Simulated { cuts, seed, planted }) => {
            finish(&Outcome::Ran(simulated::run(seed, cuts, planted)))
        }
        Ok(Task::Filesystem { kind, cuts, seed, planted }) => {
            finish(&filesystem::run(kind, cuts, seed, planted))
        }
        Ok(Task::Write(options)) => filesystem::write(&options),
        Err(error) => {
            eprintln!("power_cut: {error}");
            ExitCode::from(report::EXIT_USAGE)
        }
    }
}

fn finish(outcome: &Outcome) -> ExitCode {
    println!("{}", outcome.json());
    outcome.exit_code()
}

/// What `cargo test` runs.
fn short_run() -> ExitCode {
    let honest = simulated::run(0, SHORT_RUN_CUTS, Planted::None);
    assert_eq!(honest.first_loss, None);
    assert!(honest.acknowledged > 0, "a run that acknowledges nothing proves nothing");
    println!("test nothing_acknowledged_is_lost_by_the_whole_store ... ok ({} cuts)", honest.cuts);
    for planted in Planted::SIMULATED {
        let noticed = simulated::run(0, PROOF_CUTS, planted);
        assert!(noticed.first_loss.is_some(), "{planted:?} was not noticed in {} cuts", noticed.cuts);
        println!("test {} is noticed ... ok (cut {})", planted.name(), noticed.cuts);
    }
    ExitCode::SUCCESS
}
