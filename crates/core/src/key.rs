//! A validator key as the cluster knows it: identity, state, policy, lease, watermark.

use crate::ids::{Digest, Epoch, Holder, KeyId};
use crate::intent::Watermark;
use crate::text::{ChainId, KeyName, Reason, SignerId};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use minicbor::{Decode, Encode};

/// Longest public key accepted, bytes (a BLS12-381 point uncompressed is 96; ML-DSA-65 is 1952).
pub const PUBLIC_KEY_MAX_BYTES: usize = 2048;
/// Most signers that may be registered for one key.
pub const SIGNERS_PER_KEY_MAX: usize = 16;

/// Longest window of heights that may be reserved ahead.
pub const WINDOW_HEIGHTS_MAX: u64 = 8;

/// Which rules a key's messages follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Protocol {
    /// [`crate::cometbft`].
    #[n(0)]
    Cometbft,
    /// [`crate::ethereum`].
    #[n(1)]
    Ethereum,
    /// [`crate::tezos`].
    #[n(2)]
    Tezos,
    /// [`crate::generic`].
    #[n(3)]
    Generic,
}

impl Protocol {
    /// The name, as it enters a key's identity.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cometbft => "cometbft",
            Self::Ethereum => "ethereum",
            Self::Tezos => "tezos",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The chain a key signs for. A key on two chains is two keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum ChainIdentity {
    /// A CometBFT chain, told apart by its chain id.
    #[n(0)]
    Cometbft(#[n(0)] ChainId),
    /// An Ethereum network, told apart by its genesis validators root.
    #[n(1)]
    Ethereum {
        /// Root over the validators at genesis, as every fork domain carries it.
        #[n(0)]
        genesis_validators_root: Digest,
    },
    /// A Tezos network, told apart by its chain id.
    #[n(2)]
    Tezos(#[n(0)] ChainId),
    /// Any other chain, told apart by a name that the operator chooses.
    #[n(3)]
    Generic(#[n(0)] ChainId),
}

impl ChainIdentity {
    /// Its protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Cometbft(_) => Protocol::Cometbft,
            Self::Ethereum { .. } => Protocol::Ethereum,
            Self::Tezos(_) => Protocol::Tezos,
            Self::Generic(_) => Protocol::Generic,
        }
    }

    /// Name of the chain within its protocol, as it enters the key's identity.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Cometbft(name) | Self::Tezos(name) | Self::Generic(name) => Cow::Borrowed(name.as_str()),
            Self::Ethereum { genesis_validators_root } => Cow::Owned(genesis_validators_root.to_string()),
        }
    }

    /// Whether heights of this chain can be reserved ahead: an Ethereum key moves along slots and epochs at once.
    #[must_use]
    pub fn has_windows(&self) -> bool {
        !matches!(self, Self::Ethereum { .. })
    }
}

impl fmt::Display for ChainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol(), self.name())
    }
}

/// The public key's bytes, as the chain encodes them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
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
    /// Stopped because the cluster was restored or recovered: the key may have signed what this record does not know.
    #[n(2)]
    Quarantined {
        /// What happened to the cluster.
        #[n(0)]
        reason: Reason,
        /// Frozen as well, and so to stay when the quarantine is lifted.
        #[n(1)]
        frozen: Option<Reason>,
    },
    /// Never signs again. The record stays, so that the key cannot be added anew with less.
    #[n(3)]
    Retired {
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
            Self::Quarantined { reason, frozen: None } => write!(f, "quarantined ({reason})"),
            Self::Quarantined { reason, frozen: Some(why) } => {
                write!(f, "quarantined ({reason}) and frozen ({why})")
            }
            Self::Retired { reason } => write!(f, "retired ({reason})"),
        }
    }
}

/// What an operator sets per key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Policy {
    /// Furthest that one approval, reservation or import may move the height. Beyond it, an operator confirms.
    #[n(0)]
    pub max_jump_heights: u64,
    /// Whether the lock rule holds after a change of holder or node. CometBFT only.
    #[n(1)]
    pub lock_rule: bool,
    /// How many heights a holder may reserve ahead, at most [`WINDOW_HEIGHTS_MAX`]; zero: every payload is approved
    /// by the cluster.
    #[n(2)]
    pub window_heights: u64,
}

impl Default for Policy {
    /// The lock rule on, no windows, and a jump of 10,000 heights: a day of outage at 9 s a block, far below a corrupt
    /// height.
    fn default() -> Self {
        Self { max_jump_heights: 10_000, lock_rule: true, window_heights: 0 }
    }
}

/// Everything the cluster knows about one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct KeyRecord {
    /// Operator's name.
    #[n(0)]
    pub name: KeyName,
    /// Chain it signs for.
    #[cbor(n(1), with = "crate::shared::one")]
    pub chain: Arc<ChainIdentity>,
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
    #[cbor(n(5), with = "crate::shared::list")]
    pub signers: Arc<[SignerId]>,
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
    /// Last height of the window that the holder signs from memory. Invariant: only while there is a holder.
    #[n(10)]
    pub window_height: Option<u64>,
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

    /// Highest height that may have been signed: settled by an approval, excluded by the floor, or inside the window.
    /// What an export or a backup has to say about this key.
    #[must_use]
    pub fn reach_height(&self) -> u64 {
        self.watermark.height().max(self.window_height.unwrap_or(0))
    }

    /// Ends the window, if there is one, with its lease: its heights are excluded for good, because only the holder
    /// knows what it signed there.
    pub(crate) fn end_window_and_lease(&mut self) {
        if let Some(up_to) = self.window_height.take() {
            self.watermark.raise_floor(up_to);
            self.holder = None;
        }
    }
}
