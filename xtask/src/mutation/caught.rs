//! Runs the proofs of the rule book against a tree, and says which test caught its bug.

use super::tree::Tree;
use crate::{Outcome, cargo};
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest that one proof may take to build and run. A bug may make it loop.
const LIMIT: Duration = Duration::from_secs(900);

/// The proofs, in the order in which they are tried: a bug counts as caught by the first that fails.
const PROOFS: [Proof; 4] = [
    Proof {
        name: "properties",
        tests: &["-p", "interlock-core", "--test", "rules"],
        only: Some("properties::"),
    },
    Proof { name: "model", tests: &["-p", "interlock-model"], only: None },
    Proof { name: "tables", tests: &["-p", "interlock-core", "--test", "rules"], only: None },
    Proof { name: "scenarios", tests: &["-p", "interlock-core", "--test", "scenarios"], only: None },
];

struct Proof {
    name: &'static str,
    /// What cargo builds and runs.
    tests: &'static [&'static str],
    /// Only tests whose names begin so.
    only: Option<&'static str>,
}

/// What became of a planted change.
pub(super) enum Caught {
    /// These tests failed.
    By(Vec<String>),
    /// Every proof passed.
    ByNothing,
}

impl Caught {
    pub(super) fn is_caught(&self) -> bool {
        matches!(self, Self::By(_))
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(tests) => f.write_str(&tests.join(", ")),
            Self::ByNothing => f.write_str("nothing"),
        }
    }
}

/// Builds and runs the proofs until one fails.
pub(super) fn check(tree: &Tree) -> Outcome<Caught> {
    for Proof { name, tests, only } in PROOFS {
        let built = cargo_test(tree, tests, &["--no-run"])?;
        if !built.status.success() {
            return Err(format!("{name} does not build:\n{}", String::from_utf8_lossy(&built.stderr)).into());
        }
        let ran = cargo_test(tree, tests, only.as_slice())?;
        if ran.status.success() {
            continue;
        }
        let failed = failed_tests(&String::from_utf8_lossy(&ran.stdout));
        if failed.is_empty() {
            return Err(format!("{name} ended with {} and named no test", ran.status).into());
        }
        return Ok(Caught::By(failed.into_iter().map(|test| format!("{name}: {test}")).collect()));
    }
    Ok(Caught::ByNothing)
}

fn cargo_test(tree: &Tree, tests: &[&str], more: &[&str]) -> Outcome<Output> {
    // To files: a pipe that nobody reads would stop the process.
    let (stdout, stderr) = (tree.target().join("stdout"), tree.target().join("stderr"));
    std::fs::create_dir_all(tree.target())?;
    let mut child = Command::new(cargo())
        .arg("test")
        .arg("--no-fail-fast")
        .args(tests)
        .args(more)
        .current_dir(tree.root())
        .env("CARGO_TARGET_DIR", tree.target())
        // That it fails is all that is asked; a smaller example costs minutes.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&stdout)?)
        .stderr(std::fs::File::create(&stderr)?)
        .spawn()?;
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            // The group: a test that loops outlives the cargo that started it.
            Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
            child.wait()?;
            return Err(format!("it ran for more than {} s", LIMIT.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    Ok(Output { status, stdout: std::fs::read(stdout)?, stderr: std::fs::read(stderr)? })
}

fn failed_tests(output: &str) -> Vec<String> {
    let failed = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_failed_are_read_from_the_output() {
        let output = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d - should panic ... FAILED\n\nfailures:\n";
        assert_eq!(failed_tests(output), ["c", "d - should panic"]);
    }
}
