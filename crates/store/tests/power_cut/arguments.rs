//! The command line: which layer, how many cuts, which seed, which planted bug.

use std::path::PathBuf;

use crate::planted::Planted;

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// What `cargo test` runs.
    ShortRun,
    /// Cuts on the disk in memory.
    Simulated { cuts: u64, seed: u64, planted: Planted },
    /// Cuts on a real file system.
    Filesystem { kind: Kind, cuts: u64, seed: u64, planted: Planted },
    /// The process under test of the layer above: works in a directory until its storage fails.
    Write(WriteOptions),
}

/// A file system that can be shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
        }
    }
}

/// For the writing process.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    /// The mounted file system.
    pub(crate) directory: PathBuf,
    /// Which of the processes on it this is.
    pub(crate) life: u64,
    /// What it does wrong.
    pub(crate) planted: Planted,
}

const USAGE: &str = "usage: power_cut [simulated|ext4|xfs --cuts N [--seed N] [--planted NAME]]";

impl Task {
    /// Reads the command line. What the test runner passes to every test (a filter, say) asks for the short run.
    pub(crate) fn of_arguments(arguments: impl Iterator<Item = String>) -> Result<Task, String> {
        let arguments: Vec<String> = arguments.collect();
        let Some(first) = arguments.first() else { return Ok(Task::ShortRun) };
        let options = &arguments[1..];
        let kind = match first.as_str() {
            "simulated" => None,
            "ext4" => Some(Kind::Ext4),
            "xfs" => Some(Kind::Xfs),
            "write" => return write_options(options).map(Task::Write),
            _ => return Ok(Task::ShortRun),
        };
        let cuts = number(options, "--cuts")?.ok_or(USAGE)?;
        let seed = number(options, "--seed")?.unwrap_or(0);
        let planted = planted(options)?;
        Ok(match kind {
            None => Task::Simulated { cuts, seed, planted },
            Some(kind) => Task::Filesystem { kind, cuts, seed, planted },
        })
    }
}

fn write_options(options: &[String]) -> Result<WriteOptions, String> {
    let directory = value(options, "--directory").ok_or(USAGE)?.into();
    let life = number(options, "--life")?.ok_or(USAGE)?;
    Ok(WriteOptions { directory, life, planted: planted(options)? })
}

fn value<'a>(options: &'a [String], name: &str) -> Option<&'a str> {
    let position = options.iter().position(|option| option == name)?;
    options.get(position + 1).map(String::as_str)
}

fn number(options: &[String], name: &str) -> Result<Option<u64>, String> {
    value(options, name)
        .map(|text| text.parse().map_err(|_| format!("{name} {text} is no number")))
        .transpose()
}

fn planted(options: &[String]) -> Result<Planted, String> {
    value(options, "--planted").map_or(Ok(Planted::None), Planted::of_name)
}
