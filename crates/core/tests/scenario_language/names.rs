//! Readable names for digests and keys: made from a name on the way in, put back in its place on the way out.

use interlock_core::{
    ChainId, ChainIdentity, ClusterId, Digest, Holder, Incarnation, KeyId, Position, Protocol, PublicKey,
    SignerId,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Every long value that was named so far.
#[derive(Default)]
pub(crate) struct Names {
    by_hex: BTreeMap<String, String>,
    keys: BTreeMap<String, (KeyId, Protocol)>,
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

    /// Stands for the digest of what is signed: everything that may not differ at a position.
    pub(crate) fn payload(&mut self, at: Position, content: &str) -> Digest {
        let digest = Digest(hash(&format!("{at} {content}")));
        self.remember(digest.to_string(), format!("<{content}>"));
        digest
    }

    pub(crate) fn cluster(&mut self, name: &str) -> ClusterId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash(&format!("cluster {name}"))[..16]);
        self.remember(ClusterId(bytes).to_string(), format!("<{name}>"));
        let cluster_key = KeyId::of_cluster(ClusterId(bytes));
        self.remember(cluster_key.to_string(), format!("<cluster {name}>"));
        ClusterId(bytes)
    }

    /// The key that `add-key` describes. The first description gives the name its key.
    pub(crate) fn describe_key(&mut self, name: &str, chain: &ChainIdentity, public: &PublicKey) -> KeyId {
        let key = self.key_id(name, chain, public);
        self.keys.entry(name.to_owned()).or_insert((key, chain.protocol()));
        key
    }

    /// A key that was not described yet gets the identity that `add-key` would give it.
    pub(crate) fn key_called(&mut self, name: &str) -> KeyId {
        match self.keys.get(name) {
            Some((key, _)) => *key,
            None => self.key_id(name, &chain("demo-1"), &public_key(name)),
        }
    }

    pub(crate) fn protocol_of(&self, name: &str) -> Protocol {
        self.keys.get(name).map_or(Protocol::Cometbft, |(_, protocol)| *protocol)
    }

    fn key_id(&mut self, name: &str, chain: &ChainIdentity, public: &PublicKey) -> KeyId {
        let key = KeyId::of(chain, public);
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

/// `ethereum:mainnet`; without a protocol it is a CometBFT chain.
pub(crate) fn chain(text: &str) -> ChainIdentity {
    let (protocol, name) = text.split_once(':').unwrap_or(("cometbft", text));
    let id = || ChainId::parse(name).unwrap();
    match protocol_called(protocol) {
        Protocol::Cometbft => ChainIdentity::Cometbft(id()),
        Protocol::Ethereum => ChainIdentity::Ethereum { genesis_validators_root: Digest(hash(name)) },
        Protocol::Tezos => ChainIdentity::Tezos(id()),
        Protocol::Generic => ChainIdentity::Generic(id()),
    }
}

pub(crate) fn protocol_called(name: &str) -> Protocol {
    let all = [Protocol::Cometbft, Protocol::Ethereum, Protocol::Tezos, Protocol::Generic];
    let found = all.into_iter().find(|protocol| protocol.name() == name);
    found.unwrap_or_else(|| panic!("no protocol is called {name}"))
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
