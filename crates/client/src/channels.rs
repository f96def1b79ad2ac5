//! One long-lived channel for each guard node.
//!
//! Channels connect when first used and again after each loss. The name checked in the server's certificate is the
//! node's (`<id>.node.interlock`), whatever the address: another node behind the address is refused by TLS itself.

use crate::config::{GuardEndpoint, TlsMaterial};
use interlock_proto::Identity;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Longest that connecting to a node may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// A connection without traffic is probed this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(1_000);
/// A probe without an answer for this long closes the connection.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(2_000);
/// Most guard nodes that one client talks to.
pub const GUARD_NODES_MAX: usize = 15;

/// Why the guard section of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelsError {
    /// There must be one at least, and not absurdly many.
    #[error("{count} guard nodes are configured: give 1 to {GUARD_NODES_MAX} [[guard]] sections")]
    Count {
        /// Nodes given.
        count: usize,
    },
    /// Two sections for one node.
    #[error("guard node {id} is configured twice: give each node one [[guard]] section")]
    Duplicate {
        /// Which.
        id: u64,
    },
    /// Not `host:port`.
    #[error("guard node {id}: {address:?} is no address of the form host:port")]
    Address {
        /// Of which node.
        id: u64,
        /// As configured.
        address: String,
    },
    /// The certificates were not accepted.
    #[error("guard node {id}: TLS cannot be set up with these certificates: {reason}")]
    Tls {
        /// Of which node.
        id: u64,
        /// The TLS library's reason.
        reason: String,
    },
}

#[derive(Debug)]
struct Node {
    address: String,
    channel: Channel,
    barred: AtomicBool,
}

/// The channels to all guard nodes. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Channels {
    nodes: Arc<BTreeMap<u64, Node>>,
}

impl Channels {
    /// Channels with mTLS. Connects nowhere yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`ChannelsError`].
    pub fn new(endpoints: &[GuardEndpoint], tls: &TlsMaterial) -> Result<Self, ChannelsError> {
        Self::build(endpoints, |guard| {
            let identity = tonic::transport::Identity::from_pem(&tls.cert_pem, tls.key_pem.as_bytes());
            let config = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(&tls.ca_pem))
                .identity(identity)
                .domain_name(Identity::node(guard.id).dns_name());
            endpoint("https", guard)?
                .tls_config(config)
                .map_err(|error| ChannelsError::Tls { id: guard.id, reason: chain_of(&error) })
        })
    }

    /// Channels in clear and without identities, for tests of clients against a server in the same process.
    ///
    /// # Errors
    /// See [`ChannelsError`].
    pub fn plaintext(endpoints: &[GuardEndpoint]) -> Result<Self, ChannelsError> {
        Self::build(endpoints, |guard| endpoint("http", guard))
    }

    fn build(
        endpoints: &[GuardEndpoint],
        connect: impl Fn(&GuardEndpoint) -> Result<Endpoint, ChannelsError>,
    ) -> Result<Self, ChannelsError> {
        if endpoints.is_empty() || endpoints.len() > GUARD_NODES_MAX {
            return Err(ChannelsError::Count { count: endpoints.len() });
        }
        let mut nodes = BTreeMap::new();
        for guard in endpoints {
            let endpoint = connect(guard)?
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .keep_alive_while_idle(true);
            let address = guard.address.clone();
            let node = Node { address, channel: endpoint.connect_lazy(), barred: AtomicBool::new(false) };
            if nodes.insert(guard.id, node).is_some() {
                return Err(ChannelsError::Duplicate { id: guard.id });
            }
        }
        Ok(Self { nodes: Arc::new(nodes) })
    }

    /// Ids of the configured nodes, rising.
    pub fn node_ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.nodes.keys().copied()
    }

    /// The channel to a node; `None` for a node that is not configured.
    #[must_use]
    pub fn channel(&self, node_id: u64) -> Option<Channel> {
        self.nodes.get(&node_id).map(|node| node.channel.clone())
    }

    /// Where a node is dialled.
    #[must_use]
    pub fn address(&self, node_id: u64) -> Option<&str> {
        self.nodes.get(&node_id).map(|node| node.address.as_str())
    }

    /// Marks a node that belongs to another cluster, or no longer does: it is not asked for anything.
    pub(crate) fn set_barred(&self, node_id: u64, barred: bool) {
        if let Some(node) = self.nodes.get(&node_id) {
            node.barred.store(barred, Ordering::Relaxed);
        }
    }

    /// Whether a node may be asked.
    pub(crate) fn is_usable(&self, node_id: u64) -> bool {
        self.nodes.get(&node_id).is_some_and(|node| !node.barred.load(Ordering::Relaxed))
    }
}

fn endpoint(scheme: &str, guard: &GuardEndpoint) -> Result<Endpoint, ChannelsError> {
    let failed = || ChannelsError::Address { id: guard.id, address: guard.address.clone() };
    let port = guard.address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(1..))) {
        return Err(failed());
    }
    Endpoint::from_shared(format!("{scheme}://{}", guard.address)).map_err(|_| failed())
}

/// An error with its causes, in one line.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What a failed call says, in one line for people: the causes when the transport failed, else the server's words.
pub(crate) fn status_text(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        None => status.message().to_owned(),
        Some(cause) => {
            let mut causes = vec![cause.to_string()];
            let mut source = cause.source();
            while let Some(cause) = source {
                causes.push(cause.to_string());
                source = cause.source();
            }
            // Layers that only pass an error on repeat it.
            causes.dedup();
            causes.join(": ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(id: u64, address: &str) -> GuardEndpoint {
        GuardEndpoint { id, address: address.to_owned() }
    }

    #[tokio::test]
    async fn unsound_sections_are_refused() {
        let refused = |guards: &[GuardEndpoint]| Channels::plaintext(guards).unwrap_err();
        assert!(matches!(refused(&[]), ChannelsError::Count { count: 0 }));
        let twice = [guard(1, "127.0.0.1:7401"), guard(1, "127.0.0.1:7411")];
        assert!(matches!(refused(&twice), ChannelsError::Duplicate { id: 1 }));
        for address in ["127.0.0.1", "host:", "host:0", "host:70000", "a b:1"] {
            assert!(
                matches!(refused(&[guard(2, address)]), ChannelsError::Address { id: 2, .. }),
                "{address}"
            );
        }
        assert!(Channels::plaintext(&[guard(1, "[::1]:7401"), guard(2, "node-b:7401")]).is_ok());
    }
}
