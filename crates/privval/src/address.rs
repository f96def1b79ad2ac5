//! Where a node listens: `tcp://host:port`, `tcp://<peer id>@host:port` or `unix:///path`.

use crate::peer_id::PeerId;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a validator node's remote-signer socket, written as in the node's `priv_validator_laddr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Encrypted by SecretConnection.
    Tcp {
        /// The only peer to accept. A stock node takes a fresh key at each start, so it cannot be pinned; a proxy can.
        peer_id: Option<PeerId>,
        /// Name or IP literal, without the brackets of IPv6.
        host: String,
        /// Zero lets the system choose, when listening.
        port: u16,
    },
    /// In clear: the file's permissions are the only protection.
    Unix {
        /// Absolute path of the socket.
        path: PathBuf,
    },
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `tcp://` nor `unix://`.
    #[error("address {address:?} has no scheme that is supported; write tcp://host:port or unix:///path")]
    UnknownScheme {
        /// The whole text.
        address: String,
    },
    /// `noise://`, which v0.40 nodes offer.
    #[error("address {address:?}: noise:// is not supported yet; let the node listen on tcp:// or unix://")]
    NoiseNotSupported {
        /// The whole text.
        address: String,
    },
    /// No host before the port.
    #[error("address {address:?} names no host; write tcp://host:port")]
    NoHost {
        /// The whole text.
        address: String,
    },
    /// No port, or one that is not a number up to 65535.
    #[error(
        "address {address:?} has no valid port ({port:?}); write tcp://host:port with a port from 0 to 65535"
    )]
    BadPort {
        /// The whole text.
        address: String,
        /// What stands where the port should be.
        port: String,
    },
    /// An IPv6 literal without brackets, or brackets that do not close.
    #[error("address {address:?}: write an IPv6 host in brackets, as in tcp://[::1]:26659")]
    BadBrackets {
        /// The whole text.
        address: String,
    },
    /// The part before `@` is not a peer id.
    #[error("address {address:?}: peer id {peer_id:?} is not 40 hexadecimal digits")]
    BadPeerId {
        /// The whole text.
        address: String,
        /// What stands before `@`.
        peer_id: String,
    },
    /// A unix path must be absolute.
    #[error("address {address:?}: the socket path must be absolute, as in unix:///run/node/signer.sock")]
    RelativePath {
        /// The whole text.
        address: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = || text.to_owned();
        if let Some(path) = text.strip_prefix("unix://") {
            if path.len() < 2 || !path.starts_with('/') {
                return Err(AddressError::RelativePath { address: address() });
            }
            return Ok(Self::Unix { path: path.into() });
        }
        if text.starts_with("noise://") {
            return Err(AddressError::NoiseNotSupported { address: address() });
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return Err(AddressError::UnknownScheme { address: address() });
        };
        let (peer_id, host_and_port) = match rest.split_once('@') {
            None => (None, rest),
            Some((id, after)) => match id.parse() {
                Ok(peer_id) => (Some(peer_id), after),
                Err(_) => return Err(AddressError::BadPeerId { address: address(), peer_id: id.to_owned() }),
            },
        };
        let (host, port) = split_host_and_port(text, host_and_port)?;
        Ok(Self::Tcp { peer_id, host, port })
    }
}

fn split_host_and_port(address: &str, host_and_port: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = host_and_port.rsplit_once(':').unwrap_or((host_and_port, ""));
    let bracketed = host.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(Some(inner)) => inner,
        None if !host.contains(':') && !host.contains(']') => host,
        Some(None) | None => return Err(AddressError::BadBrackets { address: address.to_owned() }),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost { address: address.to_owned() });
    }
    match port.parse() {
        Ok(number) => Ok((host.to_owned(), number)),
        Err(_) => Err(AddressError::BadPort { address: address.to_owned(), port: port.to_owned() }),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { peer_id, host, port } => {
                formatter.write_str("tcp://")?;
                if let Some(id) = peer_id {
                    write!(formatter, "{id}@")?;
                }
                if host.contains(':') {
                    return write!(formatter, "[{host}]:{port}");
                }
                write!(formatter, "{host}:{port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233";

    #[test]
    fn what_parses_prints_the_same() {
        let pinned = format!("tcp://{ID}@node-a:26659");
        for text in ["tcp://127.0.0.1:26659", "tcp://[::1]:0", "unix:///run/a/signer.sock", &pinned] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let Address::Tcp { peer_id, host, port } = pinned.parse().unwrap() else { panic!("not tcp") };
        assert_eq!((peer_id.unwrap().to_string().as_str(), host.as_str(), port), (ID, "node-a", 26_659));
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        fn error(text: &str) -> AddressError {
            text.parse::<Address>().unwrap_err()
        }
        assert!(matches!(error("127.0.0.1:26659"), AddressError::UnknownScheme { .. }));
        assert!(matches!(error("noise://id@1.2.3.4:1"), AddressError::NoiseNotSupported { .. }));
        assert!(matches!(error("tcp://:26659"), AddressError::NoHost { .. }));
        assert!(matches!(error("tcp://node-a"), AddressError::BadPort { .. }));
        assert!(matches!(error("tcp://node-a:65536"), AddressError::BadPort { .. }));
        assert!(matches!(error("tcp://::1:26659"), AddressError::BadBrackets { .. }));
        assert!(matches!(error("tcp://[::1:26659"), AddressError::BadBrackets { .. }));
        assert!(matches!(error("tcp://abc@node-a:1"), AddressError::BadPeerId { .. }));
        assert!(matches!(error("unix://run/signer.sock"), AddressError::RelativePath { .. }));
        assert!(matches!(error("unix:///"), AddressError::RelativePath { .. }));
    }
}
