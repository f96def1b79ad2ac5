//! Exhaustive model checking of the rule book: every state that a small world can reach, visited once.
//!
//! The cluster is [`interlock_core::Book`] and a signer's windows are [`interlock_core::Windows`]: the very code that
//! ships. Around them stand signer processes that crash, pause, retry and forget, a network that loses, delays, reorders and
//! repeats, a failure detector that is wrong, and an operator. Lives here: that world, its invariants (one file each), and the planted
//! bugs that show that each invariant bites. May not live here: chance, clocks, sampling. What is not explored is
//! excluded by a budget that the result prints.
//!
//! A pause of any length is a process that takes no step while others do; every such order is visited. A lost message is one
//! that is never delivered; a repeated one is delivered again: messages stay in the network for good.

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
