//! Tests that need the inside of the crate: openraft's suite, power cuts, planted bugs.

mod suite;
mod support;
