//! The audit chain: one digest over everything applied, equal on every replica that applied the same.

use crate::command::Command;
use crate::ids::{Digest, LogPosition};
use crate::verdict::Verdict;
use core::convert::Infallible;
use core::fmt;
use minicbor::bytes::ByteArray;
use minicbor::encode::Write;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

/// Value of the chain after some applied item: `h' = H(h, log index, item, command, verdict)`.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct AuditChain(#[n(0)] ByteArray<32>);

/// Most bytes that are gathered before they are hashed: an approval with its verdict has fewer.
const GATHERED_BYTES: usize = 512;

/// Gathers what the encoder writes byte by byte, because the hash is slow at small pieces.
struct Gathering {
    hash: Sha256,
    bytes: [u8; GATHERED_BYTES],
    /// How many of them are in use.
    len: usize,
}

impl Gathering {
    fn new() -> Self {
        Self { hash: Sha256::new(), bytes: [0; GATHERED_BYTES], len: 0 }
    }

    fn hash_gathered(&mut self) {
        self.hash.update(&self.bytes[..self.len]);
        self.len = 0;
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash_gathered();
        self.hash.finalize().into()
    }
}

impl Write for Gathering {
    type Error = Infallible;

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        let end = self.len.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        } else {
            self.hash_gathered();
            self.hash.update(bytes);
        }
        Ok(())
    }
}

impl AuditChain {
    /// The chain before the first item.
    #[must_use]
    pub fn start() -> Self {
        let digest: [u8; 32] = Sha256::digest(b"interlock audit chain v1").into();
        Self(ByteArray::from(digest))
    }

    /// The chain before the first item of a cluster that was restored with this state.
    #[must_use]
    pub(crate) fn after_restore(state: Digest) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"interlock audit chain restored v1");
        hash.update(state.0);
        let digest: [u8; 32] = hash.finalize().into();
        Self(ByteArray::from(digest))
    }

    /// The chain after one more item.
    #[must_use]
    pub fn extend(self, at: LogPosition, command: &Command, verdict: &Verdict) -> Self {
        let mut gathering = Gathering::new();
        let Ok(()) = minicbor::encode((self, at, command, verdict), &mut gathering) else {
            unreachable!("hashing cannot fail, and every type here encodes")
        };
        Self(ByteArray::from(gathering.finish()))
    }

    /// The bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AuditChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
