//! Requests of a node: what is refused, which payloads are equal, and whether a reply convinces the node that asked.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod build;
mod payload;
mod replies;
mod requests;
mod state_file;
