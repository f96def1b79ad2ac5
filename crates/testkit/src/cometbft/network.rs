//! One network: its homes on disk and its running nodes.
//!
//! `Layout::create` writes everything; `Network` starts, kills and restarts nodes on it. Ports are fixed per home, so
//! that a restarted node is the same node to its peers and to its signer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::VerifyingKey;
use serde_json::Value;

use super::config::{ConfigError, set_value};
use super::rpc::Rpc;
use crate::json::{self, JsonError};
use crate::ports::{NoFreePort, free_port};
use crate::process::{Process, ProcessError, ProcessSpec, RunError, run_to_end};

/// The two full nodes that may carry validator 0.
pub const GUARDED_NODES: [&str; 2] = ["node0a", "node0b"];
/// The validators that sign with a key file of their own.
pub const PLAIN_NODES: [&str; 3] = ["node1", "node2", "node3"];

/// Consensus timeouts: short enough for a test, in the proportions of a real chain (about two blocks a second).
const TIMEOUTS: [(&str, &str); 5] = [
    ("timeout_propose", "\"600ms\""),
    ("timeout_prevote", "\"200ms\""),
    ("timeout_precommit", "\"200ms\""),
    ("timeout_commit", "\"300ms\""),
    ("peer_gossip_sleep_duration", "\"25ms\""),
];

/// A network could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A node command failed.
    #[error(transparent)]
    Command(#[from] RunError),
    /// A file could not be read, written or moved.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A node's configuration lacks a setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No port left.
    #[error(transparent)]
    Port(#[from] NoFreePort),
    /// A JSON file has an unexpected shape.
    #[error(transparent)]
    Shape(#[from] JsonError),
    /// A key file does not hold an ed25519 key.
    #[error("{0} holds no ed25519 public key")]
    Key(PathBuf),
}

/// A node could not be started or killed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No node of this name.
    #[error("no node is called {0}")]
    UnknownNode(String),
    /// The node is not running.
    #[error("{0} is not running")]
    NotRunning(String),
    /// The socket that a killed node left behind cannot be removed.
    #[error("cannot remove the socket {socket} that a killed node left behind: {source}")]
    StaleSocket {
        /// The file.
        socket: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its process made trouble.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// The guarded validator.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its `priv_validator_key.json`, outside every node's home.
    pub key_file: PathBuf,
    /// Its public key.
    pub public_key: VerifyingKey,
    /// The same as base64.
    pub public_key_base64: String,
    /// Its address in upper hex, as commits show it.
    pub address: String,
}

/// The home of one node.
#[derive(Debug, Clone)]
pub struct NodeHome {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Where it answers RPC.
    pub rpc: Rpc,
    /// Where it waits for its remote signer; `None` when it signs with its own key file.
    pub signer_address: Option<String>,
    p2p_port: u16,
    rpc_address: SocketAddr,
}

/// A network on disk.
#[derive(Debug)]
pub struct Layout {
    /// The guarded validator.
    pub identity: Identity,
    /// The chain.
    pub chain_id: String,
    program: PathBuf,
    logs: PathBuf,
    homes: BTreeMap<String, NodeHome>,
}

/// A running network. Dropping it ends its nodes.
#[derive(Debug)]
pub struct Network {
    layout: Layout,
    running: BTreeMap<String, Process>,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> LayoutError {
    let path = path.to_owned();
    move |source| LayoutError::File { path, source }
}

impl Layout {
    /// Writes the homes of a new network under `directory`. `signer_addresses` are the addresses at which `node0a` and
    /// `node0b` wait for their signers; with `None` a node keeps a throw-away key and signs nothing that counts.
    pub fn create(
        program: &Path,
        directory: &Path,
        signer_addresses: [Option<String>; 2],
    ) -> Result<Self, LayoutError> {
        let logs = directory.join("logs");
        std::fs::create_dir_all(&logs).map_err(file_error(&logs))?;
        let mut testnet = Command::new(program);
        testnet.args(["testnet", "--v", "4", "--n", "1", "--o"]).arg(directory);
        run_to_end(&mut testnet)?;
        let identity = take_identity(directory)?;
        let chain_id = chain_id(directory)?;
        let [first, second] = GUARDED_NODES;
        let [first_address, second_address] = signer_addresses;
        let mut homes = BTreeMap::new();
        let guarded = [(first, "node0", first_address), (second, "node4", second_address)];
        let plain = PLAIN_NODES.map(|name| (name, name, None));
        for (name, folder, signer_address) in guarded.into_iter().chain(plain) {
            homes.insert(name.to_owned(), home(directory, name, folder, signer_address)?);
        }
        let layout = Self { identity, chain_id, program: program.to_owned(), logs, homes };
        layout.configure()?;
        Ok(layout)
    }

    /// Copies the guarded key file into the homes of `nodes`, which then sign by themselves: one node for a network to
    /// compare with, two for one that double-signs.
    pub fn with_key_on(self, nodes: &[&str]) -> Result<Self, LayoutError> {
        for name in nodes {
            let target = self.homes[*name].directory.join("config/priv_validator_key.json");
            std::fs::copy(&self.identity.key_file, &target).map_err(file_error(&target))?;
        }
        Ok(self)
    }

    /// The home called `name`.
    pub fn home(&self, name: &str) -> Result<&NodeHome, NetworkError> {
        self.homes.get(name).ok_or_else(|| NetworkError::UnknownNode(name.to_owned()))
    }

    /// All homes.
    pub fn homes(&self) -> impl Iterator<Item = &NodeHome> {
        self.homes.values()
    }

    fn configure(&self) -> Result<(), LayoutError> {
        let mut peers = BTreeMap::new();
        for home in self.homes.values() {
            let mut show = Command::new(&self.program);
            let id = run_to_end(show.args(["show-node-id", "--home"]).arg(&home.directory))?;
            peers.insert(home.name.as_str(), format!("{}@127.0.0.1:{}", id.trim(), home.p2p_port));
        }
        for home in self.homes.values() {
            let others = peers.iter().filter(|(name, _)| **name != home.name);
            let others: Vec<&str> = others.map(|(_, peer)| peer.as_str()).collect();
            home.configure(&others.join(","))?;
        }
        Ok(())
    }
}

impl NodeHome {
    fn configure(&self, persistent_peers: &str) -> Result<(), LayoutError> {
        let path = self.directory.join("config/config.toml");
        let mut text = std::fs::read_to_string(&path).map_err(file_error(&path))?;
        let quoted = |value: &str| format!("\"{value}\"");
        let signer = self.signer_address.as_deref().unwrap_or("");
        let settings = [
            ("", "moniker", quoted(&self.name)),
            ("", "priv_validator_laddr", quoted(signer)),
            ("rpc", "laddr", quoted(&format!("tcp://{}", self.rpc_address))),
            ("p2p", "laddr", quoted(&format!("tcp://127.0.0.1:{}", self.p2p_port))),
            ("p2p", "persistent_peers", quoted(persistent_peers)),
            // A killed peer is dialled again soon; the default backs off for minutes.
            ("p2p", "persistent_peers_max_dial_period", quoted("1s")),
            ("p2p", "pex", "false".to_owned()),
        ];
        for (section, key, value) in settings {
            text = set_value(&text, section, key, &value)?;
        }
        if self.signer_address.is_some() {
            // Its log then names every vote that it got signed.
            text = set_value(&text, "", "log_level", &quoted("consensus:debug,*:info"))?;
        }
        for (key, value) in TIMEOUTS {
            text = set_value(&text, "consensus", key, value)?;
        }
        std::fs::write(&path, text).map_err(file_error(&path))
    }
}

/// Moves validator 0's key out of its home and leaves a throw-away key (that of the extra, non-validator node) there,
/// so that a guarded node that falls back to its own file signs nothing that anyone accepts.
fn take_identity(directory: &Path) -> Result<Identity, LayoutError> {
    let in_home = directory.join("node0/config/priv_validator_key.json");
    let throw_away = directory.join("node4/config/priv_validator_key.json");
    let key_file = directory.join("guarded_validator_key.json");
    std::fs::rename(&in_home, &key_file).map_err(file_error(&in_home))?;
    std::fs::copy(&throw_away, &in_home).map_err(file_error(&throw_away))?;
    let document = read_json(&key_file)?;
    let public_key_base64 = json::text(&document, "/pub_key/value")?.to_owned();
    let bytes: Option<[u8; 32]> = BASE64.decode(&public_key_base64).ok().and_then(|key| key.try_into().ok());
    let public_key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let public_key = public_key.ok_or_else(|| LayoutError::Key(key_file.clone()))?;
    let address = json::text(&document, "/address")?.to_owned();
    Ok(Identity { key_file, public_key, public_key_base64, address })
}

fn chain_id(directory: &Path) -> Result<String, LayoutError> {
    let genesis = read_json(&directory.join("node0/config/genesis.json"))?;
    Ok(json::text(&genesis, "/chain_id")?.to_owned())
}

fn read_json(path: &Path) -> Result<Value, LayoutError> {
    let text = std::fs::read_to_string(path).map_err(file_error(path))?;
    serde_json::from_str(&text)
        .map_err(|error| LayoutError::File { path: path.to_owned(), source: error.into() })
}

fn home(
    directory: &Path,
    name: &str,
    folder: &str,
    signer_address: Option<String>,
) -> Result<NodeHome, LayoutError> {
    let rpc_address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut home = directory.join(folder);
    if folder != name {
        let renamed = directory.join(name);
        std::fs::rename(&home, &renamed).map_err(file_error(&home))?;
        home = renamed;
    }
    Ok(NodeHome {
        name: name.to_owned(),
        directory: home,
        rpc: Rpc::new(rpc_address),
        signer_address,
        p2p_port: free_port()?,
        rpc_address,
    })
}

impl Network {
    /// A network of which no node runs yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, running: BTreeMap::new() }
    }

    /// Its layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The RPC of a node.
    pub fn rpc(&self, name: &str) -> Result<Rpc, NetworkError> {
        Ok(self.layout.home(name)?.rpc)
    }

    /// Starts a node, or starts it again after it was killed. A killed node leaves the file of its unix socket behind
    /// and would refuse to start on it, so the file is removed first, as an operator's service unit has to.
    pub fn start(&mut self, name: &str) -> Result<(), NetworkError> {
        let home = self.layout.home(name)?;
        if let Some(socket) =
            home.signer_address.as_deref().and_then(|address| address.strip_prefix("unix://"))
        {
            match std::fs::remove_file(socket) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(NetworkError::StaleSocket { socket: socket.to_owned(), source });
                }
                _ => {}
            }
        }
        let log = self.layout.logs.join(format!("{name}.log"));
        let process = ProcessSpec::new(name, &self.layout.program, log)
            .argument("start")
            .argument("--home")
            .argument(&home.directory)
            .argument("--proxy_app")
            .argument("kvstore")
            .start()?;
        self.running.insert(name.to_owned(), process);
        Ok(())
    }

    /// Kills a running node with SIGKILL.
    pub fn kill(&mut self, name: &str) -> Result<(), NetworkError> {
        self.layout.home(name)?;
        let mut process =
            self.running.remove(name).ok_or_else(|| NetworkError::NotRunning(name.to_owned()))?;
        Ok(process.kill()?)
    }

    /// Fails when a node that was started has ended by itself, with the end of its log.
    pub fn must_run(&mut self) -> Result<(), NetworkError> {
        for process in self.running.values_mut() {
            process.must_run()?;
        }
        Ok(())
    }

    /// The log of a node.
    pub fn log(&self, name: &str) -> PathBuf {
        self.layout.logs.join(format!("{name}.log"))
    }
}
