//! Developer tasks: `cargo xtask help`.
//!
//! Data goes to standard output, progress to standard error. Nothing here is part of the product.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool for developers prints")]

mod deny;
mod mutation;
mod no_std;
mod real_chain;
mod suite;
mod tidy;

use mutation::Show;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a task returns; the error is printed with its causes in its text.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
usage: cargo xtask TASK

  test [--require-chains]    everything that decides whether a change is good: format, lints, documentation, tidy,
                             tests, real chains. --require-chains makes a chain that did not run an error.
  real-chain [--release]     a real CometBFT network signs through the guard while parts of it are killed; one JSON line
  no-std                     core builds and links without std
  tidy                       style and structure rules that neither the compiler nor clippy checks
  mutation --crate core [--output json | --write]
                             plants safety bugs one at a time in a copy of the sources; each must be caught by a proof
  deny                       licences, advisories and banned crates (needs cargo-deny)
  help                       this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["test"] => suite::run(false),
        ["test", "--require-chains"] => suite::run(true),
        ["real-chain"] => real_chain::run(false),
        ["real-chain", "--release"] => real_chain::run(true),
        ["no-std"] => no_std::run(),
        ["tidy"] => tidy::run(),
        ["mutation", "--crate", name] => mutation::run(name, Show::Table),
        ["mutation", "--crate", name, "--output", "json"] => mutation::run(name, Show::Json),
        ["mutation", "--crate", name, "--write"] => mutation::run(name, Show::Write),
        ["deny"] => deny::run(),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [] => Err(format!("which task?\n\n{HELP}").into()),
        other => Err(format!("unknown task or option: {}\n\n{HELP}", other.join(" ")).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate lies in the workspace").to_owned()
}

/// The cargo that runs us.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
