//! The sections of configuration files that every client has: certificates and guard nodes.
//!
//! May not live here: secrets with a `Debug`, defaults for paths. A file that cannot be used is an error naming it.

use interlock_proto::{Identity, IdentityError};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

/// Largest certificate or key file read, bytes.
const PEM_FILE_MAX_BYTES: u64 = 256 * 1024;

/// Section `[tls]`: where the certificates are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The authority that signed every certificate of the installation.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Section `[[guard]]`: one guard node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardEndpoint {
    /// Node id: the certificate found at the address must be that of this node.
    pub id: u64,
    /// `host:port` of its client listener.
    pub address: String,
}

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}; make it with `interlock pki issue` or correct [tls]", path.display())]
    Read {
        /// Which of the three.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("the {what} {} is no PEM file with a {expected}: correct [tls] or issue it anew", path.display())]
    NotPem {
        /// Which of the three.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The certificate does not parse.
    #[error("the certificate {} cannot be parsed: {reason}; issue it anew", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate names nobody we know.
    #[error("the certificate {} names no identity: {source}; issue it with `interlock pki issue`", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name found.
        source: IdentityError,
    },
}

/// The files' contents, and who our certificate speaks for.
#[derive(Clone)]
pub struct TlsMaterial {
    pub(crate) ca_pem: String,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: Zeroizing<String>,
    identity: Identity,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// Who our certificate speaks for.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl TlsFiles {
    /// The same files, with relative paths taken from `directory` (that of the configuration file).
    #[must_use]
    pub fn relative_to(&self, directory: &Path) -> Self {
        Self {
            ca: directory.join(&self.ca),
            cert: directory.join(&self.cert),
            key: directory.join(&self.key),
        }
    }

    /// Reads and checks the three files.
    ///
    /// # Errors
    /// See [`TlsError`]; each names the file.
    pub fn load(&self) -> Result<TlsMaterial, TlsError> {
        let ca_pem = read_pem("CA certificate", &self.ca, "CERTIFICATE")?;
        let cert_pem = read_pem("certificate", &self.cert, "CERTIFICATE")?;
        let key_pem = read_pem("private key", &self.key, "PRIVATE KEY")?;
        let identity = identity_of(&self.cert, &cert_pem)?;
        Ok(TlsMaterial { ca_pem: ca_pem.to_string(), cert_pem: cert_pem.to_string(), key_pem, identity })
    }
}

fn read_pem(what: &'static str, path: &Path, label: &'static str) -> Result<Zeroizing<String>, TlsError> {
    let failed = |source| TlsError::Read { what, path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > PEM_FILE_MAX_BYTES {
        return Err(failed(io::Error::other(format!("it has {size} bytes, over {PEM_FILE_MAX_BYTES}"))));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    // A private key's label may carry its kind in front, as in "EC PRIVATE KEY".
    let found = text.lines().any(|line| {
        let inner = line.trim().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        inner.is_some_and(|inner| inner.ends_with(label))
    });
    if found { Ok(text) } else { Err(TlsError::NotPem { what, path: path.to_owned(), expected: label }) }
}

fn identity_of(path: &Path, cert_pem: &str) -> Result<Identity, TlsError> {
    let failed = |reason: String| TlsError::Certificate { path: path.to_owned(), reason };
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(cert_pem.as_bytes()).map_err(|e| failed(e.to_string()))?;
    let certificate = pem.parse_x509().map_err(|e| failed(e.to_string()))?;
    let names = certificate.subject_alternative_name().map_err(|e| failed(e.to_string()))?;
    let dns_name = names.iter().flat_map(|names| &names.value.general_names).find_map(|name| match name {
        GeneralName::DNSName(dns_name) => Some(*dns_name),
        _ => None,
    });
    let dns_name = dns_name.ok_or_else(|| failed("it has no DNS name".to_owned()))?;
    Identity::from_dns_name(dns_name).map_err(|source| TlsError::Identity { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_proto::Role;

    fn issue(directory: &Path, dns_name: &str) -> TlsFiles {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert =
            rcgen::CertificateParams::new(vec![dns_name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let files = TlsFiles {
            ca: directory.join("ca.pem"),
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&files.ca, cert.pem()).unwrap();
        std::fs::write(&files.cert, cert.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn the_certificate_says_who_we_are_and_nothing_prints_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let files = issue(directory.path(), "alpha.signer.interlock");
        let material = files.load().unwrap();
        assert_eq!(*material.identity(), Identity::new("alpha", Role::Signer).unwrap());
        assert!(!format!("{material:?}").contains("BEGIN"));
    }

    #[test]
    fn each_unusable_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let files = issue(directory.path(), "alpha.signer.interlock");

        let missing = TlsFiles { ca: directory.path().join("absent.pem"), ..files.clone() };
        let error = missing.load().unwrap_err();
        assert!(matches!(&error, TlsError::Read { what: "CA certificate", .. }), "{error}");
        assert!(error.to_string().contains("absent.pem"));

        let swapped = TlsFiles { key: files.cert.clone(), ..files.clone() };
        assert!(matches!(swapped.load(), Err(TlsError::NotPem { what: "private key", .. })));

        std::fs::write(&files.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(matches!(files.load(), Err(TlsError::Certificate { .. })));

        let stranger = issue(directory.path(), "localhost");
        assert!(matches!(stranger.load(), Err(TlsError::Identity { .. })));
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = toml::from_str::<TlsFiles>("ca = 'a'\ncert = 'b'\nkey = 'c'\nkye = 'd'").unwrap_err();
        assert!(error.to_string().contains("kye"), "{error}");
        let error = toml::from_str::<GuardEndpoint>("id = 1\naddres = 'x:1'").unwrap_err();
        assert!(error.to_string().contains("addres"), "{error}");
    }
}
