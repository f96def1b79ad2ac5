//! Measures the log beside what no log can beat, on the same disk in one run.
//!
//! One writer: a bare loop of append and fdatasync on a file of written zeros. Many writers: an ideal coalescing loop,
//! one thread that writes everything that waits in one call and syncs. Both at once means the same code with the same
//! settings. Crate `raft-log`, told not to wait for batches, runs too. Rounds are interleaved and the figures are
//! medians, because a machine is never quiet.
//!
//! `cargo run --release -p interlock-store --example log_bench -- [--directory D] [--rounds N] [--output json]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]

mod contestants;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use contestants::{Bare, Ideal, Interlock, RaftLog};
use report::{Figures, Report};

/// Appends that wait at once, of many writers.
const WRITERS: usize = 64;
/// Time for each figure of a round.
const DURATION: Duration = Duration::from_millis(250);
const ROUNDS_DEFAULT: usize = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        arguments.get(position + 1).cloned()
    };
    let root = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds =
        value("--rounds").map_or(ROUNDS_DEFAULT, |text| text.parse().expect("--rounds takes a number"));
    let directory = root.join(format!("interlock-log-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let report = measure(&directory, rounds);
    std::fs::remove_dir_all(&directory).unwrap();
    if value("--output").as_deref() == Some("json") {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
}

fn measure(directory: &std::path::Path, rounds: usize) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut bare, mut interlock) = (Bare::open(directory), Interlock::open(directory));
    let (mut ideal, mut raft_log) = (Ideal::open(directory), RaftLog::open(directory));
    let mut report = Report::default();
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        let mut figures = Figures::default();
        // Those who are compared run next to each other, and take turns in going first.
        for turn in 0..4 {
            match (round + turn) % 4 {
                0 => figures.bare = bare.run(DURATION),
                1 => figures.interlock_one = runtime.block_on(interlock.run(1, DURATION)),
                2 => figures.ideal_one = runtime.block_on(ideal.run(1, DURATION)),
                _ => figures.raft_log_one = runtime.block_on(raft_log.run(1, DURATION)),
            }
        }
        for turn in 0..3 {
            match (round + turn) % 3 {
                0 => figures.interlock_many = runtime.block_on(interlock.run(WRITERS, DURATION)),
                1 => figures.ideal_many = runtime.block_on(ideal.run(WRITERS, DURATION)),
                _ => figures.raft_log_many = runtime.block_on(raft_log.run(WRITERS, DURATION)),
            }
        }
        if round > 0 {
            report.rounds.push(figures);
        }
    }
    report
}
