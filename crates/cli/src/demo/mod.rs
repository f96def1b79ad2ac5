//! `interlock demo`: a guard cluster, a chain and two signers on this machine; things are killed; the story is told.
//!
//! Every number comes from what happened. Signatures and conflicts are counted by the toy chain, which does not know
//! the guard's rules.

mod board;
mod children;
mod gaps;
mod ports;
mod screen;
mod story;
mod watch;
mod world;

use crate::args::DemoArgs;
use crate::error::CliError;
use crate::leash::told_to_end;
use crate::output;
use crate::pki::PkiError;
use interlock_client::OperatorError;
use interlock_toychain::{DoubleSignError, NodeError, NotConnected, StartError};
use serde::Serialize;
use std::process::ExitStatus;
use std::time::Duration;

/// The demo ends by then, whatever happens.
const TIME_LIMIT: Duration = Duration::from_secs(28);

/// What the demo saw. The JSON names are a promise to programs.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    signatures: u64,
    conflicts: usize,
    refused_double_signs: u64,
    failovers: Vec<Failover>,
}

/// One change of who signs or of who leads.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failover {
    cause: &'static str,
    /// Time without a signature that the change cost.
    gap_ms: u64,
}

/// Why the demo did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the scratch directory: {0}")]
    Scratch(std::io::Error),
    #[error("no free ports between {first} and {last} on 127.0.0.1")]
    NoPorts { first: u16, last: u16 },
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("cannot start {name}: {source}")]
    Spawn { name: String, source: std::io::Error },
    #[error("cannot end {name}: {source}")]
    Kill { name: String, source: std::io::Error },
    #[error("{name} ended by itself ({status}):\n{log}")]
    Ended { name: String, status: ExitStatus, log: String },
    #[error(transparent)]
    Chain(#[from] StartError),
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("the attempted double sign has no outcome: {0}")]
    DoubleSign(#[from] DoubleSignError),
    #[error("{step}: not within {waited_ms} ms; last seen: {seen}")]
    Late { step: &'static str, waited_ms: u128, seen: String },
    #[error("{0}")]
    MustNotHappen(String),
    #[error("not finished within {} s", TIME_LIMIT.as_secs())]
    TooLong,
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), CliError> {
    // Large, and built once.
    let story = Box::pin(story::tell());
    let summary = tokio::select! {
        told = tokio::time::timeout(TIME_LIMIT, story) => told.unwrap_or(Err(DemoError::TooLong)),
        signal = told_to_end(false) => {
            Err(signal.map_or_else(DemoError::Signals, DemoError::Interrupted))
        }
    };
    output::show(args.output, &summary?, draw)
}

fn draw(summary: &Summary) -> String {
    let rows =
        summary.failovers.iter().map(|failover| [failover.cause.to_owned(), failover.gap_ms.to_string()]);
    format!(
        "signatures {}, conflicting {}, double signs refused {}\n\n{}",
        summary.signatures,
        summary.conflicts,
        summary.refused_double_signs,
        output::table(["WHAT HAPPENED", "MS WITHOUT A SIGNATURE"], rows)
    )
}

fn random_u16() -> Result<u16, DemoError> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|error| DemoError::Random(error.to_string()))?;
    Ok(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_keeps_its_names() {
        let summary = Summary {
            signatures: 3,
            conflicts: 0,
            refused_double_signs: 1,
            failovers: vec![Failover { cause: "signer killed", gap_ms: 250 }],
        };
        let expected = "{\"signatures\":3,\"conflicts\":0,\"refused_double_signs\":1,\
                        \"failovers\":[{\"cause\":\"signer killed\",\"gap_ms\":250}]}";
        assert_eq!(serde_json::to_string(&summary).unwrap(), expected);
    }
}
