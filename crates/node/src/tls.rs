//! Mutual TLS: loading the files, and the settings of both ends. There is no way to listen without it.

use crate::config::TlsFiles;
use interlock_proto::Identity;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Identity as TlsIdentity, ServerTlsConfig};

/// Longest TLS handshake that a server waits for.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not readable.
    #[error("cannot read {path}: {source}; make certificates with `interlock pki issue`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The certificate does not parse.
    #[error("{path} is not a certificate in PEM: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate speaks for somebody else.
    #[error("{path} is for {found}, this is node {expected}: use the certificate of node {expected}")]
    WrongOwner {
        /// Which file.
        path: PathBuf,
        /// Its owner.
        found: String,
        /// This node's id.
        expected: u64,
    },
}

/// Loaded certificates of one node.
#[derive(Clone)]
pub(crate) struct Tls {
    ca: Certificate,
    identity: TlsIdentity,
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

impl Tls {
    /// Loads the files, and checks that the certificate is this node's.
    pub(crate) fn load(files: &TlsFiles, node_id: u64) -> Result<Self, TlsError> {
        let cert = read(&files.cert)?;
        check_owner(&files.cert, &cert, node_id)?;
        Ok(Self {
            ca: Certificate::from_pem(read(&files.ca)?),
            identity: TlsIdentity::from_pem(cert, read(&files.key)?),
        })
    }

    /// For a listener: every caller shows a certificate of our authority.
    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.identity.clone())
            .client_ca_root(self.ca.clone())
            .timeout(HANDSHAKE_TIMEOUT)
    }

    /// For a call to node `target`: whoever answers must be that very node, under any address.
    pub(crate) fn client(&self, target: u64) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .identity(self.identity.clone())
            .ca_certificate(self.ca.clone())
            .domain_name(Identity::node(target).dns_name())
    }
}

fn check_owner(path: &Path, pem: &[u8], node_id: u64) -> Result<(), TlsError> {
    let malformed = |reason: String| TlsError::Malformed { path: path.to_owned(), reason };
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| malformed(error.to_string()))?;
    let owner = crate::caller::owner_of(&pem.contents).map_err(|error| malformed(error.to_string()))?;
    if owner.node_id() == Some(node_id) {
        return Ok(());
    }
    Err(TlsError::WrongOwner { path: path.to_owned(), found: owner.to_string(), expected: node_id })
}
