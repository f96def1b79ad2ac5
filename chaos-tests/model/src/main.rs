//! `cargo run --release -p interlock-model -- [--large]`: explores every world and prints the page of
//! results.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool for developers prints")]

use interlock_model::{Size, page};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (size, flag) = match arguments[..] {
        [] => (Size::Small, ""),
        ["--large"] => (Size::Large, " -- --large"),
        _ => {
            eprintln!("usage: interlock-model [--large]");
            return ExitCode::from(2);
        }
    };
    let (page, good) = page(size, |line| eprint!("{line}"));
    println!(
        "# Model checking: results\n\nWritten by `cargo run --release -p interlock-model{flag}`; do not edit.\n"
    );
    println!("{page}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
