//! `cargo xtask test`: every check in order, with a summary that hides nothing: what ran, how long, what could not.

use std::process::Command;
use std::time::{Duration, Instant};

use interlock_testkit::cometbft;

use crate::{Outcome, cargo, real_chain, tidy, workspace_root};

/// Told to tests that need a chain: a missing toolchain is then a failure.
const REQUIRE_CHAINS: &str = "INTERLOCK_REQUIRE_CHAINS";

enum Verdict {
    Passed,
    Failed(String),
    /// Could not run on this machine, and nobody required it.
    NotRun(String),
}

struct Step {
    name: &'static str,
    took: Duration,
    verdict: Verdict,
}

/// Runs every step even after a failure, so that one run shows all that is wrong.
pub(crate) fn run(require_chains: bool) -> Outcome<()> {
    let mut steps = vec![
        step("format", || cargo_step(&["fmt", "--all", "--check"], &[])),
        step("lints", || {
            cargo_step(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
        }),
        step("documentation", || {
            let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items"];
            cargo_step(&arguments, &[("RUSTDOCFLAGS", "-D warnings")])
        }),
        step("tidy", tidy::run),
        step("tests", || {
            let required = [(REQUIRE_CHAINS, "1")];
            cargo_step(&["test", "--workspace"], if require_chains { &required } else { &[] })
        }),
    ];
    steps.push(chain("chain: CometBFT", require_chains));
    summarise(&steps, require_chains)
}

fn step(name: &'static str, task: impl FnOnce() -> Outcome<()>) -> Step {
    eprintln!("\n==> {name}");
    let started = Instant::now();
    let verdict = match task() {
        Ok(()) => Verdict::Passed,
        Err(error) => {
            eprintln!("{name} failed: {error}");
            Verdict::Failed(first_line(&error.to_string()))
        }
    };
    Step { name, took: started.elapsed(), verdict }
}

/// A step that needs Go.
fn chain(name: &'static str, required: bool) -> Step {
    match cometbft::go_is_there() {
        Err(error) if !required => {
            let reason = first_line(&error.to_string());
            Step { name, took: Duration::ZERO, verdict: Verdict::NotRun(reason) }
        }
        _ => step(name, || real_chain::run(false)),
    }
}

fn cargo_step(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<()> {
    let mut command = Command::new(cargo());
    command.args(arguments).envs(environment.iter().copied()).current_dir(workspace_root());
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} ({status})", arguments.join(" ")).into()) }
}

fn summarise(steps: &[Step], chains_required: bool) -> Outcome<()> {
    println!("\n{:<18} {:>8}  result", "step", "seconds");
    for Step { name, took, verdict } in steps {
        let seconds = took.as_secs_f64();
        match verdict {
            Verdict::Passed => println!("{name:<18} {seconds:>8.1}  passed"),
            Verdict::Failed(reason) => println!("{name:<18} {seconds:>8.1}  FAILED: {reason}"),
            Verdict::NotRun(reason) => println!("{name:<18} {:>8}  NOT RUN: {reason}", "-"),
        }
    }
    let count = |matches: fn(&Step) -> bool| steps.iter().filter(|step| matches(step)).count();
    let passed = count(|step| matches!(step.verdict, Verdict::Passed));
    let failed = count(|step| matches!(step.verdict, Verdict::Failed(_)));
    let not_run = count(|step| matches!(step.verdict, Verdict::NotRun(_)));
    let chains = count(|step| step.name.starts_with("chain") && !matches!(step.verdict, Verdict::NotRun(_)));
    println!("chains run: {chains}");
    if not_run > 0 {
        println!("WARNING: {not_run} step(s) could not run on this machine; they prove nothing here");
    }
    println!("{passed} passed, {failed} failed");
    if chains_required && chains == 0 {
        return Err("no chain was run although chains are required".into());
    }
    if failed > 0 { Err(format!("{failed} step(s) failed").into()) } else { Ok(()) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
