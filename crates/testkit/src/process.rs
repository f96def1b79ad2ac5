//! Supervised child processes: own process group, output to a log file, every fault a test needs.
//!
//! Only processes started here are ever signalled. A process dies with its `Process` value, and also when the test
//! process itself is killed: a small shell waits on a pipe that closes with us (its leash) and ends the group.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait::{Seen, wait_until};

/// How much of a log an error message shows.
const LOG_TAIL_BYTES: u64 = 3_000;

/// How to start a process; starting it again is a restart on the same log.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Short name for messages.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables added to ours.
    pub environment: BTreeMap<String, String>,
    /// Standard output and error are appended here.
    pub log: PathBuf,
}

/// A process could not be started or signalled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name} ({program}): {source}")]
    Start {
        /// Name of the process.
        name: String,
        /// The program file.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its log file could not be opened.
    #[error("cannot open the log {log} of {name}: {source}")]
    Log {
        /// Name of the process.
        name: String,
        /// The log file.
        log: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before the signal.
    #[error("{name} had ended before ({status}); its log ends with:\n{log_tail}")]
    AlreadyEnded {
        /// Name of the process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// End of its log.
        log_tail: String,
    },
    /// The system refused a signal or a wait.
    #[error("{name}: {action} failed: {source}")]
    System {
        /// Name of the process.
        name: String,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ignored the request to end.
    #[error("{name} did not end within {grace_ms} ms of SIGTERM; its log ends with:\n{log_tail}")]
    DidNotEnd {
        /// Name of the process.
        name: String,
        /// How long it had.
        grace_ms: u128,
        /// End of its log.
        log_tail: String,
    },
}

/// A running (or ended) process that this test owns.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    child: Child,
    ended: Option<ExitStatus>,
    leash: Option<(Child, ChildStdin)>,
}

impl ProcessSpec {
    /// A process `name` that runs `program` and logs to `log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            log: log.into(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds one environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts it in a process group of its own.
    pub fn start(&self) -> Result<Process, ProcessError> {
        let open = || OpenOptions::new().create(true).append(true).open(&self.log);
        let log_error = |source| ProcessError::Log { name: self.name.clone(), log: self.log.clone(), source };
        let start_error =
            |source| ProcessError::Start { name: self.name.clone(), program: self.program.clone(), source };
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(open().map_err(log_error)?)
            .stderr(open().map_err(log_error)?)
            .process_group(0)
            .spawn()
            .map_err(start_error)?;
        let mut process = Process { spec: self.clone(), child, ended: None, leash: None };
        process.leash = Some(leash(process.child.id()).map_err(start_error)?);
        Ok(process)
    }
}

/// Starts the shell that ends process group `group` when our end of its standard input closes.
fn leash(group: u32) -> io::Result<(Child, ChildStdin)> {
    let mut shell = Command::new("sh")
        .arg("-c")
        .arg(format!("read -r _; kill -s KILL -- -{group} 2>/dev/null"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let pipe = shell.stdin.take().expect("standard input was asked to be a pipe");
    Ok((shell, pipe))
}

impl Process {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it was started.
    pub fn spec(&self) -> &ProcessSpec {
        &self.spec
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        if self.ended.is_none() {
            let status = self.child.try_wait();
            self.ended = status.map_err(|source| self.system_error("wait", source))?;
        }
        Ok(self.ended)
    }

    /// Fails when it has ended, with the end of its log.
    pub fn must_run(&mut self) -> Result<(), ProcessError> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(ProcessError::AlreadyEnded {
                name: self.spec.name.clone(),
                status,
                log_tail: self.log_tail(),
            }),
        }
    }

    /// Sends SIGKILL to its group and reaps it. A process that had ended by itself is an error: the fault did not hit.
    pub fn kill(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL, "kill -9")?;
        self.reap()
    }

    /// Stops it with SIGSTOP: it keeps its connections and hears nothing.
    pub fn pause(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP, "pause")
    }

    /// Lets a paused process run on.
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT, "resume")
    }

    /// Asks it to end with SIGTERM and waits up to `grace`.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM, "terminate")?;
        let name = self.spec.name.clone();
        let ended = wait_until(&name, grace, || match self.exit_status() {
            Ok(Some(status)) => Seen::Done(Ok(status)),
            Ok(None) => Seen::Pending("still running".into()),
            Err(error) => Seen::Done(Err(error)),
        });
        ended.unwrap_or_else(|_| {
            Err(ProcessError::DidNotEnd { name, grace_ms: grace.as_millis(), log_tail: self.log_tail() })
        })
    }

    /// The end of its log, for error messages.
    pub fn log_tail(&self) -> String {
        read_tail(&self.spec.log).unwrap_or_else(|error| format!("(log unreadable: {error})"))
    }

    fn signal(&mut self, signal: Signal, action: &'static str) -> Result<(), ProcessError> {
        self.must_run()?;
        let group = Pid::from_child(&self.child);
        kill_process_group(group, signal).map_err(|errno| self.system_error(action, errno.into()))
    }

    fn reap(&mut self) -> Result<(), ProcessError> {
        let status = self.child.wait();
        self.ended = Some(status.map_err(|source| self.system_error("wait", source))?);
        Ok(())
    }

    fn system_error(&self, action: &'static str, source: io::Error) -> ProcessError {
        ProcessError::System { name: self.spec.name.clone(), action, source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The leash goes first: it must never outlive the group it could signal. A drop cannot report errors; a
        // process that survives this is ended by nobody else, and its log shows it.
        if let Some((mut shell, pipe)) = self.leash.take() {
            let _ = shell.kill();
            let _ = shell.wait();
            drop(pipe);
        }
        if matches!(self.exit_status(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn read_tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

/// Runs `command` to its end and returns its standard output; any other exit than success is an error with its output.
pub fn run_to_end(command: &mut Command) -> Result<String, RunError> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| RunError::Start { command: shown.clone(), source })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(RunError::Failed { command: shown, status: output.status, stdout, stderr })
}

/// A command that was run to its end did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// The whole command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("{command} failed ({status})\n{stdout}{stderr}")]
    Failed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn sleeper(directory: &Path) -> ProcessSpec {
        ProcessSpec::new("sleeper", "sleep", directory.join("sleeper.log")).argument("600")
    }

    fn state_of(id: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }

    fn wait_for_state(id: u32, wanted: Option<char>) {
        wait_until("a process state", Duration::from_secs(10), || match state_of(id) {
            state if state == wanted => Seen::Done(()),
            state => Seen::Pending(format!("{state:?}")),
        })
        .unwrap();
    }

    #[test]
    fn kill_reports_the_signal_and_refuses_a_second_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = sleeper(directory.path()).start().unwrap();
        process.must_run().unwrap();
        process.kill().unwrap();
        assert_eq!(process.exit_status().unwrap().unwrap().signal(), Some(9));
        assert!(matches!(process.kill(), Err(ProcessError::AlreadyEnded { .. })));
    }

    #[test]
    fn pause_resume_and_terminate() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = sleeper(directory.path()).start().unwrap();
        process.pause().unwrap();
        wait_for_state(process.id(), Some('T'));
        process.resume().unwrap();
        wait_for_state(process.id(), Some('S'));
        assert_eq!(process.terminate(Duration::from_secs(10)).unwrap().signal(), Some(15));
    }

    #[test]
    fn dropping_the_value_ends_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let process = sleeper(directory.path()).start().unwrap();
        let id = process.id();
        drop(process);
        assert_eq!(state_of(id), None);
    }

    #[test]
    fn the_leash_ends_the_group_when_our_end_of_the_pipe_closes() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = sleeper(directory.path()).start().unwrap();
        let (mut shell, pipe) = process.leash.take().unwrap();
        drop(pipe);
        shell.wait().unwrap();
        wait_for_state(process.id(), Some('Z'));
        assert_eq!(process.exit_status().unwrap().unwrap().signal(), Some(9));
    }

    #[test]
    fn an_early_end_is_reported_with_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let spec = ProcessSpec::new("failing", "sh", directory.path().join("failing.log"))
            .argument("-c")
            .argument("echo broken pipe dream; exit 3");
        let mut process = spec.start().unwrap();
        let error = wait_until("its end", Duration::from_secs(10), || match process.must_run() {
            Err(error) => Seen::Done(error),
            Ok(()) => Seen::Pending("running".into()),
        })
        .unwrap();
        assert!(error.to_string().contains("broken pipe dream"), "{error}");
    }
}
