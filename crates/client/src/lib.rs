//! Client of the guard: leader discovery, sessions, permits.
//!
//! Everything that a signer or an operator asks of the guard goes through here. The three outcomes that are not an
//! approval (denied, certainly not committed, unknown) are told apart here, once, and never mixed afterwards.
//! May not live here: keys, rules, durable state.

mod approve;
mod channels;
mod config;
#[cfg(feature = "fake-guard")]
pub mod fake_guard;
mod leader;
mod operator;
mod operator_audit;
mod operator_keys;
mod permit;
mod session;
mod view;

pub use approve::{ApproveOutcome, GetKeyError, Guard, Refusal, ReleaseOutcome, UnknownCause, get_key};
pub use channels::{Channels, ChannelsError, GUARD_NODES_MAX};
pub use config::{GuardEndpoint, TlsError, TlsFiles, TlsMaterial};
pub use leader::{CallLimits, CallOutcome, LeaderClient, Repeat};
pub use operator::{Change, KeySelector, NodeReport, OperatorClient, OperatorError};
pub use operator_keys::Rules;
pub use permit::{EchoMismatch, Permit};
pub use session::{KeyHealth, SessionIdentity, SessionSettings, Sessions};
pub use view::KeyView;
