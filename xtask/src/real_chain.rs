//! `cargo xtask real-chain`: a real CometBFT network signs through the guard while whoever holds the lease is hit.
//!
//! Ends with one JSON line on standard output and fails when anything the line promises did not happen. Nothing is
//! believed that can be checked on chain or in the taps: a signature on chain that no tap shows is a failure too.

mod faults;
mod ledger;
mod report;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use interlock_testkit::cometbft;
use interlock_testkit::process::run_to_end;

use crate::{Outcome, cargo, workspace_root};
use faults::FAULTS;
use world::World;

/// Runs everything from scratch. The directory with all logs is removed on success and named on failure.
pub(crate) fn run(release: bool) -> Outcome<()> {
    let target = workspace_root().join("target");
    let progress = Progress::start();
    progress.say("building interlock");
    let interlock = build(&target, release)?;
    progress.say(&format!("installing CometBFT {} (minutes the first time)", cometbft::VERSION));
    let node = cometbft::install(&target.join("chains"))?;
    let directory = target.join("real-chain").join(std::process::id().to_string());
    match story(&progress, &interlock, &node, &directory) {
        Ok(()) => Ok(std::fs::remove_dir_all(&directory)?),
        Err(error) => Err(format!("{error}\nlogs and state are kept in {}", directory.display()).into()),
    }
}

fn story(progress: &Progress, interlock: &Path, node: &Path, directory: &Path) -> Outcome<()> {
    progress.say("three guard nodes, two signers, four validators on five nodes");
    let mut world = World::start(interlock, node, directory)?;
    let mut recoveries = Vec::new();
    for fault in FAULTS {
        let healthy = world.wait_until_healthy()?;
        progress.say(&format!("{healthy}; next: {}", fault.cause()));
        let struck = faults::strike(fault, &mut world, &healthy)?;
        let recovery = faults::await_recovery(&mut world, struck)?;
        progress.say(&format!("{} signs on after {} ms", recovery.signer, recovery.gap_ms));
        faults::mend(&mut world, &recovery)?;
        recoveries.push(recovery);
    }
    let healthy = world.wait_until_healthy()?;
    progress.say(&format!("{healthy}; reading the whole chain and all taps"));
    let ledger = ledger::read(&world)?;
    let report = report::Report::new(&ledger, &recoveries)?;
    println!("{}", serde_json::to_string(&report)?);
    progress.say("done");
    report.verdict(&ledger)
}

/// Builds the program under test with the features of the whole workspace, as the tests do, so nothing is built twice.
fn build(target: &Path, release: bool) -> Outcome<PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["build", "--workspace", "--bin", "interlock"]).current_dir(workspace_root());
    if release {
        command.arg("--release");
    }
    run_to_end(&mut command)?;
    Ok(target.join(if release { "release" } else { "debug" }).join("interlock"))
}

/// Tells the person who waits what happens, with the seconds since the start.
struct Progress {
    started: Instant,
}

impl Progress {
    fn start() -> Self {
        Self { started: Instant::now() }
    }

    fn say(&self, text: &str) {
        eprintln!("[{:>6.1} s] {text}", self.started.elapsed().as_secs_f64());
    }
}
