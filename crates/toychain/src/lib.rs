//! A toy chain: full nodes that carry one validator identity and ask for its signatures as CometBFT nodes do, and a
//! ledger of everything that was signed.
//!
//! Three imaginary validators always vote, so the chain always advances; what is under test is the fourth, whose signer
//! is real and dials in over the real protocol. Every node asks its own signer for the same steps at the same time, as
//! two full nodes with one key would: exactly what a guard must survive.
//!
//! What may not live here: anything of the guard. This crate must not depend on the rule book, not even through others,
//! so that its verdict on conflicts is its own.

mod block;
mod chain;
mod config;
mod error;
mod event;
mod ledger;
mod node;
mod request;
mod shared;

pub use chain::Chain;
pub use config::ChainConfig;
pub use error::{DoubleSignError, DoubleSignOutcome, NodeError, NotConnected, StartError};
pub use event::{Event, Step};
pub use ledger::{Conflict, Report, SignatureRecord};

// Types of the configuration, so that whoever sets a chain up needs neither of the two crates.
pub use ed25519_dalek::{SigningKey, VerifyingKey};
pub use interlock_privval::Address;
