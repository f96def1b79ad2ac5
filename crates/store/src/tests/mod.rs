//! Tests that need the inside of the crate: openraft's suite, power cuts, planted bugs, damage.

mod damage;
mod life;
mod marks;
mod power_cut;
mod quiet;
mod snapshots;
mod suite;
mod support;
