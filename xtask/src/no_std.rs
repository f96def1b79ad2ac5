//! `cargo xtask no-std`: core builds and links without std.
//!
//! Builds the static library `crates/core/no_std`, which brings a panic handler and an allocator of its own: wherever
//! `std` is linked as well, rustc finds two panic handlers and refuses. That proves it on any host, with nothing to
//! install. Where the toolchain has, or can get, a target that has no std at all, that is built too.

use std::path::Path;
use std::process::Command;

use crate::{Outcome, cargo, workspace_root};

/// A target for which no std exists. Not x86-64: without vector registers the SHA-256 of that processor does not
/// compile.
const BARE_TARGET: &str = "riscv64gc-unknown-none-elf";

/// The crate that is built, below the workspace.
const PROOF: &str = "crates/core/no_std";

pub(crate) fn run() -> Outcome<()> {
    let root = workspace_root();
    let proof = root.join(PROOF);
    // The same versions as everywhere: cargo drops from the copy what the proof does not need.
    std::fs::copy(root.join("Cargo.lock"), proof.join("Cargo.lock"))?;
    build(&root, &proof, None)?;
    if bare_target_is_there(&proof)? {
        build(&root, &proof, Some(BARE_TARGET))
    } else {
        eprintln!(
            "NOT RUN: core for {BARE_TARGET}, which this toolchain neither has nor gets; proven for the host"
        );
        Ok(())
    }
}

fn build(root: &Path, proof: &Path, target: Option<&str>) -> Outcome<()> {
    let mut command = Command::new(cargo());
    command.args(["build", "--quiet", "--target-dir"]).arg(root.join("target/no-std")).current_dir(proof);
    command.args(target.iter().flat_map(|target| ["--target", target]));
    let status = command.status()?;
    let target = target.unwrap_or("the host");
    if !status.success() {
        return Err(format!("core does not build without std for {target} ({status})").into());
    }
    eprintln!("core builds and links without std for {target}");
    Ok(())
}

/// Asks rustup for the target when it is not there; without rustup or network the answer is no.
fn bare_target_is_there(proof: &Path) -> Outcome<bool> {
    if has_bare_target(proof)? {
        return Ok(true);
    }
    let added = Command::new("rustup").args(["target", "add", BARE_TARGET]).current_dir(proof).output();
    Ok(added.is_ok_and(|output| output.status.success()) && has_bare_target(proof)?)
}

fn has_bare_target(proof: &Path) -> Outcome<bool> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(proof).output()?;
    let sysroot = String::from_utf8(output.stdout)?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(BARE_TARGET).is_dir())
}
