//! The certificate authority in its simplest form: two files for the authority, two for each owner.
//!
//! Keeps: nothing is ever overwritten, and a file is there whole or not at all. Keys are readable by their owner only.

use crate::args::{PkiInitArgs, PkiIssueArgs};
use crate::codes::{self, Code};
use crate::error::CliError;
use crate::new_files::{NewFile, NewFileError, create_all};
use crate::output;
use interlock_proto::{Identity, IdentityError, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

const AUTHORITY_NAME: &str = "Interlock certificate authority";
/// The only domain that the authority can issue for.
const DOMAIN: &str = "interlock";
/// Clocks of the machines may differ by this much when a certificate is fresh.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{0:?} is not a node id: name a node by its number, from 1, as in node_id of its node.toml")]
    NodeId(String),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: not usable as certificate authority: {source}", path.display())]
    Authority { path: PathBuf, source: rcgen::Error },
    #[error("cannot make a certificate: {0}")]
    Make(rcgen::Error),
    #[error("cannot create the directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Write(#[from] NewFileError),
}

impl PkiError {
    pub(crate) fn code(&self) -> &'static Code {
        match self {
            Self::Identity(_) | Self::NodeId(_) => &codes::BAD_ARGUMENT,
            Self::Read { .. } | Self::Authority { .. } => &codes::PKI_UNUSABLE,
            Self::Write(NewFileError::Exists { .. }) => &codes::PKI_EXISTS,
            Self::Make(_) | Self::Directory { .. } | Self::Write(_) => &codes::WRITE_FAILED,
        }
    }
}

/// `interlock pki init`.
pub(crate) fn init(args: &PkiInitArgs) -> Result<(), CliError> {
    let certificate = create_authority(&args.dir, args.valid_days)?;
    output::note(&format!(
        "made {}; whoever has ca.key can issue operators: keep it offline",
        certificate.display()
    ));
    Ok(())
}

/// `interlock pki issue`.
pub(crate) fn issue(args: &PkiIssueArgs) -> Result<(), CliError> {
    let identity = parse_identity(&args.role, &args.name)?;
    let certificate = issue_certificate(&args.dir, &identity, args.valid_days)?;
    output::note(&format!("made {} for {}", certificate.display(), identity.dns_name()));
    Ok(())
}

fn parse_identity(role: &str, name: &str) -> Result<Identity, PkiError> {
    let identity = Identity::new(name, role.parse()?)?;
    // "01" and "1" would be two certificates for one node.
    let canonical = identity.node_id().is_some_and(|id| id > 0 && id.to_string() == identity.name);
    if identity.role == Role::Node && !canonical {
        return Err(PkiError::NodeId(name.to_owned()));
    }
    Ok(identity)
}

/// Makes an authority in `directory`; returns the path of its certificate.
pub(crate) fn create_authority(directory: &Path, valid_days: u32) -> Result<PathBuf, PkiError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| PkiError::Directory { path: directory.to_owned(), source })?;
    let mut parameters = CertificateParams::new(Vec::new()).map_err(PkiError::Make)?;
    set_subject_and_time(&mut parameters, AUTHORITY_NAME, valid_days);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().map_err(PkiError::Make)?;
    let certificate = parameters.self_signed(&key).map_err(PkiError::Make)?;
    write_pair(directory, "ca", &certificate.pem(), &key.serialize_pem())
}

/// Issues a certificate for `identity` by the authority in `directory`; returns its path.
pub(crate) fn issue_certificate(
    directory: &Path,
    identity: &Identity,
    valid_days: u32,
) -> Result<PathBuf, PkiError> {
    let issuer = read_authority(directory)?;
    let mut parameters = CertificateParams::new(vec![identity.dns_name()]).map_err(PkiError::Make)?;
    set_subject_and_time(&mut parameters, &identity.name, valid_days);
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(PkiError::Make)?;
    let certificate = parameters.signed_by(&key, &issuer).map_err(PkiError::Make)?;
    let stem = format!("{}-{}", identity.role, identity.name);
    write_pair(directory, &stem, &certificate.pem(), &key.serialize_pem())
}

fn set_subject_and_time(parameters: &mut CertificateParams, common_name: &str, valid_days: u32) {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    parameters.distinguished_name = subject;
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - CLOCK_TOLERANCE;
    parameters.not_after = now + Duration::days(i64::from(valid_days));
}

fn read_authority(directory: &Path) -> Result<Issuer<'static, KeyPair>, PkiError> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).map_err(|source| PkiError::Read { path, source })
    };
    let unusable = |name: &str, source| PkiError::Authority { path: directory.join(name), source };
    let certificate = read("ca.pem")?;
    let key = KeyPair::from_pem(&read("ca.key")?).map_err(|source| unusable("ca.key", source))?;
    Issuer::from_ca_cert_pem(&certificate, key).map_err(|source| unusable("ca.pem", source))
}

fn write_pair(directory: &Path, stem: &str, certificate: &str, key: &str) -> Result<PathBuf, PkiError> {
    let certificate_path = directory.join(format!("{stem}.pem"));
    create_all(
        directory,
        &[
            NewFile { path: directory.join(format!("{stem}.key")), mode: 0o600, text: key },
            NewFile { path: certificate_path.clone(), mode: 0o644, text: certificate },
        ],
    )?;
    Ok(certificate_path)
}
