//! Automatic failover: the detector decides from memory and time, the driver acts on it, on the leader only.
//!
//! Keeps liveness, never safety: a wrong decision moves a lease for nothing, and fencing at apply does the rest.

pub(crate) mod detector;
#[cfg(test)]
mod detector_tests;
mod driver;
mod watch;

pub(crate) use driver::{Driver, run};
