//! Replies: what may go into a signed one, and the one that refuses.

use interlock_privval::{
    Message, PubKeyResponse, RemoteSignerError, SignedProposalResponse, SignedVoteResponse,
};

/// A validator address: what a reply echoes of it at most.
pub(super) const ADDRESS_BYTES: usize = 20;
/// Longest signature in a reply, bytes. With two of them a reply stays far below what a node reads.
const SIGNATURE_MAX_BYTES: usize = 4096;
/// Longest text of an error reply, bytes; it goes into the node's log and must fit into what the node reads.
pub const ERROR_TEXT_MAX_BYTES: usize = 1024;
/// Nodes never branch on the code; this is what CometBFT's own signer sends.
const ERROR_CODE: i32 = 0;

/// Why signatures do not make a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not a signature.
    #[error("a signature has 1 to {SIGNATURE_MAX_BYTES} bytes, this one has {len}")]
    SignatureLength {
        /// Length given, bytes.
        len: usize,
    },
    /// It must be there for a precommit for a block and for nothing else, or the node panics.
    #[error("extension signature: needed {needed}, given {given}; a node panics on the difference")]
    ExtensionSignature {
        /// Whether the vote needs one.
        needed: bool,
        /// Whether one was given.
        given: bool,
    },
}

pub(super) fn check_signature(signature: &[u8]) -> Result<(), ReplyError> {
    match signature.len() {
        1..=SIGNATURE_MAX_BYTES => Ok(()),
        len => Err(ReplyError::SignatureLength { len }),
    }
}

/// What a node asked for, which decides the kind of the error reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// The public key.
    PublicKey,
    /// A vote.
    Vote,
    /// A proposal.
    Proposal,
}

impl RequestKind {
    /// The kind of a request; `None` for a message that has no error reply.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        match message {
            Message::PubKeyRequest(_) => Some(Self::PublicKey),
            Message::SignVoteRequest(_) => Some(Self::Vote),
            Message::SignProposalRequest(_) => Some(Self::Proposal),
            _ => None,
        }
    }
}

/// The reply that refuses for good: the node gives up this step and does not ask again. So it is no answer for what may
/// still be signed a moment later. A long text is cut to [`ERROR_TEXT_MAX_BYTES`].
#[must_use]
pub fn error_reply(kind: RequestKind, text: &str) -> Message {
    let end = text.floor_char_boundary(ERROR_TEXT_MAX_BYTES);
    let error = RemoteSignerError { code: ERROR_CODE, description: text[..end].to_owned() };
    match kind {
        RequestKind::PublicKey => Message::PubKeyResponse(PubKeyResponse::refused(error)),
        RequestKind::Vote => Message::SignedVoteResponse(SignedVoteResponse::refused(error)),
        RequestKind::Proposal => Message::SignedProposalResponse(SignedProposalResponse::refused(error)),
    }
}
