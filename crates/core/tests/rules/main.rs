//! The rules as tables and as properties, each checked against a second formulation written from the specification.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod build;
mod encoding;
mod filepv;
mod lock;
mod oracle;
mod properties;
mod regressions;
