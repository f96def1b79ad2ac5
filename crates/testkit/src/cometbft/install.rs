//! Installs the CometBFT node with `go install`, once per version, into the build directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::process::{RunError, run_to_end};

/// The version every network runs.
pub const VERSION: &str = "v0.38.25";

/// The node could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Go is not installed.
    #[error(
        "CometBFT {VERSION} is built from source and needs the Go toolchain (1.22 or newer) in PATH: {0}"
    )]
    NoGo(RunError),
    /// The directory for the node could not be made or written.
    #[error("cannot write to {directory}: {source}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `go install` failed.
    #[error("go install of CometBFT {VERSION} failed; it needs the Go module proxy: {0}")]
    Build(RunError),
    /// The installed program is not the version asked for.
    #[error("{program} says it is version {found:?}, not {VERSION}; remove it and try again")]
    WrongVersion {
        /// The program.
        program: PathBuf,
        /// What it printed.
        found: String,
    },
    /// The installed program does not run.
    #[error("the installed node does not run: {0}")]
    DoesNotRun(RunError),
}

/// Whether a Go toolchain answers.
pub fn go_is_there() -> Result<(), InstallError> {
    run_to_end(Command::new("go").arg("version")).map(drop).map_err(InstallError::NoGo)
}

/// The node program under `chains_directory`, installed when it is not there yet, checked in either case.
pub fn install(chains_directory: &Path) -> Result<PathBuf, InstallError> {
    let directory = chains_directory.join(format!("cometbft-{VERSION}"));
    let program = directory.join("cometbft");
    // Tests of one process install once; another process sees the program only when it is complete.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let installing = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !program.exists() {
        build(&directory, &program)?;
    }
    drop(installing);
    let found = run_to_end(Command::new(&program).arg("version")).map_err(InstallError::DoesNotRun)?;
    let found = found.trim().to_owned();
    if format!("v{found}") != VERSION {
        return Err(InstallError::WrongVersion { program, found });
    }
    Ok(program)
}

/// Builds beside the final place and moves the finished program there.
fn build(directory: &Path, program: &Path) -> Result<(), InstallError> {
    go_is_there()?;
    let directory_error = |source| InstallError::Directory { directory: directory.to_owned(), source };
    let unfinished = directory.join(format!("unfinished-{}", std::process::id()));
    std::fs::create_dir_all(&unfinished).map_err(directory_error)?;
    let package = format!("github.com/cometbft/cometbft/cmd/cometbft@{VERSION}");
    let mut go = Command::new("go");
    go.args(["install", &package]).env("GOBIN", &unfinished).env("GOFLAGS", "-mod=mod");
    run_to_end(&mut go).map_err(InstallError::Build)?;
    std::fs::rename(unfinished.join("cometbft"), program).map_err(directory_error)?;
    std::fs::remove_dir(&unfinished).map_err(directory_error)
}
