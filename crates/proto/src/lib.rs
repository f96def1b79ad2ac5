//! The wire: types generated from `proto/`, their checked conversions to the rule book's types, and the one mapping of
//! outcomes to gRPC statuses.
//!
//! Only this crate knows how messages look on the wire. A message is parsed into core types once, at the door;
//! everything that can be wrong with it is a [`ConversionError`] naming the field.

mod claims;
mod convert;
mod identity;
mod outcome;
mod positions;
mod refusal;

/// The public API.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("interlock.v1");
}

/// Consensus between nodes.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod raft {
    tonic::include_proto!("interlock.raft.v1");
}

pub use claims::{claim_from_wire, claim_to_wire, policy_from_wire, policy_to_wire};
pub use convert::{
    ConversionError, approved_from_wire, approved_to_wire, cluster_id, denied_to_wire, holder_from_wire,
    holder_to_wire, incarnation, key_id, key_to_wire, lease_to_wire, position_from_wire, position_to_wire,
};
pub use identity::{Identity, IdentityError, Role};
pub use outcome::{NotCommitted, not_committed, not_committed_of};
pub use positions::{any_position_from_wire, any_position_to_wire, intent_from_wire, intent_to_wire};
pub use refusal::MembersRefusal;
