//! Three guard nodes and a signer process of ours with several keys; and the hand that kills.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_client::{
    CallLimits, Channels, Guard, GuardEndpoint, KeyHealth, KeySelector, LeaderClient, Repeat,
    SessionIdentity, SessionSettings, Sessions, TlsFiles, get_key,
};
use interlock_core::{ClusterId, Incarnation, KeyId};
use interlock_testkit::cluster::{Cluster, KeyPlan, NODE_IDS, SignerPlan};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::key::{DEADLINE, KeyUnderLoad};
use crate::load::Load;
use crate::program::interlock;

const SIGNER: &str = "alpha";
const CHAIN_ID: &str = "kills-1";
/// Keys that ask at the same time, so that entries carry several approvals.
const KEYS: u8 = 6;
/// Approvals between two rounds of kills, at most.
const APPROVALS_PER_ROUND_MAX: u64 = 400;
/// Quick elections, and leases that stay through them: the nodes are killed, not the signer.
const SETTINGS: &str = "\n[failover]\nsession_grace_ms = 5000\nheartbeat_timeout_ms = 10000\nnode_grace_ms = 5000\n\
     \n[timing]\nheartbeat_interval_ms = 50\nelection_timeout_min_ms = 300\nelection_timeout_max_ms = 600\n\
     \n[storage]\nsnapshot_every_entries = 300\nkeep_entries = 100\n";

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) kills: u64,
    pub(crate) acknowledged: u64,
    pub(crate) checks: u64,
    pub(crate) lost: u64,
    pub(crate) first_loss: Option<String>,
}

pub(crate) struct World {
    cluster: Cluster,
    load: Load,
    _sessions: Sessions,
    _health: watch::Sender<Vec<KeyHealth>>,
    runtime: Runtime,
    directory: TempDir,
}

/// SplitMix64: the same seed chooses the same kills.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

impl World {
    /// Nodes run, keys are added, and approvals come.
    pub(crate) fn running() -> World {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut cluster = started_cluster(directory.path());
        for number in 1..=KEYS {
            add_key(&mut cluster, number);
        }
        let (keys, sessions, health) = runtime.block_on(signer(&cluster, directory.path()));
        let inside = runtime.enter();
        let load = Load::start(keys);
        drop(inside);
        World { cluster, load, _sessions: sessions, _health: health, runtime, directory }
    }

    /// Rounds of kills and checks until this many processes were killed, or a promise was broken.
    pub(crate) fn kill_and_check(mut self, kills: u64, seed: u64) -> Found {
        let mut random = Random(seed);
        let mut found = Found::default();
        while found.kills < kills && found.lost == 0 {
            self.wait_for_approvals(1 + random.below(APPROVALS_PER_ROUND_MAX));
            found.kills += self.kill_round(&mut random);
            if let Err(violation) = self.check_all() {
                found.lost += 1;
                found.first_loss = Some(format!("after {} kills: {violation}", found.kills));
                self.directory.disable_cleanup(true);
                eprintln!("logs and data of this run are kept in {}", self.directory.path().display());
            }
        }
        found.acknowledged = *self.load.shared.acknowledged.borrow();
        found.checks = self.load.shared.checks.load(Ordering::SeqCst);
        self.runtime.block_on(self.load.stop());
        found
    }

    fn wait_for_approvals(&self, count: u64) {
        let mut acknowledged = self.load.shared.acknowledged.subscribe();
        let end = *acknowledged.borrow() + count;
        let reached = async { timeout(DEADLINE, acknowledged.wait_for(|now| *now >= end)).await.is_ok() };
        if !self.runtime.block_on(reached) {
            eprintln!("the load stands still; the check says why");
        }
    }

    /// Kills one node or all, starts them again, and sometimes kills them while they start. Returns how many died.
    fn kill_round(&mut self, random: &mut Random) -> u64 {
        let all = random.below(2) == 0;
        let victims: Vec<u64> =
            if all { NODE_IDS.to_vec() } else { vec![NODE_IDS[random.below(3) as usize]] };
        let again = random.below(4) == 0;
        let mut killed = 0;
        for _ in 0..=u8::from(again) {
            for id in &victims {
                self.cluster.kill_node(*id).unwrap();
                killed += 1;
            }
            for id in &victims {
                self.cluster.start_node(*id).unwrap();
            }
        }
        killed
    }

    /// Every key checks its newest approval.
    fn check_all(&mut self) -> Result<(), String> {
        let round = *self.load.shared.round.borrow() + 1;
        self.load.shared.round.send_replace(round);
        let mut missing = KEYS;
        while missing > 0 {
            let checked = async { timeout(2 * DEADLINE, self.load.checked.recv()).await };
            match self.runtime.block_on(checked) {
                Ok(Some(Ok(checked))) => missing -= u8::from(checked == round),
                Ok(Some(Err(violation))) => return Err(violation),
                Ok(None) | Err(_) => return Err(format!("{missing} keys did not check")),
            }
            self.cluster.must_run().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn started_cluster(directory: &Path) -> Cluster {
    let key_file = directory.join("no-key.json");
    std::fs::write(&key_file, "{}").unwrap();
    let plan = KeyPlan { chain_id: CHAIN_ID.to_owned(), public_key_base64: BASE64.encode([9; 32]), key_file };
    // Its certificate is used; the process itself is ours.
    let signer = SignerPlan {
        name: SIGNER.to_owned(),
        node: "node-a".to_owned(),
        node_address: "tcp://127.0.0.1:1".to_owned(),
    };
    let mut cluster = Cluster::create(interlock(), directory, plan, &[signer]).unwrap();
    for id in NODE_IDS {
        let config = directory.join(format!("guard-{id}/node.toml"));
        let mut file = std::fs::OpenOptions::new().append(true).open(config).unwrap();
        file.write_all(SETTINGS.as_bytes()).unwrap();
        cluster.start_node(id).unwrap();
    }
    cluster.wait_for_leader(None).unwrap();
    cluster
}

fn name_of(number: u8) -> String {
    format!("key-{number}")
}

fn add_key(cluster: &mut Cluster, number: u8) {
    let (name, public_key) = (name_of(number), BASE64.encode([number; 32]));
    let arguments = ["key", "add", "--name", &name, "--chain-id", CHAIN_ID, "--public-key", &public_key];
    let arguments = [&arguments[..], &["--at-height", "0", "--signer", SIGNER]].concat();
    cluster.operate(&arguments).unwrap();
}

/// A signer process: sessions with all nodes, and its keys.
async fn signer(
    cluster: &Cluster,
    directory: &Path,
) -> (Vec<KeyUnderLoad>, Sessions, watch::Sender<Vec<KeyHealth>>) {
    let leader = LeaderClient::new(channels(cluster, directory));
    let mut ids: Vec<KeyId> = Vec::new();
    let mut cluster_id = ClusterId([0; 16]);
    for number in 1..=KEYS {
        let limits = CallLimits {
            deadline: Instant::now() + DEADLINE,
            attempt_timeout: Duration::from_secs(2),
            repeat: Repeat::Always,
        };
        let selector = KeySelector::Name(name_of(number));
        let (cluster, key) = get_key(&leader, &selector, limits).await.unwrap();
        cluster_id = cluster;
        ids.push(interlock_proto::key_id(&key.key_id).unwrap());
    }
    let incarnation = Incarnation([5; 16]);
    let fit =
        |key: &KeyId| KeyHealth { key: *key, fit: true, node_connected: true, asked: None, signed: None };
    let (health, heard) = watch::channel(ids.iter().map(fit).collect());
    let identity = SessionIdentity { cluster: cluster_id, incarnation, keys: ids.clone() };
    let settings = SessionSettings {
        heartbeat_interval: Duration::from_millis(100),
        stall_timeout: Duration::from_millis(2_000),
    };
    let sessions = Sessions::start(leader.clone(), identity, settings, heard);
    let guard = Guard::new(leader, cluster_id, incarnation, Duration::from_millis(500));
    let keys =
        ids.iter().map(|id| KeyUnderLoad::new(*id, guard.clone(), sessions.view(*id).unwrap())).collect();
    (keys, sessions, health)
}

fn channels(cluster: &Cluster, directory: &Path) -> Channels {
    let pki = directory.join("pki");
    let files = TlsFiles {
        ca: pki.join("ca.pem"),
        cert: pki.join(format!("signer-{SIGNER}.pem")),
        key: pki.join(format!("signer-{SIGNER}.key")),
    };
    let endpoint = |id: &u64| {
        let address = cluster.client_address(*id).unwrap().to_string();
        GuardEndpoint { id: *id, address }
    };
    let endpoints: Vec<GuardEndpoint> = NODE_IDS.iter().map(endpoint).collect();
    Channels::new(&endpoints, &files.load().unwrap()).unwrap()
}
