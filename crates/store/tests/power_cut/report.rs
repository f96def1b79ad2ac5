//! What a layer found, as one JSON line and an exit code.

use std::process::ExitCode;

/// Something acknowledged was lost, or a cut did not reopen.
const EXIT_LOST: u8 = 1;
/// The command line is wrong.
pub(crate) const EXIT_USAGE: u8 = 2;
/// The layer could not run on this machine: it proved nothing.
const EXIT_NOT_RUN: u8 = 3;

/// A layer that ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Name of the layer.
    pub(crate) layer: &'static str,
    /// Power cuts, those during a start included.
    pub(crate) cuts: u64,
    /// Acknowledgements that were checked after a cut.
    pub(crate) acknowledged: u64,
    /// Broken promises. The run ends with the first one.
    pub(crate) lost: u64,
    /// The first broken promise.
    pub(crate) first_loss: Option<String>,
}

/// What became of a layer.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It ran.
    Ran(Report),
    /// This machine lacks something that it needs.
    NotRun {
        /// Name of the layer.
        layer: &'static str,
        /// What is lacking.
        reason: String,
    },
}

impl Report {
    pub(crate) fn new(layer: &'static str) -> Report {
        Report { layer, ..Report::default() }
    }

    /// Notes a broken promise.
    pub(crate) fn lose(&mut self, violation: String) {
        self.lost += 1;
        self.first_loss.get_or_insert(violation);
    }
}

impl Outcome {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            // A run that acknowledged nothing proves nothing either.
            Outcome::Ran(report) if report.lost == 0 && report.acknowledged > 0 => ExitCode::SUCCESS,
            Outcome::Ran(_) => ExitCode::from(EXIT_LOST),
            Outcome::NotRun { .. } => ExitCode::from(EXIT_NOT_RUN),
        }
    }

    pub(crate) fn json(&self) -> String {
        match self {
            Outcome::Ran(Report { layer, cuts, acknowledged, lost, first_loss }) => {
                let first_loss = first_loss.as_ref().map_or("null".to_owned(), |text| quoted(text));
                format!(
                    "{{\"layer\":\"{layer}\",\"cuts\":{cuts},\"acknowledged\":{acknowledged},\"lost\":{lost},\
                     \"first_loss\":{first_loss}}}"
                )
            }
            Outcome::NotRun { layer, reason } => {
                format!("{{\"layer\":\"{layer}\",\"not_run\":{}}}", quoted(reason))
            }
        }
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
