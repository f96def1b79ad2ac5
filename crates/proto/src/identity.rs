//! Who a certificate speaks for: `<name>.<role>.interlock` as a DNS name.
//!
//! A DNS name and not a private extension, so that TLS itself checks that a server is the very node that was dialled,
//! under any address.

use std::fmt;
use std::str::FromStr;

const SUFFIX: &str = "interlock";

/// What a certificate's owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes part in consensus.
    Node,
    /// Signs, for the keys it is registered for.
    Signer,
    /// Changes keys and leases.
    Operator,
    /// Reads.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Node, Role::Signer, Role::Operator, Role::Viewer];

    /// The role's name in certificates and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Signer => "signer",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text names no role or identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not one of the four roles.
    #[error("{0:?} is not a role: use node, signer, operator or viewer")]
    Role(String),
    /// Not of the form `<name>.<role>.interlock`.
    #[error("{0:?} is not an identity of the form <name>.<role>.interlock")]
    Form(String),
    /// The name part has characters that a DNS label cannot hold.
    #[error("the name {0:?} does not fit a certificate: use 1 to 63 lower-case letters, digits and '-'")]
    Name(String),
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| IdentityError::Role(text.to_owned()))
    }
}

/// The owner of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Signer name, operator name, or a node's id in decimal.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Identity {
    /// An identity from its parts.
    ///
    /// # Errors
    /// When the name does not fit a DNS label.
    pub fn new(name: &str, role: Role) -> Result<Self, IdentityError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
            return Err(IdentityError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), role })
    }

    /// The identity of a node.
    #[must_use]
    pub fn node(node_id: u64) -> Self {
        Self { name: node_id.to_string(), role: Role::Node }
    }

    /// The node id, when this is a node.
    #[must_use]
    pub fn node_id(&self) -> Option<u64> {
        (self.role == Role::Node).then(|| self.name.parse().ok()).flatten()
    }

    /// The name that stands in the certificate.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{SUFFIX}", self.name, self.role)
    }

    /// Reads the name that stands in a certificate.
    ///
    /// # Errors
    /// When it is not of our form.
    pub fn from_dns_name(dns_name: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form(dns_name.to_owned());
        let mut parts = dns_name.split('.');
        let (Some(name), Some(role), Some(SUFFIX), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        Self::new(name, role.parse().map_err(|_| form())?)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_names_its_owner() {
        let alpha = Identity::new("alpha", Role::Signer).unwrap();
        assert_eq!(alpha.dns_name(), "alpha.signer.interlock");
        assert_eq!(Identity::from_dns_name("alpha.signer.interlock"), Ok(alpha));
        assert_eq!(Identity::from_dns_name("3.node.interlock").unwrap().node_id(), Some(3));
        assert_eq!(Identity::from_dns_name("3.signer.interlock").unwrap().node_id(), None);
    }

    #[test]
    fn other_names_are_nobody() {
        for name in
            ["alpha", "alpha.signer", "alpha.king.interlock", "a.b.signer.interlock", ".signer.interlock"]
        {
            assert!(Identity::from_dns_name(name).is_err(), "{name}");
        }
        assert!(Identity::new("Alpha", Role::Signer).is_err());
    }
}
