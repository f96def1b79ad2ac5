//! `cargo xtask test`: every check in order, with a summary that hides nothing: what ran, how long, what could not.

use std::process::Command;
use std::time::{Duration, Instant};

use interlock_testkit::cometbft;

use crate::{Outcome, cargo, mutation, no_std, real_chain, tidy, workspace_root};

/// Told to tests that need a chain: a missing toolchain is then a failure.
const REQUIRE_CHAINS: &str = "INTERLOCK_REQUIRE_CHAINS";

/// How the names of steps start that run a real chain.
const CHAIN: &str = "chain";

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
        step("no_std: core", no_std::run),
        step("tidy", tidy::run),
        step("tests", || {
            let required = [(REQUIRE_CHAINS, "1")];
            cargo_step(
                &["test", "--workspace", "--no-fail-fast"],
                if require_chains { &required } else { &[] },
            )
        }),
    ];
    steps.push(step("mutation: core", mutation::test_core));
    steps.push(chain("chain: CometBFT", require_chains));
    let (summary, outcome) = summarise(&steps, require_chains);
    println!("\n{summary}");
    outcome
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

/// The summary for people, and whether the whole counts as good. The last line is `N passed, N failed`.
fn summarise(steps: &[Step], chains_required: bool) -> (String, Outcome<()>) {
    let mut lines = vec![format!("{:<18} {:>8}  result", "step", "seconds")];
    for Step { name, took, verdict } in steps {
        let seconds = took.as_secs_f64();
        lines.push(match verdict {
            Verdict::Passed => format!("{name:<18} {seconds:>8.1}  passed"),
            Verdict::Failed(reason) => format!("{name:<18} {seconds:>8.1}  FAILED: {reason}"),
            Verdict::NotRun(reason) => format!("{name:<18} {:>8}  NOT RUN: {reason}", "-"),
        });
    }
    let count = |matches: fn(&Step) -> bool| steps.iter().filter(|step| matches(step)).count();
    let passed = count(|step| matches!(step.verdict, Verdict::Passed));
    let failed = count(|step| matches!(step.verdict, Verdict::Failed(_)));
    let not_run = count(|step| matches!(step.verdict, Verdict::NotRun(_)));
    let chains = count(|step| step.name.starts_with(CHAIN) && matches!(step.verdict, Verdict::Passed));
    lines.push(format!("chains run to the end: {chains}"));
    if not_run > 0 {
        lines.push(format!(
            "WARNING: {not_run} step(s) could not run on this machine; they prove nothing here"
        ));
    }
    lines.push(format!("{passed} passed, {failed} failed"));
    let outcome = if failed > 0 {
        Err(format!("{failed} step(s) failed").into())
    } else if chains_required && chains == 0 {
        Err("no chain ran to the end although chains are required".into())
    } else {
        Ok(())
    };
    (lines.join("\n"), outcome)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(verdicts: [Verdict; 2]) -> Vec<Step> {
        let names = ["tests", "chain: CometBFT"];
        let steps = names.into_iter().zip(verdicts);
        steps.map(|(name, verdict)| Step { name, took: Duration::from_millis(1_500), verdict }).collect()
    }

    #[test]
    fn what_passed_ends_the_summary() {
        let (summary, outcome) = summarise(&steps([Verdict::Passed, Verdict::Passed]), true);
        outcome.unwrap();
        let lines: Vec<&str> = summary.lines().collect();
        assert_eq!(lines[1], "tests                   1.5  passed");
        assert_eq!(lines[lines.len() - 2..], ["chains run to the end: 1", "2 passed, 0 failed"]);
    }

    #[test]
    fn a_chain_that_could_not_run_is_named_and_is_an_error_when_required() {
        let verdicts = || steps([Verdict::Passed, Verdict::NotRun("no Go".to_owned())]);
        let (summary, outcome) = summarise(&verdicts(), false);
        outcome.unwrap();
        assert!(summary.contains("NOT RUN: no Go") && summary.contains("WARNING: 1 step(s)"), "{summary}");
        assert!(
            summary.ends_with(
                "chains run to the end: 0\nWARNING: 1 step(s) could not run on this machine; they prove \
            nothing here\n1 passed, 0 failed"
            ),
            "{summary}"
        );
        assert!(summarise(&verdicts(), true).1.is_err());
    }

    #[test]
    fn a_failure_fails_the_whole_and_shows_its_reason() {
        let (summary, outcome) =
            summarise(&steps([Verdict::Failed("3 tests".to_owned()), Verdict::Passed]), false);
        assert!(summary.contains("FAILED: 3 tests"), "{summary}");
        assert!(summary.ends_with("1 passed, 1 failed"), "{summary}");
        assert_eq!(outcome.unwrap_err().to_string(), "1 step(s) failed");
    }
}
