//! Certificates and configuration files of a test cluster, written as an operator would write them.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ClusterError, KEY_NAME, KeyPlan, NODE_IDS, SignerPlan, file_error, free_address};
use crate::process::run_to_end;

/// A founding member as the others see it.
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) peer_address: String,
    pub(super) client_address: String,
    http_address: String,
}

/// A directory of certificates.
pub(super) struct Pki {
    directory: PathBuf,
}

/// One certificate with its key and the authority that signed it.
pub(super) struct Certificate {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

pub(super) fn members() -> Result<Vec<Member>, ClusterError> {
    NODE_IDS.into_iter().map(member).collect()
}

pub(super) fn member(id: u64) -> Result<Member, ClusterError> {
    Ok(Member {
        id,
        peer_address: free_address()?,
        client_address: free_address()?,
        http_address: free_address()?,
    })
}

impl Pki {
    pub(super) fn create(program: &Path, directory: &Path) -> Result<Self, ClusterError> {
        run_to_end(Command::new(program).args(["pki", "init", "--dir"]).arg(directory))?;
        Ok(Self::open(directory))
    }

    pub(super) fn open(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn issue(&self, program: &Path, role: &str, name: &str) -> Result<Certificate, ClusterError> {
        let mut command = Command::new(program);
        command.args(["pki", "issue", "--dir"]).arg(&self.directory);
        run_to_end(command.args(["--role", role, "--name", name]))?;
        Ok(Certificate {
            authority: self.directory.join("ca.pem"),
            certificate: self.directory.join(format!("{role}-{name}.pem")),
            key: self.directory.join(format!("{role}-{name}.key")),
        })
    }
}

impl Certificate {
    fn section(&self) -> String {
        let Self { authority, certificate, key } = self;
        format!("[tls]\nca = {authority:?}\ncert = {certificate:?}\nkey = {key:?}\n")
    }
}

pub(super) fn write_node(
    directory: &Path,
    members: &[Member],
    this: &Member,
    certificate: &Certificate,
) -> Result<PathBuf, ClusterError> {
    let home = directory.join(format!("guard-{}", this.id));
    let data = home.join("data");
    std::fs::create_dir_all(&data).map_err(file_error(&data))?;
    let mut text = format!("node_id = {}\ndata_dir = {data:?}\n\n{}\n", this.id, certificate.section());
    let Member { peer_address, client_address, http_address, .. } = this;
    text += &format!(
        "[listen]\npeers = {peer_address:?}\nclients = {client_address:?}\nhttp = {http_address:?}\n"
    );
    for member in members {
        let Member { id, peer_address, client_address, .. } = member;
        text += &format!(
            "\n[[member]]\nid = {id}\npeer_address = {peer_address:?}\nclient_address = {client_address:?}\n"
        );
    }
    write(&home, "node.toml", &text)
}

pub(super) fn write_operator(
    directory: &Path,
    members: &[Member],
    certificate: &Certificate,
) -> Result<PathBuf, ClusterError> {
    let mut text = certificate.section();
    for Member { id, client_address, .. } in members {
        text += &format!("\n[[guard]]\nid = {id}\naddress = {client_address:?}\n");
    }
    write(directory, "operator.toml", &text)
}

/// Adds a guard node to a configuration of an operator or a signer.
pub(super) fn append_guard(config: &Path, member: &Member) -> Result<(), ClusterError> {
    let Member { id, client_address, .. } = member;
    let mut file = std::fs::OpenOptions::new().append(true).open(config).map_err(file_error(config))?;
    let text = format!("\n[[guard]]\nid = {id}\naddress = {client_address:?}\n");
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(file_error(config))
}

pub(super) fn write_signer(
    directory: &Path,
    key: &KeyPlan,
    signer: &SignerPlan,
    guard_addresses: &[SocketAddr],
    certificate: &Certificate,
) -> Result<PathBuf, ClusterError> {
    let home = directory.join(&signer.name);
    let state = home.join("state");
    let key_file = home.join("priv_validator_key.json");
    std::fs::create_dir_all(&state).map_err(file_error(&state))?;
    std::fs::copy(&key.key_file, &key_file).map_err(file_error(&key.key_file))?;
    let mut text = format!("state_dir = {state:?}\n\n{}", certificate.section());
    for (id, address) in NODE_IDS.iter().zip(guard_addresses) {
        let _infallible = write!(text, "\n[[guard]]\nid = {id}\naddress = \"{address}\"\n");
    }
    let KeyPlan { chain_id, .. } = key;
    text += &format!("\n[[key]]\nname = {KEY_NAME:?}\nchain_id = {chain_id:?}\nkey_file = {key_file:?}\n");
    let SignerPlan { node, node_address, .. } = signer;
    text += &format!("\n[[key.node]]\nname = {node:?}\naddress = {node_address:?}\n");
    write(&home, "signer.toml", &text)
}

/// Rust's debug form of the plain ASCII strings used here is also a TOML basic string.
fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf, ClusterError> {
    std::fs::create_dir_all(directory).map_err(file_error(directory))?;
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(file_error(&path))?;
    Ok(path)
}
