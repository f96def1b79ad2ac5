//! The processes of the demo: nodes and signers, each this very binary.
//!
//! Keeps: only processes started here are ever ended, and all of them end with the demo, however it ends.

use super::DemoError;
use super::world::World;
use std::collections::BTreeMap;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a process may take for an orderly end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// Lines of a log that an error shows.
const LOG_TAIL_LINES: usize = 12;

/// The running processes by name.
#[derive(Default)]
pub(super) struct Children {
    running: BTreeMap<String, Child>,
}

impl Children {
    /// Runs a command to its end and returns what it printed.
    pub(super) async fn run(world: &World, name: &str, arguments: &[&str]) -> Result<String, DemoError> {
        let output = command(world, arguments)?
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| DemoError::Spawn { name: name.to_owned(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let log = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(DemoError::Ended { name: name.to_owned(), status: output.status, log })
    }

    /// Starts a process that runs until it is ended. Its pipe to us closes with us, and it ends then too.
    pub(super) fn start(&mut self, world: &World, name: &str, arguments: &[&str]) -> Result<(), DemoError> {
        let spawn_error = |source| DemoError::Spawn { name: name.to_owned(), source };
        let log = File::options().create(true).append(true).open(world.path(&format!("{name}.log")));
        let log = log.map_err(spawn_error)?;
        let child = command(world, arguments)?
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(spawn_error)?;
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    /// Kills a process with SIGKILL.
    pub(super) async fn kill(&mut self, name: &str) -> Result<(), DemoError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let child = self.running.remove(name).ok_or_else(missing);
        let killed = match child {
            Ok(mut child) => child.kill().await,
            Err(error) => Err(error),
        };
        killed.map_err(|source| DemoError::Kill { name: name.to_owned(), source })
    }

    /// An error when a process has ended by itself.
    pub(super) fn must_run(&mut self, world: &World) -> Result<(), DemoError> {
        for (name, child) in &mut self.running {
            let status = child.try_wait().map_err(|source| DemoError::Kill { name: name.clone(), source })?;
            if let Some(status) = status {
                return Err(DemoError::Ended { name: name.clone(), status, log: log_tail(world, name) });
            }
        }
        Ok(())
    }

    /// Ends all processes in order: their pipes close, they shut down; whoever does not is killed.
    pub(super) async fn end_all(&mut self) -> Result<(), DemoError> {
        for child in self.running.values_mut() {
            drop(child.stdin.take());
        }
        let deadline = tokio::time::Instant::now() + END_TIMEOUT;
        while let Some((name, mut child)) = self.running.pop_first() {
            if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
                child.kill().await.map_err(|source| DemoError::Kill { name, source })?;
            }
        }
        Ok(())
    }
}

fn command(world: &World, arguments: &[&str]) -> Result<Command, DemoError> {
    let program = std::env::current_exe()
        .map_err(|source| DemoError::Spawn { name: "interlock".to_owned(), source })?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(world.directory()).env("NO_COLOR", "1").kill_on_drop(true);
    Ok(command)
}

fn log_tail(world: &World, name: &str) -> String {
    let log = std::fs::read(world.path(&format!("{name}.log"))).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
