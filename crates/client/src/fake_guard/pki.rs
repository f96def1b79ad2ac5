//! Certificates for the fake guard and its clients, in a directory of their own.

use crate::config::TlsFiles;
use interlock_proto::{Identity, Role};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::path::PathBuf;

/// An authority whose files live as long as it does.
pub struct Pki {
    directory: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        Self { directory, authority }
    }

    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Certificate and key as PEM.
    pub fn issue(&self, identity: &Identity) -> (String, String) {
        let mut params = CertificateParams::new(vec![identity.dns_name()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The files of a client.
    pub fn files(&self, name: &str, role: Role) -> TlsFiles {
        let path =
            |suffix: &str| -> PathBuf { self.directory.path().join(format!("{role}-{name}.{suffix}")) };
        let (certificate, key) = self.issue(&Identity::new(name, role).unwrap());
        std::fs::write(path("pem"), certificate).unwrap();
        std::fs::write(path("key"), key).unwrap();
        TlsFiles { ca: self.directory.path().join("ca.pem"), cert: path("pem"), key: path("key") }
    }
}
