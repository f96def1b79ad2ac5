//! The state files of other signers of CometBFT chains: what they say was signed last, and what is written for them.
//!
//! CometBFT's own `priv_validator_state.json` counts steps 1 (proposal), 2 (prevote), 3 (precommit); the state of
//! tmkms counts the same steps 0, 1, 2. A file read by the other's rule would be off by one step, which is a double
//! sign waiting to happen. So the form is never guessed, and each reader refuses the other's files: CometBFT writes
//! the round as a number, tmkms as a string.

use interlock_core::cometbft::{Position, Step};
use serde::Deserialize;
use serde_json::Value;

/// Largest round that either signer knows.
const ROUND_MAX: u32 = i32::MAX as u32;

/// Whose form a state file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateForm {
    /// `priv_validator_state.json` of CometBFT.
    Cometbft,
    /// The consensus state of tmkms.
    Tmkms,
}

/// Why a file is not understood. Nothing is taken from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFileError {
    /// No JSON, a field missing, unknown, or of the wrong type.
    #[error("it is not the state of {form}: {problem}")]
    Malformed {
        /// The form it was read as.
        form: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// It has the form of the other signer.
    #[error("the round is a {found}, as {other} writes it: read it as the state of {other}")]
    OtherForm {
        /// How the round is written.
        found: &'static str,
        /// Who writes it so.
        other: &'static str,
    },
    /// Not a height.
    #[error("height {found:?} is not a number from 0 on")]
    Height {
        /// As it came.
        found: String,
    },
    /// Not a round.
    #[error("round {found} is not a number from 0 to {ROUND_MAX}")]
    Round {
        /// As it came.
        found: String,
    },
    /// Not a step.
    #[error("step {found} is none of {allowed}")]
    Step {
        /// As it came.
        found: i64,
        /// What may stand there.
        allowed: &'static str,
    },
    /// No signer writes such a position; somebody edited the file.
    #[error(
        "height {height}, round {round}, step {step} is written by no signer: if it was edited by hand, say what it \
         means with --at-height"
    )]
    Impossible {
        /// As it came.
        height: u64,
        /// As it came.
        round: u32,
        /// As it came.
        step: i64,
    },
}

impl StateForm {
    fn name(self) -> &'static str {
        match self {
            Self::Cometbft => "CometBFT",
            Self::Tmkms => "tmkms",
        }
    }
}

/// The fields of both forms; those that are not needed must still be known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cometbft {
    height: String,
    round: Value,
    step: i64,
    #[serde(default, rename = "signature")]
    _signature: Option<String>,
    #[serde(default, rename = "signbytes")]
    _sign_bytes: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tmkms {
    height: String,
    round: Value,
    step: i64,
    #[serde(default, rename = "block_id")]
    _block_id: Option<Value>,
}

/// Reads what was signed last; `None` when the file says outright that nothing was.
///
/// # Errors
/// See [`StateFileError`]. An empty or cut file is an error and never "nothing signed".
pub fn read_state_file(form: StateForm, text: &str) -> Result<Option<Position>, StateFileError> {
    let malformed = |error: serde_json::Error| StateFileError::Malformed {
        form: form.name(),
        problem: error.to_string(),
    };
    let (height, round, step) = match form {
        StateForm::Cometbft => {
            let Cometbft { height, round, step, .. } = serde_json::from_str(text).map_err(malformed)?;
            (height, round, step)
        }
        StateForm::Tmkms => {
            let Tmkms { height, round, step, .. } = serde_json::from_str(text).map_err(malformed)?;
            (height, round, step)
        }
    };
    position(form, parse_height(&height)?, parse_round(form, &round)?, step)
}

fn parse_height(text: &str) -> Result<u64, StateFileError> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let parsed = text.parse().ok().filter(|height| digits && i64::try_from(*height).is_ok());
    parsed.ok_or_else(|| StateFileError::Height { found: text.to_owned() })
}

fn parse_round(form: StateForm, round: &Value) -> Result<u32, StateFileError> {
    let parsed = match (form, round) {
        (StateForm::Cometbft, Value::String(_)) => {
            return Err(StateFileError::OtherForm { found: "string", other: "tmkms" });
        }
        (StateForm::Tmkms, Value::Number(_)) => {
            return Err(StateFileError::OtherForm { found: "number", other: "CometBFT" });
        }
        (_, Value::Number(number)) => number.as_u64().and_then(|round| u32::try_from(round).ok()),
        (_, Value::String(text)) if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    let found = || StateFileError::Round { found: round.to_string() };
    parsed.filter(|round| *round <= ROUND_MAX).ok_or_else(found)
}

fn position(
    form: StateForm,
    height: u64,
    round: u32,
    found: i64,
) -> Result<Option<Position>, StateFileError> {
    if (height, round, found) == (0, 0, 0) {
        return Ok(None);
    }
    let (first, allowed) = match form {
        StateForm::Cometbft => (1, "0 (none), 1 (proposal), 2 (prevote), 3 (precommit)"),
        StateForm::Tmkms => (0, "0 (proposal), 1 (prevote), 2 (precommit)"),
    };
    let impossible = StateFileError::Impossible { height, round, step: found };
    let step = match found.checked_sub(first) {
        Some(0) => Step::Proposal,
        Some(1) => Step::Prevote,
        Some(2) => Step::Precommit,
        Some(-1) if form == StateForm::Cometbft => return Err(impossible),
        _ => return Err(StateFileError::Step { found, allowed }),
    };
    if height == 0 {
        return Err(impossible);
    }
    Ok(Some(Position { height, round, step }))
}

/// The state file that makes another signer refuse everything up to and including this position; without one, the file
/// of a signer that never signed.
#[must_use]
pub fn write_state_file(form: StateForm, last: Option<Position>) -> String {
    let step = match (form, last.map(|last| last.step)) {
        (_, None) => 0,
        (StateForm::Cometbft, Some(step)) => 1 + offset(step),
        (StateForm::Tmkms, Some(step)) => offset(step),
    };
    let (height, round) = last.map_or((0, 0), |last| (last.height, last.round));
    match form {
        StateForm::Cometbft => {
            format!("{{\n  \"height\": \"{height}\",\n  \"round\": {round},\n  \"step\": {step}\n}}\n")
        }
        StateForm::Tmkms => format!(
            "{{\n  \"height\": \"{height}\",\n  \"round\": \"{round}\",\n  \"step\": {step},\n  \
             \"block_id\": null\n}}\n"
        ),
    }
}

fn offset(step: Step) -> i64 {
    match step {
        Step::Proposal => 0,
        Step::Prevote => 1,
        Step::Precommit => 2,
    }
}

/// The position that stands for a whole height: the last one of it that either signer knows.
#[must_use]
pub fn end_of_height(height: u64) -> Position {
    Position { height, round: ROUND_MAX, step: Step::Precommit }
}
