//! The rules as tables and as properties, each checked against a second formulation written from the specification.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod build;
mod conflict;
mod encoding;
mod ethereum;
mod filepv;
mod golden;
mod lock;
mod oracle;
mod properties;
mod regressions;
mod steps;
mod tezos;
mod world;
