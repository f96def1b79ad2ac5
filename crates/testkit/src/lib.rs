//! Test equipment: supervised processes, links that can be cut, real CometBFT networks, guard clusters, checkers.
//!
//! May not: link the rule book or any other crate of the product. What this crate checks it decodes by itself, so
//! that a mistake in the product cannot hide in its own checker. Everything is blocking: a test owns its threads.

pub mod cluster;
pub mod cometbft;
pub mod history;
pub mod json;
pub mod link;
pub mod ports;
pub mod process;
pub mod signbytes;
pub mod wait;
