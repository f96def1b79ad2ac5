//! `cargo xtask tidy`: rules of structure and style that neither the compiler nor clippy checks.
//!
//! Every check is a function from text to problems, so that its tests can hand it a bad sample. The same run is a test
//! of this crate.

mod arrows;
mod functions;
mod manifests;
mod masked;
mod ratchet;
mod rules;
mod text;

use std::fmt;
use std::path::Path;

use crate::{Outcome, workspace_root};

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    /// Relative to the workspace.
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A text file of the workspace.
struct SourceFile {
    path: String,
    text: String,
}

/// Runs every check and prints each problem as `file:line: what to do`.
pub(crate) fn run() -> Outcome<()> {
    let problems = problems(&workspace_root())?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} problem(s), listed above").into()),
    }
}

fn problems(root: &Path) -> Outcome<Vec<Problem>> {
    let files = text::read_files(root)?;
    let mut problems = arrows::check(&arrows::read_workspace(root)?);
    problems.extend(ratchet::check(&files));
    for file in &files {
        problems.extend(text::check(file));
        if file.path.ends_with("Cargo.toml") {
            problems.extend(manifests::check(file));
        }
    }
    problems.extend(arrows::check_core_is_no_std(&files));
    problems.extend(rules::check(&files));
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let problems = problems(&workspace_root()).unwrap();
        let listed: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(listed.is_empty(), "{} problem(s):\n{}", listed.len(), listed.join("\n"));
    }
}
