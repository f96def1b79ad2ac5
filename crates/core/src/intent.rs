//! What a signer wants to sign, and the record of what was approved, by protocol.
//!
//! An enum and not a trait: the set of protocols is closed, and each has its own rules, on the page.

use crate::cometbft::{CometbftIntent, CometbftRecord};
use core::fmt;
use minicbor::{Decode, Encode};

/// One payload that a signer asks to sign.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Intent {
    /// A CometBFT proposal, prevote or precommit.
    #[n(0)]
    Cometbft(#[n(0)] CometbftIntent),
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cometbft(intent) => intent.position.fmt(f),
        }
    }
}

/// The newest approvals of a key. Invariant: never falls (S4).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Watermark {
    /// Of a CometBFT key.
    #[n(0)]
    Cometbft(#[n(0)] CometbftRecord),
}
