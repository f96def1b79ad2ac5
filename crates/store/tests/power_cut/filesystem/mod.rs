//! stub
use crate::arguments::{Kind, WriteOptions};
use crate::planted::Planted;
use crate::report::Outcome;
use std::process::ExitCode;
pub(crate) fn run(kind: Kind, _cuts: u64, _seed: u64, _planted: Planted) -> Outcome {
    Outcome::NotRun { layer: kind.name(), reason: "stub".into() }
}
pub(crate) fn write(_o: &WriteOptions) -> ExitCode {
    ExitCode::SUCCESS
}
