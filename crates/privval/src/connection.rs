//! A link between a node and its signer, whichever transport carries it: dial as a signer, or listen as a node.

use crate::address::Address;
use crate::framing::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MessageStream, RecvError, SendError};
use crate::messages::Message;
use crate::peer_id::PeerId;
use crate::secret_connection::{HandshakeError, SecretConnection};
use ed25519_dalek::SigningKey;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An open link that carries messages.
#[derive(Debug)]
pub enum Connection {
    /// Over SecretConnection.
    Tcp(Box<MessageStream<SecretConnection<TcpStream>>>),
    /// In clear.
    Unix(MessageStream<UnixStream>),
}

/// Why dialing failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection: nobody listens, or the name does not resolve.
    #[error("cannot connect to {address}: {source}; is the node running with this priv_validator_laddr?")]
    Connect {
        /// Who was dialed.
        address: Address,
        /// The system's reason.
        source: io::Error,
    },
    /// The connection opened, the handshake failed.
    #[error("handshake with {address} failed: {source}")]
    Handshake {
        /// Who was dialed.
        address: Address,
        /// What went wrong.
        source: HandshakeError,
    },
    /// Connecting took too long.
    #[error("no connection to {address} within {timeout_ms} ms")]
    TimedOut {
        /// Who was dialed.
        address: Address,
        /// The limit that was set.
        timeout_ms: u128,
    },
    /// The address pins a peer id and another peer answered.
    #[error("{address} answered with peer id {found}, not the pinned one; check the address or its pin")]
    WrongPeer {
        /// Who was dialed, with the pin.
        address: Address,
        /// Who answered.
        found: PeerId,
    },
}

impl Connection {
    /// Dials a node as its signer. `timeout` bounds connecting, and once more the handshake.
    ///
    /// A node serves one signer at a time and leaves others waiting in its backlog, unanswered: keep `timeout` short (1
    /// to 3 s) and dial again.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(
        address: &Address,
        identity: &SigningKey,
        timeout: Duration,
    ) -> Result<Self, DialError> {
        let connect = async {
            match address {
                Address::Tcp { host, port, .. } => {
                    TcpStream::connect((host.as_str(), *port)).await.map(RawStream::Tcp)
                }
                Address::Unix { path } => UnixStream::connect(path).await.map(RawStream::Unix),
            }
        };
        let stream = match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(DialError::Connect { address: address.clone(), source }),
            Err(_) => {
                return Err(DialError::TimedOut {
                    address: address.clone(),
                    timeout_ms: timeout.as_millis(),
                });
            }
        };
        let connection = Self::establish(stream, identity, timeout, MAX_REQUEST_BYTES)
            .await
            .map_err(|source| DialError::Handshake { address: address.clone(), source })?;
        match (address, connection.remote_id()) {
            (Address::Tcp { peer_id: Some(pinned), .. }, Some(found)) if *pinned != found => {
                Err(DialError::WrongPeer { address: address.clone(), found })
            }
            _ => Ok(connection),
        }
    }

    async fn establish(
        stream: RawStream,
        identity: &SigningKey,
        deadline: Duration,
        max_recv_bytes: usize,
    ) -> Result<Self, HandshakeError> {
        match stream {
            RawStream::Unix(stream) => Ok(Self::Unix(MessageStream::new(stream, max_recv_bytes))),
            RawStream::Tcp(stream) => {
                // A request is one small frame; waiting to fill a segment would only delay it.
                stream.set_nodelay(true)?;
                let secret = SecretConnection::handshake(stream, identity, deadline).await?;
                Ok(Self::Tcp(Box::new(MessageStream::new(secret, max_recv_bytes))))
            }
        }
    }

    /// Waits for the next message. Cancel safe.
    ///
    /// # Errors
    /// See [`RecvError`]; after any of them the connection is of no more use.
    pub async fn recv(&mut self) -> Result<Message, RecvError> {
        match self {
            Self::Tcp(stream) => stream.recv().await,
            Self::Unix(stream) => stream.recv().await,
        }
    }

    /// Sends one message. Not cancel safe: dropped half way, it leaves the connection unusable.
    ///
    /// # Errors
    /// See [`SendError`]; after any of them the connection is of no more use.
    pub async fn send(&mut self, message: Message) -> Result<(), SendError> {
        match self {
            Self::Tcp(stream) => stream.send(message).await,
            Self::Unix(stream) => stream.send(message).await,
        }
    }

    /// Who the remote proved to be; `None` over a unix socket, where nobody proves anything.
    pub fn remote_id(&self) -> Option<PeerId> {
        match self {
            Self::Tcp(stream) => Some(stream.get_ref().remote_id()),
            Self::Unix(_) => None,
        }
    }
}

#[derive(Debug)]
enum RawStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A node's end: waits for its signer to dial.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    pinned: Option<PeerId>,
}

#[derive(Debug)]
enum Socket {
    Tcp { listener: TcpListener, local: Address },
    Unix { listener: UnixListener, path: PathBuf },
}

/// Why listening failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Where.
    pub address: Address,
    /// The system's reason.
    pub source: io::Error,
}

/// Why a dialing signer was not accepted. The listener goes on.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The system gave no connection.
    #[error("accepting a connection failed: {0}")]
    Accept(io::Error),
    /// The handshake failed.
    #[error("handshake with a dialing signer failed: {0}")]
    Handshake(#[from] HandshakeError),
    /// The address pins a peer id and another peer dialed.
    #[error("peer id {found} dialed, only {pinned} is accepted; check the pin in the address")]
    WrongPeer {
        /// Who dialed.
        found: PeerId,
        /// Who may.
        pinned: PeerId,
    },
}

impl Listener {
    /// Listens on `address`; with port 0, [`Listener::local_address`] tells the port that was chosen. A unix socket
    /// left over by a process that is gone is replaced; one in use is an error.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.clone(), source };
        match address {
            Address::Tcp { peer_id, host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port)).await.map_err(failed)?;
                let port = listener.local_addr().map_err(failed)?.port();
                let local = Address::Tcp { peer_id: None, host: host.clone(), port };
                Ok(Self { socket: Socket::Tcp { listener, local }, pinned: *peer_id })
            }
            Address::Unix { path } => {
                let listener = bind_unix(path).await.map_err(failed)?;
                Ok(Self { socket: Socket::Unix { listener, path: path.clone() }, pinned: None })
            }
        }
    }

    /// Where signers must dial.
    pub fn local_address(&self) -> Address {
        match &self.socket {
            Socket::Tcp { local, .. } => local.clone(),
            Socket::Unix { path, .. } => Address::Unix { path: path.clone() },
        }
    }

    /// Waits for one signer and runs the handshake with it, within `handshake_timeout`. Answers that the signer then
    /// sends may have [`MAX_RESPONSE_BYTES`], as at a v0.38 node.
    ///
    /// # Errors
    /// See [`AcceptError`]; call again for the next signer.
    pub async fn accept(
        &self,
        identity: &SigningKey,
        handshake_timeout: Duration,
    ) -> Result<Connection, AcceptError> {
        let stream = match &self.socket {
            Socket::Tcp { listener, .. } => listener
                .accept()
                .await
                .map(|(stream, _)| RawStream::Tcp(stream))
                .map_err(AcceptError::Accept)?,
            Socket::Unix { listener, .. } => listener
                .accept()
                .await
                .map(|(stream, _)| RawStream::Unix(stream))
                .map_err(AcceptError::Accept)?,
        };
        let connection =
            Connection::establish(stream, identity, handshake_timeout, MAX_RESPONSE_BYTES).await?;
        match (self.pinned, connection.remote_id()) {
            (Some(pinned), Some(found)) if pinned != found => Err(AcceptError::WrongPeer { found, pinned }),
            _ => Ok(connection),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, .. } = &self.socket {
            // A leftover is harmless: the next bind replaces it.
            let _removed = std::fs::remove_file(path);
        }
    }
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(path).await {
                // A socket that nobody listens on; a file of any other sort is refused differently and stays.
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused && is_socket(path)? => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)
                }
                _ => Err(error),
            }
        }
        result => result,
    }
}

fn is_socket(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}
