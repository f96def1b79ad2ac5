//! The network, the guard and the taps of one run, and what "all healthy" means.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use interlock_testkit::cluster::{Cluster, KeyPlan, SignerPlan};
use interlock_testkit::cometbft::{GUARDED_NODES, Layout, Network, PLAIN_NODES, Rpc};
use interlock_testkit::history::{Entry, TapFollower};
use interlock_testkit::ports::free_port;
use interlock_testkit::wait::{Seen, wait_until};

use crate::Outcome;

/// How long the whole may take to become healthy, at the start or after a fault was mended.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(60);
/// A signer that signs has left a signature this recently (a block takes about half a second).
const FRESH_SIGNATURE_NS: u64 = 3_000_000_000;
/// Nodes of the guarded validator may be this many heights behind the others and still count as caught up.
const LAG_HEIGHTS_MAX: u64 = 1;

/// Heights between two faults: the system has settled, and the run as a whole signs enough of them.
const QUIET_HEIGHTS: u64 = 8;

/// The signers by falling priority, each with the validator node it serves.
const SIGNERS: [(&str, &str); 2] = [("alpha", GUARDED_NODES[0]), ("beta", GUARDED_NODES[1])];

pub(super) struct World {
    pub(super) network: Network,
    pub(super) cluster: Cluster,
    taps: Vec<TapFollower>,
    last_healthy_height: u64,
    _socket: Socket,
}

/// Everything runs, one signer holds the lease and another could take it.
pub(super) struct Healthy {
    pub(super) holder: String,
    pub(super) leader: u64,
    pub(super) height: u64,
    candidate: String,
    epoch: u64,
}

impl fmt::Display for Healthy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, leader, height, candidate, epoch } = self;
        write!(
            out,
            "height {height}: {holder} signs in epoch {epoch}, {candidate} could, node {leader} leads"
        )
    }
}

/// A unix socket whose path is short (the system allows 107 bytes) and which is removed at the end.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // Already gone when the node that made it removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Nanoseconds since 1970, the clock of the taps: everything runs on one machine.
pub(super) fn now_unix_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970");
    u64::try_from(elapsed.as_nanos()).expect("64 bits of nanoseconds last until 2554")
}

/// The validator node that a signer serves.
pub(super) fn node_of(signer: &str) -> &'static str {
    let found = SIGNERS.iter().find(|(name, _)| *name == signer);
    found.expect("only the two signers of the plan have taps and leases").1
}

impl World {
    /// Lays everything out under `directory` and starts it: the guard and its signers first, because a validator node
    /// waits only three seconds for its signer; the guarded nodes before the others, so that no height is missed.
    pub(super) fn start(interlock: &Path, node: &Path, directory: &Path) -> Outcome<Self> {
        let socket = Socket(std::env::temp_dir().join(format!("interlock-{}.sock", std::process::id())));
        let tcp = format!("tcp://127.0.0.1:{}", free_port()?);
        let unix = format!("unix://{}", socket.0.display());
        let addresses = [tcp, unix];
        let layout = Layout::create(node, &directory.join("net"), addresses.clone().map(Some))?;
        let signers: Vec<SignerPlan> = SIGNERS
            .iter()
            .zip(addresses)
            .map(|((name, node), node_address)| SignerPlan {
                name: (*name).to_owned(),
                node: (*node).to_owned(),
                node_address,
            })
            .collect();
        let key = KeyPlan {
            chain_id: layout.chain_id.clone(),
            public_key_base64: layout.identity.public_key_base64.clone(),
            key_file: layout.identity.key_file.clone(),
        };
        let mut cluster = Cluster::create(interlock, &directory.join("guard"), key, &signers)?;
        cluster.start_all()?;
        let public_key = layout.identity.public_key;
        let mut taps = Vec::new();
        for (name, _) in SIGNERS {
            taps.push(TapFollower::new(cluster.tap(name)?, public_key));
        }
        let mut network = Network::new(layout);
        for name in GUARDED_NODES.into_iter().chain(PLAIN_NODES) {
            network.start(name)?;
        }
        Ok(Self { network, cluster, taps, last_healthy_height: 0, _socket: socket })
    }

    /// The RPC of a node that no fault hits.
    pub(super) fn observer(&self) -> Outcome<Rpc> {
        Ok(self.network.rpc(PLAIN_NODES[0])?)
    }

    /// All signatures that left the signers so far, oldest first.
    pub(super) fn signatures(&mut self) -> Outcome<Vec<Entry>> {
        let mut all = Vec::new();
        for tap in &mut self.taps {
            all.extend_from_slice(tap.refresh()?);
        }
        all.sort_by_key(|entry| entry.time_unix_ns);
        Ok(all)
    }

    /// Fails when something that should run has ended by itself.
    pub(super) fn must_run(&mut self) -> Outcome<()> {
        self.network.must_run()?;
        self.cluster.must_run()?;
        Ok(())
    }

    /// Waits for a whole cluster, a holder whose signatures reach the chain, a healthy candidate, and some heights of
    /// undisturbed signing since the last call.
    pub(super) fn wait_until_healthy(&mut self) -> Outcome<Healthy> {
        let height_wanted = self.last_healthy_height + QUIET_HEIGHTS;
        let healthy = wait_until("everything to be healthy", HEALTHY_TIMEOUT, || {
            if let Err(error) = self.must_run() {
                return Seen::Hopeless(error.to_string());
            }
            match self.look(height_wanted) {
                Ok(Ok(healthy)) => Seen::Done(healthy),
                Ok(Err(missing)) => Seen::Pending(missing),
                Err(error) => Seen::Pending(error.to_string()),
            }
        })?;
        self.last_healthy_height = healthy.height;
        Ok(healthy)
    }

    /// One look: healthy, or what is missing.
    fn look(&mut self, height_wanted: u64) -> Outcome<Result<Healthy, String>> {
        let newest = self.signatures()?.last().map_or(0, |entry| entry.time_unix_ns);
        if now_unix_ns().saturating_sub(newest) > FRESH_SIGNATURE_NS {
            return Ok(Err("no fresh signature".to_owned()));
        }
        let height = self.observer()?.status()?.height;
        if height < height_wanted {
            return Ok(Err(format!("the chain is at {height}, wanted is {height_wanted}")));
        }
        for name in GUARDED_NODES {
            let status = self.network.rpc(name)?.status()?;
            if status.catching_up || status.height + LAG_HEIGHTS_MAX < height {
                return Ok(Err(format!("{name} is behind: {status:?}, the chain is at {height}")));
            }
        }
        let view = self.cluster.view()?;
        let Some(leader) = view.leader.filter(|_| view.is_whole()) else {
            return Ok(Err(format!("the guard is not whole: {view:?}")));
        };
        let key = self.cluster.key()?;
        let Some(holder) = key.holder else { return Ok(Err("nobody holds the lease".to_owned())) };
        let mut healthy = view.signers.iter().filter(|signer| signer.healthy).map(|signer| &signer.name);
        let Some(candidate) = healthy.find(|name| **name != holder) else {
            return Ok(Err(format!("{holder} holds the lease and no other signer is healthy: {view:?}")));
        };
        if !self.is_on_chain(height.saturating_sub(1))? {
            return Ok(Err(format!("our vote is not in the commit of height {}", height.saturating_sub(1))));
        }
        Ok(Ok(Healthy { holder, leader, height, candidate: candidate.clone(), epoch: key.epoch }))
    }

    /// Whether the final commit of `height` carries a vote of the guarded validator.
    pub(super) fn is_on_chain(&self, height: u64) -> Outcome<bool> {
        if height == 0 {
            return Ok(false);
        }
        let address = &self.network.layout().identity.address;
        Ok(self.observer()?.commit(height)?.iter().any(|vote| vote.address == *address))
    }
}
