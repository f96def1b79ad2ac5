//! Who is calling: the owner of the certificate that TLS has verified, and what its role allows.

use interlock_core::SignerId;
use interlock_proto::{Identity, Role};
use tonic::{Request, Status};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OwnerError {
    #[error("it does not parse")]
    Malformed,
    #[error("it has no DNS name of the form <name>.<role>.interlock")]
    NoIdentity,
}

/// Reads the owner from a certificate in DER. The signature was checked by TLS, or the file is our own.
pub(crate) fn owner_of(der: &[u8]) -> Result<Identity, OwnerError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| OwnerError::Malformed)?;
    let names = certificate.subject_alternative_name().map_err(|_| OwnerError::Malformed)?;
    names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .find_map(|name| match name {
            GeneralName::DNSName(name) => Identity::from_dns_name(name).ok(),
            _ => None,
        })
        .ok_or(OwnerError::NoIdentity)
}

/// The caller of a request, if its role is one of `allowed`.
pub(crate) fn caller<T>(request: &Request<T>, allowed: &[Role]) -> Result<Identity, Status> {
    let certificates = request
        .peer_certs()
        .ok_or_else(|| Status::unauthenticated("this port needs a client certificate of the cluster"))?;
    let leaf =
        certificates.first().ok_or_else(|| Status::unauthenticated("the certificate chain is empty"))?;
    let owner =
        owner_of(leaf).map_err(|error| Status::unauthenticated(format!("client certificate: {error}")))?;
    if allowed.contains(&owner.role) {
        return Ok(owner);
    }
    let roles: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
    Err(Status::permission_denied(format!(
        "{owner} may not call this; it needs the role {}",
        roles.join(" or ")
    )))
}

/// The calling signer.
pub(crate) fn calling_signer<T>(request: &Request<T>) -> Result<SignerId, Status> {
    let owner = caller(request, &[Role::Signer])?;
    SignerId::parse(&owner.name).map_err(|error| Status::unauthenticated(error.to_string()))
}
