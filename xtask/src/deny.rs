//! `cargo xtask deny`: cargo-deny, which is too slow to build to be part of every test run.

use std::process::Command;

use crate::{Outcome, cargo, workspace_root};

pub(crate) fn run() -> Outcome<()> {
    let there = Command::new(cargo()).args(["deny", "--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return Err("cargo-deny is not installed; install it with: cargo install --locked cargo-deny".into());
    }
    let status = Command::new(cargo())
        .args(["deny", "--workspace", "check"])
        .current_dir(workspace_root())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo deny found problems ({status})").into()) }
}
