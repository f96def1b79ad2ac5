//! A node's configuration: parsed strictly, checked before anything is touched.

use interlock_core::ClusterId;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Room for two segments of the audit trail.
const AUDIT_RETAIN_MIB_MIN: u64 = 32;

/// Everything `node.toml` may say. An unknown field is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// This node's id, unique for the life of the cluster and never used again. Not zero.
    pub node_id: u64,
    /// The cluster that the data must belong to, 32 hex digits. Absent: whatever `node format` made.
    pub cluster_id: Option<String>,
    /// Where this node keeps its log and state. Made by `node format`.
    pub data_dir: PathBuf,
    /// Certificates.
    pub tls: TlsFiles,
    /// Addresses to listen on.
    pub listen: Listen,
    /// The founding members. Read by `node format`; afterwards the log knows the members.
    #[serde(default)]
    pub member: Vec<Member>,
    /// Consensus timing.
    #[serde(default)]
    pub timing: Timing,
    /// Failure detection.
    #[serde(default)]
    pub failover: Failover,
    /// How much log is kept.
    #[serde(default)]
    pub storage: Storage,
}

/// PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate of the cluster's authority.
    pub ca: PathBuf,
    /// This node's certificate, for the name `<node_id>.node.interlock`.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Other guard nodes (port 7400 by convention).
    pub peers: SocketAddr,
    /// Signers and operators (port 7401 by convention).
    pub clients: SocketAddr,
    /// Health over plain HTTP (port 7402 by convention); absent: not served.
    pub http: Option<SocketAddr>,
}

/// One founding member.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its node id.
    pub id: u64,
    /// `host:port` where other nodes reach it.
    pub peer_address: String,
    /// `host:port` where signers and operators reach it.
    pub client_address: String,
}

/// Consensus timing, milliseconds. The defaults suit a round trip of up to 20 ms.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Leader to followers, when idle.
    pub heartbeat_interval_ms: u64,
    /// A follower campaigns between the two after the leader's lease (the maximum) has run out.
    pub election_timeout_min_ms: u64,
    /// See above.
    pub election_timeout_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { heartbeat_interval_ms: 50, election_timeout_min_ms: 200, election_timeout_max_ms: 400 }
    }
}

/// Failure detection, milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// How long a holder whose session closed may take to come back.
    pub session_grace_ms: u64,
    /// How long a holder may be silent.
    pub heartbeat_timeout_ms: u64,
    /// How long a holder's validator node may be gone.
    pub node_grace_ms: u64,
}

impl Default for Failover {
    fn default() -> Self {
        Self { session_grace_ms: 100, heartbeat_timeout_ms: 500, node_grace_ms: 500 }
    }
}

/// How much log and audit trail is kept.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Entries between two snapshots.
    pub snapshot_every_entries: u64,
    /// Entries kept behind a snapshot, so that a follower a little behind needs no snapshot.
    pub keep_entries: u64,
    /// The oldest parts of the audit trail are removed before all of it exceeds this many MiB.
    pub audit_retain_mib: u64,
    /// Parts of the audit trail this many log entries behind are removed too; absent: they are not.
    pub audit_retain_entries: Option<u64>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            snapshot_every_entries: 20_000,
            keep_entries: 5_000,
            audit_retain_mib: 1024,
            audit_retain_entries: None,
        }
    }
}

/// Why a configuration is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Zero is no id.
    #[error("node_id is 0: ids start at 1")]
    ZeroId,
    /// The cluster id does not parse.
    #[error("cluster_id {0:?} is not 32 hex digits: copy what `node format` printed")]
    ClusterId(String),
    /// An id stands twice among the members.
    #[error("member id {id} stands twice: each founding member has its own id")]
    MemberTwice {
        /// The id.
        id: u64,
    },
    /// This node is not among the founding members.
    #[error("node_id {node_id} is not among the members {members:?}: add a [[member]] for it")]
    NotAMember {
        /// This node.
        node_id: u64,
        /// The members given.
        members: Vec<u64>,
    },
    /// An even number of founders tolerates no more failures than one fewer.
    #[error("{count} founding members: use 1, 3 or 5")]
    MemberCount {
        /// How many.
        count: usize,
    },
    /// A founder founds, and does not join.
    #[error(
        "node {node_id} is listed as a founding member: format it without --join, or remove its [[member]]"
    )]
    FounderJoins {
        /// This node.
        node_id: u64,
    },
    /// The audit trail needs room for two parts.
    #[error("storage: audit_retain_mib is {found}: use {AUDIT_RETAIN_MIB_MIN} or more")]
    AuditRetention {
        /// As configured.
        found: u64,
    },
    /// A snapshot after every entry of a batch, or never, is no setting.
    #[error("storage: snapshot_every_entries is 0: use 1 or more")]
    NoSnapshots,
    /// The election timeouts are in the wrong order or too close to the heartbeat.
    #[error(
        "timing: heartbeat {heartbeat_interval_ms} ms, election {election_timeout_min_ms} to \
         {election_timeout_max_ms} ms: need 3 heartbeats <= minimum < maximum"
    )]
    Timing {
        /// As configured.
        heartbeat_interval_ms: u64,
        /// As configured.
        election_timeout_min_ms: u64,
        /// As configured.
        election_timeout_max_ms: u64,
    },
}

impl NodeConfig {
    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// When a setting contradicts itself or another; the message says which.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.node_id == 0 || self.member.iter().any(|member| member.id == 0) {
            return Err(ConfigError::ZeroId);
        }
        self.expected_cluster()?;
        if self.storage.snapshot_every_entries == 0 {
            return Err(ConfigError::NoSnapshots);
        }
        if self.storage.audit_retain_mib < AUDIT_RETAIN_MIB_MIN {
            return Err(ConfigError::AuditRetention { found: self.storage.audit_retain_mib });
        }
        let timing = self.timing;
        let minimum = timing.heartbeat_interval_ms.saturating_mul(3);
        if timing.heartbeat_interval_ms == 0
            || timing.election_timeout_min_ms < minimum
            || timing.election_timeout_max_ms <= timing.election_timeout_min_ms
        {
            return Err(ConfigError::Timing {
                heartbeat_interval_ms: timing.heartbeat_interval_ms,
                election_timeout_min_ms: timing.election_timeout_min_ms,
                election_timeout_max_ms: timing.election_timeout_max_ms,
            });
        }
        Ok(())
    }

    /// The cluster that the data must belong to.
    ///
    /// # Errors
    /// When it is not 32 hex digits.
    pub fn expected_cluster(&self) -> Result<Option<ClusterId>, ConfigError> {
        let Some(text) = &self.cluster_id else { return Ok(None) };
        let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(id) if digits => Ok(Some(ClusterId(id.to_be_bytes()))),
            _ => Err(ConfigError::ClusterId(text.clone())),
        }
    }

    /// Checks the founding members, which only `node format` needs.
    ///
    /// # Errors
    /// When the list is empty, even, has an id twice or lacks this node.
    pub fn check_members(&self) -> Result<(), ConfigError> {
        let mut ids: Vec<u64> = self.member.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::MemberTwice { id: pair[0] });
        }
        if !matches!(ids.len(), 1 | 3 | 5) {
            return Err(ConfigError::MemberCount { count: ids.len() });
        }
        if !ids.contains(&self.node_id) {
            return Err(ConfigError::NotAMember { node_id: self.node_id, members: ids });
        }
        Ok(())
    }

    /// Checks what only a node that joins later needs.
    ///
    /// # Errors
    /// When this node is among the founding members.
    pub fn check_joins(&self) -> Result<(), ConfigError> {
        if self.member.iter().any(|member| member.id == self.node_id) {
            return Err(ConfigError::FounderJoins { node_id: self.node_id });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ids: &[u64]) -> NodeConfig {
        let member = |id: &u64| Member {
            id: *id,
            peer_address: format!("127.0.0.1:{}", 7400 + id),
            client_address: format!("127.0.0.1:{}", 7500 + id),
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        NodeConfig {
            node_id: 1,
            cluster_id: None,
            data_dir: "data".into(),
            tls: TlsFiles { ca: "ca".into(), cert: "cert".into(), key: "key".into() },
            listen: Listen { peers: loopback, clients: loopback, http: None },
            member: ids.iter().map(member).collect(),
            timing: Timing::default(),
            failover: Failover::default(),
            storage: Storage::default(),
        }
    }

    #[test]
    fn founding_members_are_checked() {
        assert_eq!(config(&[1, 2, 3]).check_members(), Ok(()));
        assert_eq!(config(&[1, 2, 2]).check_members(), Err(ConfigError::MemberTwice { id: 2 }));
        assert_eq!(config(&[1, 2]).check_members(), Err(ConfigError::MemberCount { count: 2 }));
        assert_eq!(
            config(&[2, 3, 4]).check_members(),
            Err(ConfigError::NotAMember { node_id: 1, members: vec![2, 3, 4] })
        );
    }

    #[test]
    fn a_founder_does_not_join() {
        assert_eq!(config(&[2, 3, 4]).check_joins(), Ok(()));
        assert_eq!(config(&[1, 2, 3]).check_joins(), Err(ConfigError::FounderJoins { node_id: 1 }));
    }

    #[test]
    fn impossible_timing_is_refused() {
        let mut config = config(&[1]);
        assert_eq!(config.check(), Ok(()));
        config.timing.election_timeout_min_ms = 100;
        assert!(matches!(config.check(), Err(ConfigError::Timing { election_timeout_min_ms: 100, .. })));
        config.storage.audit_retain_mib = 31;
        config.timing = Timing::default();
        assert_eq!(config.check(), Err(ConfigError::AuditRetention { found: 31 }));
        config.storage.snapshot_every_entries = 0;
        assert_eq!(config.check(), Err(ConfigError::NoSnapshots));
        config.node_id = 0;
        assert_eq!(config.check(), Err(ConfigError::ZeroId));
    }

    #[test]
    fn a_cluster_id_is_read_as_format_prints_it() {
        let mut config = config(&[1]);
        config.cluster_id = Some(ClusterId([0xa5; 16]).to_string());
        assert_eq!(config.expected_cluster(), Ok(Some(ClusterId([0xa5; 16]))));
        for wrong in ["", "a5", "+5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5", "x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"] {
            config.cluster_id = Some(wrong.to_owned());
            assert_eq!(config.check(), Err(ConfigError::ClusterId(wrong.to_owned())));
        }
    }
}
