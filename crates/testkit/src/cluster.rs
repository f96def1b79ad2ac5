//! A guard cluster of real processes: three nodes and some signers, driven only through the `interlock` program.
//!
//! Each signer reaches each node over a `Link` of its own, so that one signer can be cut off from the guard without
//! touching anything else. Certificates name roles and names, not addresses, so the links do not disturb TLS.

mod files;
mod members;
mod view;

use std::collections::BTreeMap;
use std::io;
use std::net::{AddrParseError, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::json::JsonError;
use crate::link::Link;
use crate::ports::{NoFreePort, free_port};
use crate::process::{Process, ProcessError, ProcessSpec, RunError, run_to_end};
use crate::wait::{Seen, WaitError, wait_until};

pub use view::{ClusterView, KeyView, NodeView, SignerView};

/// Founding members of the cluster.
pub const NODE_IDS: [u64; 3] = [1, 2, 3];
/// Name of the guarded key.
pub const KEY_NAME: &str = "val";
/// How long an election may take on a busy test machine.
const LEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// The guarded key.
#[derive(Debug, Clone)]
pub struct KeyPlan {
    /// The chain it signs for.
    pub chain_id: String,
    /// Its public key.
    pub public_key_base64: String,
    /// Its `priv_validator_key.json`; every signer gets a copy.
    pub key_file: PathBuf,
}

/// One signer and the validator node it serves.
#[derive(Debug, Clone)]
pub struct SignerPlan {
    /// Its name.
    pub name: String,
    /// Name of its validator node.
    pub node: String,
    /// Where that node waits for it: `tcp://` or `unix://`.
    pub node_address: String,
}

/// A cluster could not be set up, asked or disturbed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link could not be opened.
    #[error("cannot open a link: {0}")]
    Link(io::Error),
    /// No port left.
    #[error(transparent)]
    Port(#[from] NoFreePort),
    /// An address of our own making does not parse.
    #[error(transparent)]
    Address(#[from] AddrParseError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] RunError),
    /// A process made trouble.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A command printed something else than the agreed JSON.
    #[error("{command} did not print the JSON it should: {source}")]
    NotJson {
        /// The command.
        command: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The JSON lacks something.
    #[error(transparent)]
    Shape(#[from] JsonError),
    /// A condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The name is not in the plan.
    #[error("the plan has no {kind} {name}")]
    Unknown {
        /// Signer or node.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// It is not running.
    #[error("{0} is not running")]
    NotRunning(String),
}

/// A guard node.
#[derive(Debug)]
struct GuardNode {
    spec: ProcessSpec,
    process: Option<Process>,
    client_address: SocketAddr,
    peer_address: String,
}

/// A signer with its links, one per guard node.
#[derive(Debug)]
struct SignerHome {
    spec: ProcessSpec,
    process: Option<Process>,
    links: Vec<Link>,
    config: PathBuf,
    tap: PathBuf,
}

/// The cluster. Dropping it ends its processes.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    directory: PathBuf,
    cluster_id: String,
    operator_config: PathBuf,
    key: KeyPlan,
    nodes: BTreeMap<u64, GuardNode>,
    signers: BTreeMap<String, SignerHome>,
    priority: Vec<String>,
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::File { path, source }
}

impl Cluster {
    /// Writes certificates and configurations under `directory` and formats three nodes. Nothing runs yet. `signers`
    /// are in order of priority.
    pub fn create(
        program: &Path,
        directory: &Path,
        key: KeyPlan,
        signers: &[SignerPlan],
    ) -> Result<Self, ClusterError> {
        let logs = directory.join("logs");
        std::fs::create_dir_all(&logs).map_err(file_error(&logs))?;
        let pki = files::Pki::create(program, &directory.join("pki"))?;
        let members = files::members()?;
        let mut nodes = BTreeMap::new();
        let mut cluster_id = None;
        for member in &members {
            let certificate = pki.issue(program, "node", &member.id.to_string())?;
            let config = files::write_node(directory, &members, member, &certificate)?;
            let given = cluster_id.iter().flat_map(|id: &String| ["--cluster-id", id]).collect::<Vec<_>>();
            let printed = format_node(program, &config, &given)?;
            cluster_id.get_or_insert(printed);
            nodes.insert(member.id, guard_node(program, &logs, member, &config)?);
        }
        let cluster_id = cluster_id.unwrap_or_default();
        let certificate = pki.issue(program, "operator", "tester")?;
        let operator_config = files::write_operator(directory, &members, &certificate)?;
        let mut homes = BTreeMap::new();
        for signer in signers {
            let certificate = pki.issue(program, "signer", &signer.name)?;
            let home = signer_home(program, directory, &key, &members, signer, &certificate)?;
            homes.insert(signer.name.clone(), home);
        }
        let priority = signers.iter().map(|signer| signer.name.clone()).collect();
        let (program, directory) = (program.to_owned(), directory.to_owned());
        Ok(Self { program, directory, cluster_id, operator_config, key, nodes, signers: homes, priority })
    }

    /// Starts all nodes, waits for a leader, adds the key, enrolls and starts all signers.
    pub fn start_all(&mut self) -> Result<(), ClusterError> {
        for id in NODE_IDS {
            self.start_node(id)?;
        }
        self.wait_for_leader(None)?;
        self.add_key()?;
        for name in self.priority.clone() {
            self.enroll_signer(&name)?;
            self.start_signer(&name)?;
        }
        Ok(())
    }

    /// Starts a guard node, for the first time or again.
    pub fn start_node(&mut self, id: u64) -> Result<(), ClusterError> {
        let node = self.node_mut(id)?;
        node.process = Some(node.spec.start()?);
        Ok(())
    }

    /// Kills a guard node with SIGKILL.
    pub fn kill_node(&mut self, id: u64) -> Result<(), ClusterError> {
        let process = self.node_mut(id)?.process.take();
        Ok(process.ok_or_else(|| ClusterError::NotRunning(format!("guard node {id}")))?.kill()?)
    }

    /// Starts a signer, for the first time or again.
    pub fn start_signer(&mut self, name: &str) -> Result<(), ClusterError> {
        let signer = self.signer_mut(name)?;
        signer.process = Some(signer.spec.start()?);
        Ok(())
    }

    /// Kills a signer with SIGKILL.
    pub fn kill_signer(&mut self, name: &str) -> Result<(), ClusterError> {
        let process = self.signer_mut(name)?.process.take();
        Ok(process.ok_or_else(|| ClusterError::NotRunning(name.to_owned()))?.kill()?)
    }

    /// The running process of a signer, for pausing it.
    pub fn signer_process(&mut self, name: &str) -> Result<&mut Process, ClusterError> {
        let process = self.signer_mut(name)?.process.as_mut();
        process.ok_or_else(|| ClusterError::NotRunning(name.to_owned()))
    }

    /// Cuts a signer off from every guard node, silently.
    pub fn cut_off(&self, signer: &str) -> Result<(), ClusterError> {
        self.signer(signer)?.links.iter().for_each(Link::cut);
        Ok(())
    }

    /// Heals what `cut_off` cut.
    pub fn heal(&self, signer: &str) -> Result<(), ClusterError> {
        self.signer(signer)?.links.iter().for_each(Link::heal);
        Ok(())
    }

    /// Where a signer records what it signs.
    pub fn tap(&self, signer: &str) -> Result<&Path, ClusterError> {
        Ok(&self.signer(signer)?.tap)
    }

    /// Names of the signers, by falling priority.
    pub fn signer_names(&self) -> &[String] {
        &self.priority
    }

    /// Where a guard node listens for clients.
    pub fn client_address(&self, id: u64) -> Result<SocketAddr, ClusterError> {
        let node = self.nodes.get(&id);
        Ok(node.ok_or_else(|| unknown("guard node", &id.to_string()))?.client_address)
    }

    /// Fails when a process that should run has ended by itself.
    pub fn must_run(&mut self) -> Result<(), ClusterError> {
        let nodes = self.nodes.values_mut().filter_map(|node| node.process.as_mut());
        let signers = self.signers.values_mut().filter_map(|signer| signer.process.as_mut());
        for process in nodes.chain(signers) {
            process.must_run()?;
        }
        Ok(())
    }

    /// `interlock cluster status`.
    pub fn view(&self) -> Result<ClusterView, ClusterError> {
        let arguments = ["cluster", "status", "--output", "json"];
        ClusterView::read(&self.operate_json(&arguments)?).map_err(ClusterError::from)
    }

    /// `interlock key show`.
    pub fn key(&self) -> Result<KeyView, ClusterError> {
        let arguments = ["key", "show", KEY_NAME, "--output", "json"];
        KeyView::read(&self.operate_json(&arguments)?).map_err(ClusterError::from)
    }

    /// Waits until the cluster has a leader other than `not`, and returns it.
    pub fn wait_for_leader(&mut self, not: Option<u64>) -> Result<u64, ClusterError> {
        let found = wait_until("a leader", LEADER_TIMEOUT, || {
            if let Err(error) = self.must_run() {
                return Seen::Hopeless(error.to_string());
            }
            match self.view().map(|view| view.leader) {
                Ok(Some(leader)) if Some(leader) != not => Seen::Done(leader),
                Ok(leader) => Seen::Pending(format!("leader {leader:?}")),
                Err(error) => Seen::Pending(error.to_string()),
            }
        });
        Ok(found?)
    }

    fn add_key(&self) -> Result<(), ClusterError> {
        let key = &self.key;
        let mut arguments = vec!["key", "add", "--name", KEY_NAME, "--chain-id", &key.chain_id];
        arguments.extend(["--public-key", &key.public_key_base64, "--at-height", "0"]);
        for signer in &self.priority {
            arguments.extend(["--signer", signer]);
        }
        self.operate(&arguments).map(drop)
    }

    /// Enrolls a signer that has no local watermark yet, or none any more.
    pub fn enroll_signer(&self, name: &str) -> Result<(), ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(["signer", "enroll", "--config"]).arg(&self.signer(name)?.config);
        run_to_end(&mut command)?;
        Ok(())
    }

    /// Runs an operator's command and returns what it prints.
    pub fn operate(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(&self.operator_config);
        Ok(run_to_end(&mut command)?)
    }

    fn operate_json(&self, arguments: &[&str]) -> Result<serde_json::Value, ClusterError> {
        let printed = self.operate(arguments)?;
        serde_json::from_str(&printed)
            .map_err(|source| ClusterError::NotJson { command: arguments.join(" "), source })
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut GuardNode, ClusterError> {
        self.nodes.get_mut(&id).ok_or_else(|| unknown("guard node", &id.to_string()))
    }

    fn signer(&self, name: &str) -> Result<&SignerHome, ClusterError> {
        self.signers.get(name).ok_or_else(|| unknown("signer", name))
    }

    fn signer_mut(&mut self, name: &str) -> Result<&mut SignerHome, ClusterError> {
        self.signers.get_mut(name).ok_or_else(|| unknown("signer", name))
    }
}

fn unknown(kind: &'static str, name: &str) -> ClusterError {
    ClusterError::Unknown { kind, name: name.to_owned() }
}

/// Formats one node. Returns the cluster id printed.
fn format_node(program: &Path, config: &Path, options: &[&str]) -> Result<String, ClusterError> {
    let mut command = Command::new(program);
    command.args(["node", "format", "--config"]).arg(config).args(options);
    Ok(run_to_end(&mut command)?.trim().to_owned())
}

fn guard_node(
    program: &Path,
    logs: &Path,
    member: &files::Member,
    config: &Path,
) -> Result<GuardNode, ClusterError> {
    let name = format!("guard-{}", member.id);
    let spec = ProcessSpec::new(&name, program, logs.join(format!("{name}.log")));
    let files::Member { peer_address, client_address, .. } = member;
    Ok(GuardNode {
        spec: spec.argument("node").argument("start").argument("--config").argument(config),
        process: None,
        client_address: client_address.parse()?,
        peer_address: peer_address.clone(),
    })
}

fn signer_home(
    program: &Path,
    directory: &Path,
    key: &KeyPlan,
    members: &[files::Member],
    signer: &SignerPlan,
    certificate: &files::Certificate,
) -> Result<SignerHome, ClusterError> {
    let mut links = Vec::new();
    for member in members {
        links.push(Link::to(member.client_address.parse()?).map_err(ClusterError::Link)?);
    }
    let addresses: Vec<SocketAddr> = links.iter().map(Link::address).collect();
    let config = files::write_signer(directory, key, signer, &addresses, certificate)?;
    let tap = directory.join(format!("{}.tap", signer.name));
    let log = directory.join("logs").join(format!("{}.log", signer.name));
    let spec = ProcessSpec::new(&signer.name, program, log)
        .argument("signer")
        .argument("start")
        .argument("--config")
        .argument(&config)
        .argument("--signature-tap")
        .argument(&tap);
    Ok(SignerHome { spec, process: None, links, config, tap })
}

fn free_address() -> Result<String, ClusterError> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}
