//! Ethereum: interchange files, our own and the conformance suite of EIP-3076.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod conformance;
mod files;
