//! What a command can end with, its code, and how it is told to a person.

use crate::codes::{self, Code};
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::pki::PkiError;
use interlock_client::OperatorError;
use interlock_proto::ConversionError;
use std::io::Write as _;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("{argument} {value:?}: {problem}")]
    Argument { argument: &'static str, value: String, problem: String },
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("{message}")]
    NoSuchKey { message: String },
    #[error("the answer makes no sense: {problem}")]
    Answer { problem: String },
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
}

impl From<ConversionError> for CliError {
    fn from(error: ConversionError) -> Self {
        Self::Answer { problem: error.to_string() }
    }
}

impl CliError {
    pub(crate) fn code(&self) -> &'static Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Pki(error) => error.code(),
            Self::Argument { .. } => &codes::BAD_ARGUMENT,
            Self::Operator(OperatorError::Denied { .. }) => &codes::REFUSED,
            Self::Operator(OperatorError::Unavailable { .. }) => &codes::UNAVAILABLE,
            Self::Operator(OperatorError::Unknown { .. }) => &codes::OUTCOME_UNKNOWN,
            Self::Operator(OperatorError::NotAuthorised { .. }) => &codes::NOT_PERMITTED,
            Self::Operator(OperatorError::Invalid { .. }) => &codes::BAD_ARGUMENT,
            Self::NoSuchKey { .. } => &codes::NO_SUCH_KEY,
            Self::Answer { .. } => &codes::ANSWER_UNREADABLE,
            Self::Demo(_) => &codes::DEMO_FAILED,
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
