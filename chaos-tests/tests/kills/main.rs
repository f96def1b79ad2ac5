//! Real guard nodes under load, killed with `kill -9` at random points: what they acknowledged is there afterwards.
//!
//! A load of several keys asks for approvals without pause. After a random number of them one node or all three are
//! killed and started again, sometimes also while they start. Then each key asks again for its newest acknowledged
//! approval, which must carry the timestamp that was recorded, and for a conflicting one, which must be refused.
//!
//! Without arguments a few kills run; `cargo xtask power-cut` runs more. One JSON line says what was found.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness fails by panicking and prints what it found"
)]

mod key;
mod load;
#[path = "../processes/program.rs"]
mod program;
mod world;

use std::process::ExitCode;

use world::World;

/// Kills of a run without arguments.
const SHORT_RUN_KILLS: u64 = 8;
/// Something acknowledged was lost.
const EXIT_LOST: u8 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(position + 1)?.parse::<u64>().expect("it takes a number"))
    };
    let (kills, seed) = (option("--kills").unwrap_or(SHORT_RUN_KILLS), option("--seed").unwrap_or(0));
    let found = World::running().kill_and_check(kills, seed);
    let first_loss = serde_json::json!(found.first_loss);
    println!(
        "{{\"layer\":\"kills\",\"kills\":{},\"acknowledged\":{},\"checks\":{},\"lost\":{},\"first_loss\":{first_loss}}}",
        found.kills, found.acknowledged, found.checks, found.lost
    );
    // A run that acknowledged nothing proves nothing either.
    if found.lost == 0 && found.acknowledged > 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_LOST) }
}
