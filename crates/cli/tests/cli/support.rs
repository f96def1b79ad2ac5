//! Runs the binary in a scratch directory and compares with golden files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No command tested here takes longer on a busy machine; one that hangs must not hang the tests.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A scratch directory that commands run in.
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `interlock` with the words of `line`.
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.run_with(line, |_| {})
    }

    pub(crate) fn run_with(&self, line: &str, change: impl FnOnce(&mut Command)) -> Ended {
        let mut command = self.command(line);
        change(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + TIMEOUT;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("`interlock {line}` did not end: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| self.neutral(&String::from_utf8(bytes).unwrap());
        Ended {
            code: output.status.code().expect("it ended by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
        command.args(line.split_whitespace()).current_dir(self.directory.path());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// The text without the name of the scratch directory, which differs each time.
    fn neutral(&self, text: &str) -> String {
        text.replace(&*self.directory.path().to_string_lossy(), "[DIR]")
    }

    /// Runs each line and returns a transcript.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let mut transcript = String::new();
        for line in lines {
            let ended = self.run(line);
            writeln!(transcript, "$ interlock {line}\n[exit {}]", ended.code).unwrap();
            for (name, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
                for line in text.lines() {
                    let line = without_field_list(line);
                    writeln!(transcript, "{}", format!("{name}: {line}").trim_end()).unwrap();
                }
            }
            transcript.push('\n');
        }
        transcript
    }
}

/// A setting that is added must not change the golden files of wrong configurations.
fn without_field_list(line: &str) -> String {
    match line.split_once("expected one of `") {
        Some((before, _)) => format!("{before}expected one of [FIELDS]"),
        None => line.to_owned(),
    }
}

/// Compares with `tests/golden/<name>`, or rewrites it.
pub(crate) fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("INTERLOCK_REWRITE").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs; if that is meant, run with INTERLOCK_REWRITE=1 and read the difference\n\
         --- expected\n{expected}\n--- actual\n{actual}"
    );
}
