//! Finds the `interlock` under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use interlock_testkit::process::run_to_end;

/// The program: the one in `INTERLOCK_BIN`, else this workspace's, built once with the profile of this test.
pub(crate) fn interlock() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("INTERLOCK_BIN") {
        Some(given) => {
            let given = PathBuf::from(given);
            assert!(given.is_file(), "INTERLOCK_BIN is {}, which is no file", given.display());
            given
        }
        None => build(),
    })
}

/// Builds with the features of the whole workspace, as `cargo test --workspace` did, so that nothing is built twice.
fn build() -> PathBuf {
    let this_test = std::env::current_exe().unwrap();
    let profile = this_test.ancestors().nth(2).expect("cargo puts tests into target/<profile>/deps");
    let target = profile.parent().expect("a profile lies in a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args(["build", "--workspace"]);
    command.args(["--bin", "interlock", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    run_to_end(&mut command).unwrap();
    profile.join("interlock")
}
