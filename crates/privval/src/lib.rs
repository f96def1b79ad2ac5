//! The wire of a CometBFT v0.38 remote signer, both ends: a signer uses it to answer a node, a toy chain or a test uses
//! it to play the node.
//!
//! A node listens on `priv_validator_laddr` and the signer dials it. Over tcp the bytes travel in a
//! [`SecretConnection`]; over a unix socket they travel in clear. Either way they carry length-delimited [`Message`]s,
//! one request at a time.
//!
//! What may not live here: any rule about what may be signed. This crate knows how a vote looks, never whether to sign
//! it.

mod address;
mod connection;
mod framing;
mod messages;
mod peer_id;
mod secret_connection;
mod sign_bytes;

pub use address::{Address, AddressError};
pub use connection::{AcceptError, BindError, Connection, DialError, Listener};
pub use framing::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MessageStream, RecvError, SendError};
pub use messages::{
    BlockId, Message, PartSetHeader, PingRequest, PingResponse, Proposal, PubKeyRequest, PubKeyResponse,
    PublicKey, PublicKeyKind, RemoteSignerError, SignProposalRequest, SignVoteRequest, SignedMsgType,
    SignedProposalResponse, SignedVoteResponse, Timestamp, Vote,
};
pub use peer_id::PeerId;
pub use secret_connection::{HandshakeError, SecretConnection};
pub use sign_bytes::{
    CanonicalProposal, CanonicalVote, SignBytesError, decode_canonical_proposal, decode_canonical_vote,
    proposal_sign_bytes, vote_extension_sign_bytes, vote_sign_bytes,
};
