//! Readable names for digests: made from a name on the way in, put back in its place on the way out.

use interlock_core::cometbft::{Position, Step};
use interlock_core::{
    ChainId, ChainIdentity, ClusterId, Digest, Holder, Incarnation, KeyId, PublicKey, SignerId,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Every long value that was named so far.
#[derive(Default)]
pub(crate) struct Names {
    by_hex: BTreeMap<String, String>,
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Names {
    fn remember(&mut self, hex: String, name: String) {
        self.by_hex.insert(hex, name);
    }

    pub(crate) fn block(&mut self, name: &str) -> Option<Digest> {
        if name == "nil" {
            return None;
        }
        let digest = Digest(hash(&format!("block {name}")));
        self.remember(digest.to_string(), format!("<{name}>"));
        Some(digest)
    }

    /// Stands for the digest of the sign bytes: of a vote without its timestamp, of a proposal with it.
    pub(crate) fn payload(&mut self, at: Position, block: &str, timestamp: i64) -> Digest {
        let name = match at.step {
            Step::Proposal => format!("<proposal {block} ts {timestamp}>"),
            step => format!("<{step} {block}>"),
        };
        let digest = Digest(hash(&format!("{at} {name}")));
        self.remember(digest.to_string(), name);
        digest
    }

    pub(crate) fn cluster(&mut self, name: &str) -> ClusterId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash(&format!("cluster {name}"))[..16]);
        self.remember(ClusterId(bytes).to_string(), format!("<{name}>"));
        ClusterId(bytes)
    }

    pub(crate) fn key(&mut self, name: &str, chain: &ChainIdentity, public_key: &PublicKey) -> KeyId {
        let key = KeyId::of(chain, public_key);
        self.by_hex.entry(key.to_string()).or_insert_with(|| format!("<{name}>"));
        key
    }

    /// Puts the names back.
    pub(crate) fn readable(&self, text: &str) -> String {
        let mut text = text.replace("/0000000", "#");
        for (hex, name) in &self.by_hex {
            text = text.replace(hex, name);
        }
        text
    }
}

pub(crate) fn chain(name: &str) -> ChainIdentity {
    ChainIdentity::Cometbft(ChainId::parse(name).unwrap())
}

pub(crate) fn public_key(name: &str) -> PublicKey {
    PublicKey::new(name.as_bytes()).unwrap()
}

/// `alpha#1`: signer alpha, first process.
pub(crate) fn holder(text: &str) -> Holder {
    let (signer, incarnation) = text.split_once('#').unwrap_or_else(|| panic!("{text} is not signer#number"));
    let number: u8 = incarnation.parse().unwrap();
    assert!(
        (1..=9).contains(&number),
        "{text}: incarnations are 1 to 9, so that they print as they are written"
    );
    let mut bytes = [0; 16];
    bytes[3] = number;
    Holder { signer: SignerId::parse(signer).unwrap(), incarnation: Incarnation(bytes) }
}
