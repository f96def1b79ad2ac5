//! The short name of a SecretConnection peer: the first 20 bytes of the SHA-256 of its ed25519 key, in hexadecimal.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Length of a peer id, in bytes.
const PEER_ID_LEN: usize = 20;

/// Who is at the other end of a SecretConnection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; PEER_ID_LEN]);

impl PeerId {
    /// The id that belongs to a key.
    pub fn of(key: &VerifyingKey) -> Self {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut id = [0; PEER_ID_LEN];
        id.copy_from_slice(&digest[..PEER_ID_LEN]);
        Self(id)
    }

    /// The 20 bytes. A validator's address is made from its consensus key in the same way.
    pub fn as_bytes(&self) -> &[u8; PEER_ID_LEN] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; PEER_ID_LEN];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}
