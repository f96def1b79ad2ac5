//! The signer's configuration file, parsed into types once.
//!
//! May not live here: the signer's name. It comes from the certificate alone, so that no file can claim another's.

use interlock_client::{GuardEndpoint, TlsFiles};
use interlock_core::{ChainId, KeyName, NodeName};
use interlock_privval::Address;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Most keys of one signer process.
pub const KEYS_MAX: usize = 1_000;
/// Most validator nodes behind one key.
pub const NODES_PER_KEY_MAX: usize = 8;
/// A node gives up on an answer after 5 s; this leaves room for the way there and back.
const ANSWER_DEADLINE_MAX_MS: u64 = 4_000;
/// A node exits when no signer dials it within about 3 s of its start.
const REDIAL_MAX_MS: u64 = 500;

/// `signer.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Directory of the local watermarks. Made by `interlock signer enroll`.
    pub state_dir: PathBuf,
    /// Certificates.
    pub tls: TlsFiles,
    /// Guard nodes.
    #[serde(rename = "guard")]
    pub guards: Vec<GuardEndpoint>,
    /// Keys to sign with.
    #[serde(rename = "key")]
    pub keys: Vec<KeyConfig>,
    /// Timing; every field has a default.
    #[serde(default)]
    pub timing: Timing,
}

/// `[[key]]`: one validator key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its name in the guard.
    #[serde(deserialize_with = "parsed")]
    pub name: KeyName,
    /// The chain it signs for.
    #[serde(deserialize_with = "parsed")]
    pub chain_id: ChainId,
    /// A CometBFT `priv_validator_key.json`.
    pub key_file: PathBuf,
    /// Validator nodes to sign for.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeConfig>,
}

/// `[[key.node]]`: one validator node, which the signer dials.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Tells nodes apart for the lock rule: another node gets another name, everywhere.
    #[serde(deserialize_with = "parsed")]
    pub name: NodeName,
    /// Its `priv_validator_laddr`.
    #[serde(deserialize_with = "parsed")]
    pub address: Address,
}

/// `[timing]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// How often each guard node hears from us.
    pub heartbeat_interval_ms: u64,
    /// How long a request waits for a lease before it is refused.
    pub hold_ms: u64,
    /// Every request of a node is answered within this.
    pub answer_deadline_ms: u64,
    /// How long one guard node may take before the next is asked.
    pub attempt_timeout_ms: u64,
    /// Pause before a validator node is dialled again.
    pub redial_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: 100,
            hold_ms: 300,
            answer_deadline_ms: 2_000,
            attempt_timeout_ms: 400,
            redial_ms: 100,
        }
    }
}

impl Timing {
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) fn answer_deadline(&self) -> Duration {
        Duration::from_millis(self.answer_deadline_ms)
    }

    pub(crate) fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms)
    }

    pub(crate) fn redial(&self) -> Duration {
        Duration::from_millis(self.redial_ms)
    }

    pub(crate) fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms)
    }
}

/// What is wrong with a configuration whose fields are each well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No key, or too many.
    #[error("{count} keys are configured: give 1 to {KEYS_MAX} [[key]] sections")]
    KeyCount {
        /// Keys given.
        count: usize,
    },
    /// No node, or too many.
    #[error("key {key} has {count} nodes: give 1 to {NODES_PER_KEY_MAX} [[key.node]] sections")]
    NodeCount {
        /// Which key.
        key: KeyName,
        /// Nodes given.
        count: usize,
    },
    /// Two sections for one key.
    #[error("key {key} is configured twice")]
    DuplicateKey {
        /// Which.
        key: KeyName,
    },
    /// Two nodes with one name: the lock rule could not tell them apart.
    #[error("key {key} has two nodes named {node}: give each validator node a name of its own")]
    DuplicateNode {
        /// Of which key.
        key: KeyName,
        /// Which name.
        node: NodeName,
    },
    /// A timing value outside its range.
    #[error("timing.{field} is {value}: allowed are {min} to {max}")]
    Timing {
        /// Which field.
        field: &'static str,
        /// As configured.
        value: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
}

impl SignerConfig {
    /// Starts relative paths in `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        self.state_dir = directory.join(&self.state_dir);
        self.tls = self.tls.relative_to(directory);
        for key in &mut self.keys {
            key.key_file = directory.join(&key.key_file);
        }
    }

    /// Checks what no single field can show. [`crate::Signer::start`] and [`crate::enroll()`] do this themselves.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.keys.is_empty() || self.keys.len() > KEYS_MAX {
            return Err(ConfigError::KeyCount { count: self.keys.len() });
        }
        let mut keys = BTreeSet::new();
        for key in &self.keys {
            if !keys.insert(&key.name) {
                return Err(ConfigError::DuplicateKey { key: key.name.clone() });
            }
            check_nodes(key)?;
        }
        self.timing.check()
    }
}

fn check_nodes(key: &KeyConfig) -> Result<(), ConfigError> {
    if key.nodes.is_empty() || key.nodes.len() > NODES_PER_KEY_MAX {
        return Err(ConfigError::NodeCount { key: key.name.clone(), count: key.nodes.len() });
    }
    let mut names = BTreeSet::new();
    match key.nodes.iter().find(|node| !names.insert(&node.name)) {
        Some(node) => Err(ConfigError::DuplicateNode { key: key.name.clone(), node: node.name.clone() }),
        None => Ok(()),
    }
}

impl Timing {
    fn check(&self) -> Result<(), ConfigError> {
        let fields = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, 10, 1_000),
            ("answer_deadline_ms", self.answer_deadline_ms, 200, ANSWER_DEADLINE_MAX_MS),
            ("hold_ms", self.hold_ms, 0, self.answer_deadline_ms / 2),
            ("attempt_timeout_ms", self.attempt_timeout_ms, 50, self.answer_deadline_ms),
            ("redial_ms", self.redial_ms, 10, REDIAL_MAX_MS),
        ];
        for (field, value, min, max) in fields {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Timing { field, value, min, max });
            }
        }
        Ok(())
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        state_dir = "state"
        [tls]
        ca = "ca.pem"
        cert = "/pki/alpha.pem"
        key = "alpha.key"
        [[guard]]
        id = 1
        address = "127.0.0.1:7401"
        [[key]]
        name = "val"
        chain_id = "chain-1"
        key_file = "priv_validator_key.json"
        [[key.node]]
        name = "node-a"
        address = "tcp://127.0.0.1:26659"
        [[key.node]]
        name = "node-b"
        address = "unix:///run/node-b.sock"
    "#;

    fn parse(text: &str) -> Result<SignerConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_is_read() {
        let mut config = parse(GOOD).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.timing, Timing::default());
        config.resolve_paths(Path::new("/etc/interlock"));
        assert_eq!(config.state_dir, Path::new("/etc/interlock/state"));
        assert_eq!(config.tls.cert, Path::new("/pki/alpha.pem"));
        assert_eq!(config.keys[0].key_file, Path::new("/etc/interlock/priv_validator_key.json"));
    }

    #[test]
    fn a_malformed_or_unknown_field_is_named() {
        for (from, to, expected) in [
            ("state_dir", "statedir", "statedir"),
            ("chain_id", "chain", "`chain`"),
            ("name = \"val\"", "name = \"v l\"", "key name contains ' '"),
            ("tcp://127.0.0.1:26659", "127.0.0.1:26659", "no scheme"),
            ("[tls]", "[timing]\nhold = 3\n[tls]", "`hold`"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |from: &str, to: &str| parse(&GOOD.replace(from, to)).unwrap().check().unwrap_err();
        assert!(matches!(refused("node-b\"", "node-a\""), ConfigError::DuplicateNode { .. }));
        let timing = |line: &str| refused("[tls]", &format!("[timing]\n{line}\n[tls]"));
        assert!(matches!(timing("redial_ms = 501"), ConfigError::Timing { field: "redial_ms", .. }));
        assert!(matches!(timing("hold_ms = 1001"), ConfigError::Timing { field: "hold_ms", max: 1_000, .. }));
        assert!(matches!(timing("answer_deadline_ms = 4001"), ConfigError::Timing { max: 4_000, .. }));

        let mut twice = parse(GOOD).unwrap();
        twice.keys.push(twice.keys[0].clone());
        assert!(matches!(twice.check(), Err(ConfigError::DuplicateKey { .. })));
        twice.keys.clear();
        assert!(matches!(twice.check(), Err(ConfigError::KeyCount { count: 0 })));
    }
}
