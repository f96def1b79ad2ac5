//! Changing the members while the cluster works: one committed step at a time, each decided by what is there.
//!
//! Lives here: which step comes next (`plan`, a function of the membership and nothing else), taking it (`change`), and
//! finishing what somebody left half done (`finish`). May not live here: what a majority is (openraft), who may ask
//! (the service). Invariants: an id that was ever a member's never becomes one again; no step leaves fewer heard voters
//! than a majority; every state that a crash can leave is one from which asking again reaches the goal.

mod change;
mod finish;
mod plan;

pub(crate) use change::{behind, silence, step, view};
pub(crate) use finish::finish_changes;
pub(crate) use plan::{Goal, Stage, highest_id};
