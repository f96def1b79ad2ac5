//! The process tier: three guard nodes, the signers alpha and beta and a toy chain, all real processes and protocols,
//! hit by one fault after the other.
//!
//! Every test ends with the same checks (`checks`): no conflicting pair in the signers' taps nor in the chain's own
//! ledger, every signature approved in the audit trail, and signing goes on. Faults of single crates are tested there:
//! data directories in `crates/node/tests`, broken frames and wrong chains at one signer in `crates/signer/tests`.
//!
//! `INTERLOCK_BIN` names another `interlock` to test; without it this workspace's is built.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed step is a failed test; a failed test says where its logs are"
)]

mod bad_input;
mod checks;
mod guard_nodes;
mod holders;
mod members;
mod program;
mod second_process;
mod world;
