//! Identities and counters: cluster, key, signer process, lease epoch, place in the log.

use crate::key::{ChainIdentity, PublicKey};
use crate::text::SignerId;
use core::cmp::Ordering;
use core::fmt;
use core::ops::RangeInclusive;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; $len]);

        impl Ord for $name {
            /// The order of the bytes. The first eight, as a number, decide nearly always, and without a call.
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                self.prefix().cmp(&other.prefix()).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first eight bytes, as a number in their order.
            #[inline]
            fn prefix(&self) -> u64 {
                self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                context: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let bytes: ByteArray<$len> = Decode::decode(d, context)?;
                Ok(Self(*bytes))
            }
        }
    };
}

fixed_bytes!(
    /// Random identity of a cluster, made once by `node format`. A key belongs to exactly one cluster.
    ClusterId, 16
);
fixed_bytes!(
    /// Identity of a key: a digest of its chain identity and public key.
    KeyId, 32
);
fixed_bytes!(
    /// SHA-256 of something that is compared, never interpreted.
    Digest, 32
);
fixed_bytes!(
    /// Random value made when a signer process starts: the same signer restarted is another holder.
    Incarnation, 16
);

impl KeyId {
    /// The keys whose identity begins like this one's, from the first to the last that could.
    pub(crate) fn alike(prefix: u64) -> RangeInclusive<Self> {
        let [mut first, mut last] = [[0; 32], [u8::MAX; 32]];
        for id in [&mut first, &mut last] {
            id[..8].copy_from_slice(&prefix.to_be_bytes());
        }
        Self(first)..=Self(last)
    }

    /// What [`Self::alike`] goes by.
    pub(crate) fn beginning(self) -> u64 {
        self.prefix()
    }

    /// The identity of a key on a chain. Two chains with the same public key have two identities.
    #[must_use]
    pub fn of(chain: &ChainIdentity, public_key: &PublicKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"interlock key v1");
        let name = chain.name();
        let parts = [chain.protocol().name().as_bytes(), name.as_bytes(), public_key.as_bytes()];
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// What a command about a cluster as a whole names instead of a key. No key has this identity.
    #[must_use]
    pub fn of_cluster(cluster: ClusterId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"interlock cluster v1");
        hash.update(cluster.0);
        Self(hash.finalize().into())
    }
}

/// Number of a lease. Strictly increases per key; comparable only within one cluster id. Zero: never granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Epoch(#[n(0)] pub u64);

impl Epoch {
    /// The epoch of the next grant; `None` after 2^64 grants of one key, which no machine can reach.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A lease holder: one process of one signer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Holder {
    /// Which signer.
    #[n(0)]
    pub signer: SignerId,
    /// Which process of it.
    #[n(1)]
    pub incarnation: Incarnation,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Incarnation(bytes) = self.incarnation;
        write!(f, "{}/{:02x}{:02x}{:02x}{:02x}", self.signer, bytes[0], bytes[1], bytes[2], bytes[3])
    }
}

/// Place of one command in the log: an entry carries a batch, a batch carries items.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct LogPosition {
    /// Raft log index of the entry.
    #[n(0)]
    pub log_index: u64,
    /// Number of the command inside the entry, from zero.
    #[n(1)]
    pub item: u32,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.log_index, self.item)
    }
}
