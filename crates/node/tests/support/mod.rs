//! A real cluster in one process: real sockets, real TLS, real files; one directory per node.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod members;
pub(crate) mod signer;

use interlock_core::ClusterId;
use interlock_disk::{Disk as _, RealDisk};
use interlock_node::config::{Failover, Listen, Member, NodeConfig, Storage, Timing, TlsFiles};
use interlock_node::{RunningNode, StartError, StopError, format, format_to_join, start};
use interlock_proto::v1::guard_client::GuardClient;
use interlock_proto::v1::operator_client::OperatorClient;
use interlock_proto::{Identity, Role, v1};
use interlock_store::{IdentityError, StoreOpenError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `check` gives a value.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "did not happen within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Removes the data of a node that was stopped. Its last threads may still be closing their files then, and what they
/// write must not come back.
pub(crate) async fn remove_data(directory: &Path) {
    eventually("the data of a stopped node to be closed and removed", async || {
        let closed = RealDisk.lock(&directory.join("lock")).is_ok();
        (closed && std::fs::remove_dir_all(directory).is_ok()).then_some(())
    })
    .await;
}

/// An authority and what it issues, as files.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.join("ca.pem"), certificate.pem()).unwrap();
        Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, identity: &Identity) -> TlsFiles {
        let name = identity.dns_name();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.clone()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            ca: self.dir.join("ca.pem"),
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        std::fs::write(&files.cert, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], interlock_testkit::ports::free_port().unwrap()))
}

fn config(dir: &Path, authority: &Authority, member: &Member, founders: Vec<Member>) -> NodeConfig {
    NodeConfig {
        node_id: member.id,
        cluster_id: None,
        data_dir: dir.join(format!("node-{}", member.id)),
        tls: authority.issue(&Identity::node(member.id)),
        listen: Listen {
            peers: member.peer_address.parse().unwrap(),
            clients: member.client_address.parse().unwrap(),
            http: None,
        },
        member: founders,
        timing: TIMING,
        failover: Failover::default(),
        storage: Storage::default(),
    }
}

/// Three nodes, those that joined later, and their authority.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) authority: Authority,
    pub(crate) configs: Vec<NodeConfig>,
    pub(crate) nodes: Vec<Option<RunningNode>>,
    dir: TempDir,
}

/// Patient: these tests are about what happens, not how fast, on a machine that may be busy.
const TIMING: Timing =
    Timing { heartbeat_interval_ms: 100, election_timeout_min_ms: 600, election_timeout_max_ms: 1200 };

impl Cluster {
    /// Formats three nodes; none runs yet.
    pub(crate) fn formatted() -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::new(&dir.path().join("pki"));
        let members: Vec<Member> = (1..=3)
            .map(|id| Member {
                id,
                peer_address: free_address().to_string(),
                client_address: free_address().to_string(),
            })
            .collect();
        let configs: Vec<NodeConfig> =
            members.iter().map(|member| config(dir.path(), &authority, member, members.clone())).collect();
        let id = format(&configs[0], None).unwrap();
        for config in &configs[1..] {
            assert_eq!(format(config, Some(id)).unwrap(), id);
        }
        Self { id, authority, configs, nodes: vec![None, None, None], dir }
    }

    /// Formats one more node, to join later. Its index is its id less one, as that of all others.
    pub(crate) fn format_joiner(&mut self) -> usize {
        let index = self.configs.len();
        let member = Member {
            id: index as u64 + 1,
            peer_address: free_address().to_string(),
            client_address: free_address().to_string(),
        };
        let config = config(self.dir.path(), &self.authority, &member, Vec::new());
        format_to_join(&config, self.id).unwrap();
        self.configs.push(config);
        self.nodes.push(None);
        index
    }

    /// Formats and starts three nodes.
    pub(crate) async fn running() -> Self {
        let mut cluster = Self::formatted();
        for index in 0..3 {
            cluster.start(index).await;
        }
        cluster
    }

    pub(crate) async fn start(&mut self, index: usize) {
        let config = self.configs[index].clone();
        let node = eventually("a node whose directory is free", async || match start(config.clone()).await {
            Ok(node) => Some(node),
            // The last task of its predecessor is about to end.
            Err(StartError::Open(StoreOpenError::Identity(IdentityError::Lock(_)))) => None,
            Err(error) => panic!("{error}"),
        });
        self.nodes[index] = Some(node.await);
    }

    pub(crate) async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().shutdown().await;
    }

    /// Waits until the peers refuse a node's data, ends it, and says why they did.
    pub(crate) async fn refused(&mut self, index: usize) -> String {
        let mut node = self.nodes[index].take().unwrap();
        let stopped = tokio::time::timeout(DEADLINE, node.stopped()).await.expect("a refusal");
        node.shutdown().await;
        match stopped {
            Err(StopError::Refused(reason)) => reason,
            other => panic!("stopped for another reason: {other:?}"),
        }
    }

    pub(crate) fn channel(&self, index: usize, caller: &Identity) -> Channel {
        self.channel_to(index, self.configs[index].listen.clients, caller)
    }

    pub(crate) fn peer_channel(&self, index: usize, caller: &Identity) -> Channel {
        self.channel_to(index, self.configs[index].listen.peers, caller)
    }

    fn channel_to(&self, index: usize, address: SocketAddr, caller: &Identity) -> Channel {
        self.channel_with(index, address, &self.authority.issue(caller))
    }

    /// A channel under a certificate of any authority; the server is checked against ours.
    pub(crate) fn channel_with(&self, index: usize, address: SocketAddr, files: &TlsFiles) -> Channel {
        let config = &self.configs[index];
        let read = |path: &PathBuf| std::fs::read(path).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&config.tls.ca)))
            .identity(TlsIdentity::from_pem(read(&files.cert), read(&files.key)))
            .domain_name(Identity::node(config.node_id).dns_name());
        let uri = format!("https://{address}");
        Endpoint::from_shared(uri).unwrap().tls_config(tls).unwrap().connect_lazy()
    }

    pub(crate) fn operator(&self, index: usize) -> OperatorClient<Channel> {
        OperatorClient::new(self.channel(index, &Identity::new("ops", Role::Operator).unwrap()))
    }

    pub(crate) fn signer(&self, index: usize, name: &str) -> GuardClient<Channel> {
        GuardClient::new(self.channel(index, &Identity::new(name, Role::Signer).unwrap()))
    }

    /// The index of the leader, once the running nodes agree on one that runs.
    pub(crate) async fn leader(&self) -> usize {
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].is_some()).collect();
        self.leader_of(&running).await
    }

    /// The index of the leader, once these nodes agree on one that runs.
    pub(crate) async fn leader_of(&self, asked: &[usize]) -> usize {
        eventually("a leader", async || {
            let mut leaders = Vec::new();
            for index in asked {
                let status = self.operator(*index).node_status(v1::NodeStatusRequest {}).await.ok()?;
                leaders.push(usize::try_from(status.into_inner().leader?).unwrap() - 1);
            }
            let runs = |leader: usize| self.nodes[leader].is_some();
            leaders.iter().all(|leader| *leader == leaders[0] && runs(*leader)).then(|| leaders[0])
        })
        .await
    }
}
