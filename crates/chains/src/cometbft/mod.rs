//! CometBFT: sign requests of a v0.38 node (v0.34 to v0.40 are equal here) as intents.

mod check;
mod error;
mod proposal;
mod reply;
mod sign_bytes;
mod state_file;
mod time;
mod vote;

pub use error::{REQUEST_TEXT_MAX_CHARS, RequestError};
pub use proposal::{ProposalToSign, parse_sign_proposal};
pub use reply::{ERROR_TEXT_MAX_BYTES, ReplyError, RequestKind, error_reply};
pub use sign_bytes::{ExtensionSignBytes, SignBytes};
pub use state_file::{StateFileError, StateForm, end_of_height, read_state_file, write_state_file};
pub use vote::{VoteToSign, parse_sign_vote};
