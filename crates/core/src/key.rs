//! A validator key as the cluster knows it: identity, state, policy, lease, watermark.

use crate::ids::{Epoch, Holder, KeyId};
use crate::intent::Watermark;
use crate::text::{ChainId, KeyName, Reason, SignerId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use minicbor::{Decode, Encode};

/// Longest public key accepted, bytes (a BLS12-381 point uncompressed is 96; ML-DSA-65 is 1952).
pub const PUBLIC_KEY_MAX_BYTES: usize = 2048;
/// Most signers that may be registered for one key.
pub const SIGNERS_PER_KEY_MAX: usize = 16;

/// The chain a key signs for. A key on two chains is two keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub enum ChainIdentity {
    /// A CometBFT chain, told apart by its chain id.
    #[n(0)]
    Cometbft(#[n(0)] ChainId),
}

impl ChainIdentity {
    /// Protocol name and chain name, as they enter the key's identity.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Cometbft(chain_id) => ("cometbft", chain_id.as_str()),
        }
    }
}

impl fmt::Display for ChainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, name) = self.parts();
        write!(f, "{protocol}:{name}")
    }
}

/// The public key's bytes, as the chain encodes them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PublicKey(
    #[cbor(n(0), encode_with = "minicbor::bytes::encode", decode_with = "decode_public_key")] Box<[u8]>,
);

fn decode_public_key<C>(
    d: &mut minicbor::Decoder<'_>,
    _: &mut C,
) -> Result<Box<[u8]>, minicbor::decode::Error> {
    let key =
        PublicKey::new(d.bytes()?).map_err(|_| minicbor::decode::Error::message("invalid public key"))?;
    Ok(key.0)
}

/// Why bytes are not accepted as a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a public key has 1 to {PUBLIC_KEY_MAX_BYTES} bytes, this one has {len}")]
pub struct PublicKeyError {
    /// Length given, bytes.
    pub len: usize,
}

impl PublicKey {
    /// Takes a public key's bytes.
    ///
    /// # Errors
    /// When there are none, or more than [`PUBLIC_KEY_MAX_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        if bytes.is_empty() || bytes.len() > PUBLIC_KEY_MAX_BYTES {
            return Err(PublicKeyError { len: bytes.len() });
        }
        Ok(Self(Box::from(bytes)))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a key may sign.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum KeyState {
    /// The normal state.
    #[n(0)]
    Active,
    /// Stopped by an operator or an alarm until an operator unfreezes it.
    #[n(1)]
    Frozen {
        /// Who and why.
        #[n(0)]
        reason: Reason,
    },
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => write!(f, "active"),
            Self::Frozen { reason } => write!(f, "frozen ({reason})"),
        }
    }
}

/// What an operator sets per key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Policy {
    /// Furthest that one approval may move the height. Beyond it, an operator confirms.
    #[n(0)]
    pub max_jump_heights: u64,
    /// Whether the lock rule holds after a change of holder or node.
    #[n(1)]
    pub lock_rule: bool,
}

impl Default for Policy {
    /// The lock rule on, and a jump of 10,000 heights: a day of outage at 9 s a block, far below a corrupt height.
    fn default() -> Self {
        Self { max_jump_heights: 10_000, lock_rule: true }
    }
}

/// Everything the cluster knows about one key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct KeyRecord {
    /// Operator's name.
    #[n(0)]
    pub name: KeyName,
    /// Chain it signs for.
    #[n(1)]
    pub chain: ChainIdentity,
    /// Its public key.
    #[n(2)]
    pub public_key: PublicKey,
    /// May it sign.
    #[n(3)]
    pub state: KeyState,
    /// Operator's settings.
    #[n(4)]
    pub policy: Policy,
    /// Signers that may hold the lease, by falling priority.
    #[n(5)]
    pub signers: Vec<SignerId>,
    /// Epoch of the newest grant. Invariant: never falls.
    #[n(6)]
    pub epoch: Epoch,
    /// Who holds the lease of `epoch`, if it was not released.
    #[n(7)]
    pub holder: Option<Holder>,
    /// Grows with each operator's change, so that such a command can name what it saw.
    #[n(8)]
    pub version: u64,
    /// What was approved. Invariant: never falls (S4).
    #[n(9)]
    pub watermark: Watermark,
}

impl KeyRecord {
    /// The key's identity.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.chain, &self.public_key)
    }

    /// May this signer ever hold the lease.
    #[must_use]
    pub fn is_registered(&self, signer: &SignerId) -> bool {
        self.signers.contains(signer)
    }
}
