//! What a command can end with, its code, and how it is told to a person.

use crate::classify::{
    backup_code, enroll_code, format_code, node_code, operator_code, restore_code, signer_code, stop_code,
};
use crate::codes::{self, Code};
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::pki::PkiError;
use interlock_client::OperatorError;
use interlock_node::{BackupError, FormatError, RestoreError, StopError};
use interlock_proto::ConversionError;
use interlock_signer::EnrollError;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("{problem}")]
    ClaimMissing { problem: String },
    #[error("{}: {problem}", path.display())]
    InputFile { path: PathBuf, problem: String },
    #[error("nothing says what was signed since this record was saved; nothing was made")]
    FloorsMissing,
    #[error("{url}: {problem}")]
    ChainHead { url: String, problem: String },
    #[error("{name}: height {height} carries a signature of {address}: somebody still signs with this key")]
    StillSigns { name: String, height: u64, address: String },
    #[error("{}: {error}", path.display())]
    Backup { path: PathBuf, error: Box<BackupError> },
    #[error("nothing was restored: {0}")]
    Restore(Box<RestoreError>),
    #[error("{argument} {value:?}: {problem}")]
    Argument { argument: &'static str, value: String, problem: String },
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("{message}")]
    NoSuchKey { message: String },
    #[error(
        "a node that joins needs the id of its cluster: give --cluster-id, as `cluster members` shows it"
    )]
    JoinsNothing,
    #[error(
        "node {node_id} did not catch up within {seconds} s ({}); it follows and does not vote yet",
        crate::members::behind_text(*behind)
    )]
    NotCaughtUp { node_id: u64, behind: u64, seconds: u64 },
    #[error("the answer makes no sense: {problem}")]
    Answer { problem: String },
    #[error("the node is not formatted: {0}")]
    Format(Box<FormatError>),
    #[error("the node does not start: {0}")]
    Node(Box<interlock_node::StartError>),
    #[error("the node has stopped: {0}")]
    NodeStopped(StopError),
    #[error("cannot enrol: {0}")]
    Enroll(Box<EnrollError>),
    #[error("the signer does not start: {0}")]
    Signer(Box<interlock_signer::StartError>),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("the audit trail does not hold: {problem}")]
    AuditBroken { problem: String },
    #[error("cannot read the audit trail: {problem}")]
    AuditUnreadable { problem: String },
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
}

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        Self::Restore(Box::new(error))
    }
}

impl From<FormatError> for CliError {
    fn from(error: FormatError) -> Self {
        Self::Format(Box::new(error))
    }
}

impl From<interlock_node::StartError> for CliError {
    fn from(error: interlock_node::StartError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<EnrollError> for CliError {
    fn from(error: EnrollError) -> Self {
        Self::Enroll(Box::new(error))
    }
}

impl From<interlock_signer::StartError> for CliError {
    fn from(error: interlock_signer::StartError) -> Self {
        Self::Signer(Box::new(error))
    }
}

impl From<ConversionError> for CliError {
    fn from(error: ConversionError) -> Self {
        Self::Answer { problem: error.to_string() }
    }
}

impl CliError {
    pub(crate) fn backup(path: &Path, error: BackupError) -> Self {
        Self::Backup { path: path.to_owned(), error: Box::new(error) }
    }

    pub(crate) fn code(&self) -> &'static Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Pki(error) => error.code(),
            Self::Argument { .. } => &codes::BAD_ARGUMENT,
            Self::ClaimMissing { .. } => &codes::CLAIM_MISSING,
            Self::InputFile { .. } => &codes::INPUT_FILE_WRONG,
            Self::FloorsMissing => &codes::FLOORS_MISSING,
            Self::ChainHead { .. } => &codes::CHAIN_HEAD_UNKNOWN,
            Self::StillSigns { .. } => &codes::KEY_STILL_SIGNS,
            Self::Backup { error, .. } => backup_code(error),
            Self::Restore(error) => restore_code(error),
            Self::Operator(error) => operator_code(error),
            Self::NoSuchKey { .. } => &codes::NO_SUCH_KEY,
            Self::JoinsNothing => &codes::BAD_ARGUMENT,
            Self::NotCaughtUp { .. } => &codes::NOT_CAUGHT_UP,
            Self::Answer { .. } => &codes::ANSWER_UNREADABLE,
            Self::Format(error) => format_code(error),
            Self::Node(error) => node_code(error),
            Self::NodeStopped(error) => stop_code(error),
            Self::Enroll(error) => enroll_code(error),
            Self::Signer(error) => signer_code(error),
            Self::Signals(_) => &codes::SIGNER_FAILED,
            Self::Demo(_) => &codes::DEMO_FAILED,
            Self::AuditBroken { .. } => &codes::AUDIT_BROKEN,
            Self::AuditUnreadable { .. } => &codes::AUDIT_UNREADABLE,
            Self::Output(_) => &codes::OUTPUT_FAILED,
        }
    }

    /// Tells the person at the terminal and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = self.code();
        let text = format!("error {code}: {self}\nhint: {}\npage: docs/errors/{code}.md\n", code.hint);
        // Without stderr there is nobody left to tell; the exit code still says it.
        let _nobody_listens = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(code.exit as u8)
    }
}
