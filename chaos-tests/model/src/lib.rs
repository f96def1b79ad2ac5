//! Exhaustive model checking of the rule book: every state that a small world can reach, visited once.
//!
//! The cluster is [`interlock_core::Book`] and a signer's windows are [`interlock_core::Windows`]: the very
//! code that ships. Around them stand signer processes that crash, pause, retry and forget, a network that
//! loses, delays, reorders and repeats, a failure detector that is wrong, and an operator. Lives here: that
//! world, its invariants (one file each), and the planted bugs that show that each invariant bites. May not
//! live here: chance, clocks, sampling. What is not explored is excluded by a budget that the result prints.
//!
//! A pause of any length is a process that takes no step while others do; every such order is visited. A lost
//! message is one that is never delivered; a repeated one is delivered again: messages stay in the network
//! for good.
//!
//! What is merged, so that the worlds stay small, and why nothing is lost by it:
//! - A place in the log decides nothing, so all commands stand at one.
//! - A request without an answer is given up when its signer does the next thing; until then it is the same
//!   as one whose answer is late.
//! - A delivery that changes neither the cluster nor the network is judged by the invariants, and leads
//!   nowhere.
//! - An answer that its process can never use again is dropped.
//! - Commands of operators and of the failure detector arrive at once, but for the world that is about their
//!   being late.
//! - The same command to the same book is decided once and remembered.
//!
//! States are told apart by 64-bit fingerprints: with ten million of them, the chance that any two are taken
//! for one is about 3 in a million.

mod actions;
mod behaviour;
mod cluster;
mod invariants;
mod local;
mod memo;
mod operator;
mod plant;
mod probe;
mod protocol;
mod report;
mod run;
mod setting;
mod signer;
mod world;
mod worlds;

pub use invariants::Invariant;
pub use plant::Plant;
pub use report::page;
pub use run::{Outcome, check, check_planted};
pub use setting::Setting;
pub use worlds::{Size, World as WorldName, setting};
