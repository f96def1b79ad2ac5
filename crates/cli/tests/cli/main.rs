//! The binary as its users meet it: what it prints, where, and with which exit code.
//!
//! Golden files freeze what people read and programs parse. `INTERLOCK_REWRITE=1` rewrites them: commit the result
//! only if you understand every line of the difference.

mod bad_configuration;
mod help;
mod operator;
mod pki;
mod support;
