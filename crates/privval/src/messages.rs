//! The protobuf messages of the privval protocol (package `tendermint.privval`), written by hand for prost.
//!
//! One set of types reads every dialect from v0.34 to v0.40: unknown fields are skipped, absent ones read as zero. What
//! we write is byte for byte what a v0.38 node's own code writes: a field that is declared `required` here is one that
//! Go always emits, even when it is empty.

/// One message of the protocol. The numbers are the wire's.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Message {
    /// Node to signer, once at start: which key do you hold?
    #[prost(message, tag = "1")]
    PubKeyRequest(PubKeyRequest),
    /// Signer to node.
    #[prost(message, tag = "2")]
    PubKeyResponse(PubKeyResponse),
    /// Node to signer: sign this prevote or precommit.
    #[prost(message, tag = "3")]
    SignVoteRequest(SignVoteRequest),
    /// Signer to node.
    #[prost(message, tag = "4")]
    SignedVoteResponse(SignedVoteResponse),
    /// Node to signer: sign this proposal.
    #[prost(message, tag = "5")]
    SignProposalRequest(SignProposalRequest),
    /// Signer to node.
    #[prost(message, tag = "6")]
    SignedProposalResponse(SignedProposalResponse),
    /// Node to signer, when the connection has been idle.
    #[prost(message, tag = "7")]
    PingRequest(PingRequest),
    /// Signer to node.
    #[prost(message, tag = "8")]
    PingResponse(PingResponse),
}

impl Message {
    /// The message's name in the protocol, for logs and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PubKeyRequest(_) => "PubKeyRequest",
            Self::PubKeyResponse(_) => "PubKeyResponse",
            Self::SignVoteRequest(_) => "SignVoteRequest",
            Self::SignedVoteResponse(_) => "SignedVoteResponse",
            Self::SignProposalRequest(_) => "SignProposalRequest",
            Self::SignedProposalResponse(_) => "SignedProposalResponse",
            Self::PingRequest(_) => "PingRequest",
            Self::PingResponse(_) => "PingResponse",
        }
    }
}

/// What travels: a message that holds one member of the oneof. `None` after decoding is a kind we do not know.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(oneof = "Message", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub(crate) message: Option<Message>,
}

/// Asks for the public key that signs on a chain.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PubKeyRequest {
    /// The chain that the node runs.
    #[prost(string, tag = "1")]
    pub chain_id: String,
}

/// Answers with a key, or with an error and an empty key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PubKeyResponse {
    /// The key; its `kind` is absent when `error` is present.
    #[prost(message, required, tag = "1")]
    pub pub_key: PublicKey,
    /// Why there is no key.
    #[prost(message, optional, tag = "2")]
    pub error: Option<RemoteSignerError>,
}

impl PubKeyResponse {
    /// The answer that carries a key.
    pub fn found(pub_key: PublicKey) -> Self {
        Self { pub_key, error: None }
    }

    /// The answer that refuses.
    pub fn refused(error: RemoteSignerError) -> Self {
        Self { pub_key: PublicKey::default(), error: Some(error) }
    }
}

/// Asks for a signature over a vote, and over its extension when it is a precommit for a block.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignVoteRequest {
    /// The vote. A request without one is malformed and must be refused.
    #[prost(message, optional, tag = "1")]
    pub vote: Option<Vote>,
    /// The chain that the vote is for.
    #[prost(string, tag = "2")]
    pub chain_id: String,
}

/// The vote with its signatures, or an error beside an empty vote.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedVoteResponse {
    /// The node takes from it the signature, the extension signature and the timestamp; nothing else.
    #[prost(message, required, tag = "1")]
    pub vote: Vote,
    /// Why there is no signature. The node does not ask again for that step.
    #[prost(message, optional, tag = "2")]
    pub error: Option<RemoteSignerError>,
}

impl SignedVoteResponse {
    /// The answer that carries signatures. It leaves the extension out: the node has it, and nodes before v0.40 cut
    /// answers off at [`crate::MAX_RESPONSE_BYTES`], which an echoed extension can pass.
    pub fn signed(mut vote: Vote) -> Self {
        vote.extension.clear();
        Self { vote, error: None }
    }

    /// The answer that refuses.
    pub fn refused(error: RemoteSignerError) -> Self {
        let vote = Vote { timestamp: Some(Timestamp::GO_ZERO), ..Vote::default() };
        Self { vote, error: Some(error) }
    }
}

/// Asks for a signature over a proposal.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignProposalRequest {
    /// The proposal. A request without one is malformed and must be refused.
    #[prost(message, optional, tag = "1")]
    pub proposal: Option<Proposal>,
    /// The chain that the proposal is for.
    #[prost(string, tag = "2")]
    pub chain_id: String,
}

/// The proposal with its signature, or an error beside an empty proposal.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedProposalResponse {
    /// The node takes from it the signature only (not the timestamp, unlike for a vote).
    #[prost(message, required, tag = "1")]
    pub proposal: Proposal,
    /// Why there is no signature. The node does not ask again for that step.
    #[prost(message, optional, tag = "2")]
    pub error: Option<RemoteSignerError>,
}

impl SignedProposalResponse {
    /// The answer that carries a signature.
    pub fn signed(proposal: Proposal) -> Self {
        Self { proposal, error: None }
    }

    /// The answer that refuses.
    pub fn refused(error: RemoteSignerError) -> Self {
        let proposal = Proposal { timestamp: Some(Timestamp::GO_ZERO), ..Proposal::default() };
        Self { proposal, error: Some(error) }
    }
}

/// Asks whether the signer is alive.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PingRequest {}

/// Says that it is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PingResponse {}

/// A final refusal: the node gives up the step that it asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RemoteSignerError {
    /// Free to choose: nodes never branch on it.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Goes into the node's log.
    #[prost(string, tag = "2")]
    pub description: String,
}

/// A validator's public key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PublicKey {
    /// Absent for a kind that we do not know.
    #[prost(oneof = "PublicKeyKind", tags = "1, 2")]
    pub kind: Option<PublicKeyKind>,
}

impl PublicKey {
    /// An ed25519 key from its 32 bytes.
    pub fn ed25519(bytes: [u8; 32]) -> Self {
        Self { kind: Some(PublicKeyKind::Ed25519(bytes.to_vec())) }
    }
}

/// The kinds of keys that v0.38 has.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum PublicKeyKind {
    /// 32 bytes.
    #[prost(bytes, tag = "1")]
    Ed25519(Vec<u8>),
    /// 33 bytes, compressed.
    #[prost(bytes, tag = "2")]
    Secp256k1(Vec<u8>),
}

/// Which step of a round a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SignedMsgType {
    /// Not set; never signable.
    Unknown = 0,
    /// First vote of a round.
    Prevote = 1,
    /// Second vote of a round; the only one that can carry an extension.
    Precommit = 2,
    /// A proposed block.
    Proposal = 32,
}

/// A prevote or a precommit.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Vote {
    /// A [`SignedMsgType`] as it came; `msg_type()` reads a number we do not know as `Unknown`.
    #[prost(enumeration = "SignedMsgType", tag = "1")]
    pub msg_type: i32,
    /// Starts at 1 on a chain; may be anything on the wire.
    #[prost(int64, tag = "2")]
    pub height: i64,
    /// Starts at 0.
    #[prost(int32, tag = "3")]
    pub round: i32,
    /// Empty for a vote for no block.
    #[prost(message, required, tag = "4")]
    pub block_id: BlockId,
    /// Absent reads as [`Timestamp::GO_ZERO`].
    #[prost(message, optional, tag = "5")]
    pub timestamp: Option<Timestamp>,
    /// First 20 bytes of the SHA-256 of the public key. Not signed.
    #[prost(bytes = "vec", tag = "6")]
    pub validator_address: Vec<u8>,
    /// Not signed.
    #[prost(int32, tag = "7")]
    pub validator_index: i32,
    /// 64 bytes once signed.
    #[prost(bytes = "vec", tag = "8")]
    pub signature: Vec<u8>,
    /// Since v0.38, what the application adds to a precommit for a block.
    #[prost(bytes = "vec", tag = "9")]
    pub extension: Vec<u8>,
    /// Present for every signed precommit for a block, even when the extension is empty, and for nothing else.
    #[prost(bytes = "vec", tag = "10")]
    pub extension_signature: Vec<u8>,
}

impl Vote {
    /// Whether a signer must add an extension signature: a precommit for a block. On anything else one makes the node
    /// panic.
    pub fn needs_extension_signature(&self) -> bool {
        self.msg_type() == SignedMsgType::Precommit && !self.block_id.is_nil()
    }
}

/// A proposed block.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Proposal {
    /// A [`SignedMsgType`] as it came; the signed form always says `Proposal`.
    #[prost(enumeration = "SignedMsgType", tag = "1")]
    pub msg_type: i32,
    /// Starts at 1 on a chain; may be anything on the wire.
    #[prost(int64, tag = "2")]
    pub height: i64,
    /// Starts at 0.
    #[prost(int32, tag = "3")]
    pub round: i32,
    /// The round whose prevotes lock this block, or -1.
    #[prost(int32, tag = "4")]
    pub pol_round: i32,
    /// The proposed block.
    #[prost(message, required, tag = "5")]
    pub block_id: BlockId,
    /// Absent reads as [`Timestamp::GO_ZERO`].
    #[prost(message, optional, tag = "6")]
    pub timestamp: Option<Timestamp>,
    /// 64 bytes once signed.
    #[prost(bytes = "vec", tag = "7")]
    pub signature: Vec<u8>,
}

/// Which block: its hash, and the hash of the parts it is gossiped in.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct BlockId {
    /// 32 bytes, or empty for no block.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// Zero for no block.
    #[prost(message, required, tag = "2")]
    pub part_set_header: PartSetHeader,
}

impl BlockId {
    /// Whether this stands for "no block": everything in it is empty.
    pub fn is_nil(&self) -> bool {
        self.hash.is_empty() && self.part_set_header.total == 0 && self.part_set_header.hash.is_empty()
    }
}

/// How many parts a block was cut into, and the root over them.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PartSetHeader {
    /// Number of parts.
    #[prost(uint32, tag = "1")]
    pub total: u32,
    /// 32 bytes, or empty.
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
}

/// A moment since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Timestamp {
    /// Seconds, negative before 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// 0 to 999,999,999, counted forward from `seconds`.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// Midnight of the first day of year 1: what a time that was never set is in Go.
    pub const GO_ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
