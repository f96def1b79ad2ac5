//! One small installation of its own for each test: guard nodes, signers, validator nodes.
//!
//! Waits are for conditions, with one generous deadline. The failure detector is set to be more patient than by
//! default, so that a busy test machine alone moves no lease; the defaults are what `real-chain` and the demo run with.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_privval::PeerId;
use interlock_testkit::cluster::{Cluster, KeyPlan, KeyView, NODE_IDS, SignerPlan};
use interlock_testkit::history::{Entry, read_tap};
use interlock_testkit::wait::{Seen, wait_until};
use interlock_toychain::{Address, Chain, ChainConfig, DoubleSignOutcome, Event, SigningKey};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use crate::program::interlock;

/// No condition takes this long unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);
pub(crate) const CHAIN_ID: &str = "chaos-1";
/// The signers by falling priority; each serves the validator node of the same index.
pub(crate) const SIGNERS: [&str; 2] = ["alpha", "beta"];

const PATIENT_SETTINGS: &str = "\n[failover]\nsession_grace_ms = 1000\nheartbeat_timeout_ms = 2000\nnode_grace_ms = 1000\n\
     \n[timing]\nheartbeat_interval_ms = 100\nelection_timeout_min_ms = 600\nelection_timeout_max_ms = 1200\n";
/// The chain does not wait long for our vote: a test that stops signing sees heights pass.
const PRECOMMIT_WAIT_MS: u64 = 400;

/// Everything that runs. Dropping it ends it; after a failure its files stay.
pub(crate) struct World {
    chain: Option<Chain>,
    pub(crate) cluster: Cluster,
    pub(crate) runtime: Runtime,
    pub(crate) key: SigningKey,
    addresses: Vec<Address>,
    taps: Vec<PathBuf>,
    directory: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("logs and state of this test are kept in {}", self.directory.path().display());
        }
    }
}

impl World {
    /// Everything runs, and heights pass.
    pub(crate) fn running() -> Self {
        let mut world = Self::created(SIGNERS.len());
        world.cluster.start_all().unwrap();
        world.begin();
        world.sign_on(2);
        world
    }

    /// Files are written and validator nodes listen; neither guard nodes nor signers run yet.
    pub(crate) fn created(validator_nodes: usize) -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let key = SigningKey::from_bytes(&[42; 32]);
        let any_port = Address::Tcp { peer_id: None, host: "127.0.0.1".to_owned(), port: 0 };
        let config = chain_config(&key, vec![any_port; validator_nodes]);
        let chain = runtime.block_on(Chain::start(config)).unwrap();
        let addresses = chain.addresses().to_vec();
        let plan = KeyPlan {
            chain_id: CHAIN_ID.to_owned(),
            public_key_base64: BASE64.encode(key.verifying_key().as_bytes()),
            key_file: write_key_file(directory.path(), &key),
        };
        let signers: Vec<SignerPlan> = SIGNERS
            .iter()
            .zip(&addresses)
            .map(|(name, address)| SignerPlan {
                name: (*name).to_owned(),
                node: format!("node-of-{name}"),
                node_address: address.to_string(),
            })
            .collect();
        let cluster = Cluster::create(interlock(), directory.path(), plan, &signers).unwrap();
        for id in NODE_IDS {
            append(&directory.path().join(format!("guard-{id}/node.toml")), PATIENT_SETTINGS);
        }
        let taps = SIGNERS.iter().map(|name| cluster.tap(name).unwrap().to_owned()).collect();
        Self { chain: Some(chain), cluster, runtime, key, addresses, taps, directory }
    }

    /// Lets the heights pass once every validator node has its signer.
    pub(crate) fn begin(&self) {
        self.runtime.block_on(self.chain().wait_until_connected(DEADLINE)).unwrap();
        self.runtime.block_on(self.chain().begin());
    }

    pub(crate) fn chain(&self) -> &Chain {
        self.chain.as_ref().expect("the test has not stopped the chain")
    }

    pub(crate) fn take_chain(&mut self) -> Chain {
        self.chain.take().expect("the test has not stopped the chain")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where a validator node listens for its signer.
    pub(crate) fn address(&self, node: usize) -> &Address {
        &self.addresses[node]
    }

    /// All tap files that count in the end.
    pub(crate) fn taps(&self) -> &[PathBuf] {
        &self.taps
    }

    pub(crate) fn add_tap(&mut self, tap: PathBuf) {
        self.taps.push(tap);
    }

    /// Every signature in a tap so far, in the order in which it was written.
    pub(crate) fn read_tap(&self, tap: &Path) -> Vec<Entry> {
        read_tap(tap, &self.key.verifying_key()).unwrap()
    }

    /// Every signature of a signer so far.
    pub(crate) fn tap(&self, signer: &str) -> Vec<Entry> {
        self.read_tap(self.cluster.tap(signer).unwrap())
    }

    /// Waits until `condition` gives something. Every process that should run must run on.
    pub(crate) fn wait<T>(&mut self, what: &str, mut condition: impl FnMut(&Self) -> Result<T, String>) -> T {
        let waited = wait_until(what, DEADLINE, || {
            if let Err(error) = self.cluster.must_run() {
                return Seen::Hopeless(error.to_string());
            }
            match condition(self) {
                Ok(found) => Seen::Done(found),
                Err(seen) => Seen::Pending(seen),
            }
        });
        waited.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The lease, once somebody holds it.
    pub(crate) fn lease(&mut self) -> (String, u64) {
        self.wait("a holder of the lease", |world| match world.cluster.key() {
            Ok(KeyView { holder: Some(holder), epoch }) => Ok((holder, epoch)),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until the guard would give the lease to this signer.
    pub(crate) fn wait_until_healthy(&mut self, signer: &str) {
        self.wait(&format!("{signer} to be healthy"), |world| {
            let view = world.cluster.view().map_err(|error| error.to_string())?;
            let healthy = view.signers.iter().any(|seen| seen.name == signer && seen.healthy);
            if healthy { Ok(()) } else { Err(format!("{view:?}")) }
        });
    }

    /// Waits until every guard node answers and one leads.
    pub(crate) fn wait_until_whole(&mut self) {
        self.wait("a whole guard", |world| match world.cluster.view() {
            Ok(view) if view.is_whole() => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// The newest height that any node has a signature for.
    fn signed_height(&self) -> i64 {
        let nodes = 0..self.addresses.len();
        let newest = nodes.filter_map(|node| self.chain().last_signature(node));
        newest.map(|signature| signature.height).max().unwrap_or(0)
    }

    /// Waits for a signature `heights` above the present height of the chain: one that nobody has asked for yet.
    pub(crate) fn sign_on(&mut self, heights: i64) {
        let wanted = self.chain().height() + heights;
        self.wait(&format!("a signature at height {wanted}"), |world| match world.signed_height() {
            height if height >= wanted => Ok(()),
            height => Err(format!("signed up to {height}, the chain is at {}", world.chain().height())),
        });
    }

    /// Strikes, and waits for a signature of another signer than `holder`; returns its name.
    pub(crate) fn takeover_from(&mut self, holder: &str, fault: impl FnOnce(&mut Self)) -> &'static str {
        let (node, struck_at) = (node_of(holder), Instant::now());
        fault(self);
        let found = self.chain().first_signature_elsewhere(node, struck_at, DEADLINE);
        let found = self.runtime.block_on(found);
        let first = found
            .unwrap_or_else(|| panic!("no other signer took over from {holder}: {:?}", self.cluster.key()));
        SIGNERS[first.node]
    }

    /// Waits for the first event that `pick` likes.
    pub(crate) fn wait_for_event<T>(
        &self,
        events: &mut broadcast::Receiver<Event>,
        what: &str,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                let event =
                    events.recv().await.expect("the chain lives, and a test keeps up with its events");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        let found = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, search).await });
        found.unwrap_or_else(|_| panic!("no event in time: {what}"))
    }

    /// Has a validator node ask for a vote against the newest one, until its signer refuses with one of `rules`. Before
    /// that it may say that it does not hold the lease or cannot reach the guard: news take their time.
    pub(crate) fn wait_until_refused(&mut self, node: usize, rules: &[&str]) {
        self.wait(&format!("a double sign refused by one of {rules:?}"), |world| {
            match world.runtime.block_on(world.chain().attempt_double_sign(node)) {
                Ok(DoubleSignOutcome::Refused { description, .. }) => {
                    let by_rule = rules.iter().any(|rule| description.starts_with(rule));
                    if by_rule { Ok(()) } else { Err(description) }
                }
                Ok(signed @ DoubleSignOutcome::Signed { .. }) => panic!("a double sign: {signed:?}"),
                Err(error) => Err(error.to_string()),
            }
        });
    }
}

/// The validator node that a signer serves.
pub(crate) fn node_of(signer: &str) -> usize {
    SIGNERS.iter().position(|name| *name == signer).expect("one of the two signers")
}

/// Adds lines to a configuration file.
pub(crate) fn append(file: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn chain_config(key: &SigningKey, listen: Vec<Address>) -> ChainConfig {
    let mut config = ChainConfig::new(CHAIN_ID, key.verifying_key(), listen);
    config.precommit_wait_ms = PRECOMMIT_WAIT_MS;
    config
}

/// The key as CometBFT keeps it.
fn write_key_file(directory: &Path, key: &SigningKey) -> PathBuf {
    let public = key.verifying_key();
    let document = serde_json::json!({
        "address": PeerId::of(&public).to_string().to_uppercase(),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": BASE64.encode(public.as_bytes())},
        "priv_key": {"type": "tendermint/PrivKeyEd25519", "value": BASE64.encode(key.to_keypair_bytes())},
    });
    let path = directory.join("priv_validator_key.json");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.unwrap().write_all(document.to_string().as_bytes()).unwrap();
    path
}
