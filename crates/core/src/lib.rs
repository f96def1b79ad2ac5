//! The rule book: one total, deterministic function from (state, command) to verdict.
//!
//! Lives here: the replicated state, the commands that change it, the verdicts they get and the rules that decide
//! (`docs/spec/rules.md` carries the same numbers as [`Rule`]). May not live here: I/O, clocks, randomness, async,
//! hash maps, floats, anything of `std`. Time enters only as data inside a command.
//!
//! Keeps: S1 no conflict, S3 one holder, S4 monotone watermarks, S6 absent means refuse.
#![no_std]
#![deny(clippy::float_arithmetic)] // Rounding may differ between machines; verdicts may not.

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
pub mod book;
pub mod cometbft;
pub mod command;
pub mod denial;
mod denial_text;
pub mod ethereum;
pub mod generic;
pub mod ids;
pub mod intent;
pub mod invariant;
pub mod key;
mod lease;
mod names;
mod operator;
pub mod rule;
mod shared;
mod signing;
pub mod state;
pub mod text;
pub mod tezos;
pub mod verdict;
pub mod window;

pub use audit::AuditChain;
pub use book::Book;
pub use command::{Action, Command};
pub use denial::Denial;
pub use ids::{ClusterId, Digest, Epoch, Holder, Incarnation, KeyId, LogPosition};
pub use intent::{Claim, Intent, Position, Watermark};
pub use invariant::Invariant;
pub use key::{ChainIdentity, KeyRecord, KeyState, Policy, Protocol, PublicKey};
pub use rule::Rule;
pub use state::State;
pub use text::{ChainId, KeyName, NodeName, Reason, SignerId};
pub use verdict::{Approval, Approved, Grant, Reserved, Verdict};
pub use window::Windows;
