//! The binary as its users meet it: what it prints, where, and with which exit code.
//!
//! Golden files freeze what people read and programs parse. `INTERLOCK_REWRITE=1` rewrites them: commit the result
//! only if you understand every line of the difference.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod audit;
mod backup;
mod bad_configuration;
mod demo;
mod guard;
mod help;
mod key_verbs;
mod keys;
mod lifted;
mod node;
mod operator;
mod pki;
mod recovery;
mod support;
mod validator;
