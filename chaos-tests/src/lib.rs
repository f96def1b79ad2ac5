//! Chaos tests. The process tier is `tests/processes`: real guard nodes, real signers, faults.
//!
//! Nothing of the product may live here, and nothing that decides what counts as a conflict: that is testkit's and the
//! toy chain's, neither of which knows the rule book.
