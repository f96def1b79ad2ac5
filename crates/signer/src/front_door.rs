//! The CometBFT front door: one task for each validator node, which dials it and answers its requests.
//!
//! Public keys and pings are answered here, at once, whatever the guard does. A peer that sends nonsense loses its
//! connection and nothing else.

use crate::health::Connected;
use crate::sign_path::SignPath;
use ed25519_dalek::SigningKey;
use interlock_chains::cometbft::{RequestKind, error_reply};
use interlock_core::NodeName;
use interlock_privval::{
    Address, Connection, Message, PingResponse, PubKeyResponse, PublicKey, RecvError, SendError,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A node that already has a signer leaves others in its backlog without an answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(2_000);
/// A node pings after 3.3 s of silence; one that is silent for three times as long is gone.
const SILENCE_MAX: Duration = Duration::from_millis(10_000);
/// A node that does not take our answer for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_millis(5_000);

/// One node to sign for.
#[derive(Debug)]
pub(crate) struct FrontDoor {
    pub(crate) path: Arc<SignPath>,
    pub(crate) node: NodeName,
    pub(crate) address: Address,
    /// Who we are inside a SecretConnection: nobody checks it, any key will do.
    pub(crate) connection_key: Arc<SigningKey>,
    pub(crate) redial: Duration,
    /// Becomes true when the process shuts down.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Recv(#[from] RecvError),
    #[error("{0}")]
    Send(#[from] SendError),
    #[error("the node said nothing for {} ms", SILENCE_MAX.as_millis())]
    Silent,
    #[error("the node took no answer for {} ms", SEND_TIMEOUT.as_millis())]
    NotReading,
    #[error("the node sent an answer instead of a request")]
    NotARequest,
    #[error("this signer shuts down")]
    Stopping,
}

impl FrontDoor {
    /// Dials and serves until the process shuts down. A request under way is answered first.
    pub(crate) async fn run(mut self) {
        let mut complained = false;
        while !*self.stop.borrow() {
            let dial = Connection::dial(&self.address, &self.connection_key, HANDSHAKE_TIMEOUT);
            let dialled = tokio::select! {
                dialled = dial => dialled,
                () = stopped(&mut self.stop) => return,
            };
            match dialled {
                Ok(connection) => {
                    complained = false;
                    self.serve(connection).await;
                }
                Err(error) if complained => tracing::debug!(node = %self.node, "{error}"),
                Err(error) => {
                    complained = true;
                    tracing::warn!(key = %self.path.name, node = %self.node, "{error}; dialling on");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.redial) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    async fn serve(&mut self, mut connection: Connection) {
        // A unix socket connects before the node accepts: only a first request shows that it did.
        let mut connected = connection.remote_id().map(|_| self.path.board.connected());
        tracing::info!(key = %self.path.name, node = %self.node, address = %self.address, "connected");
        let ended = loop {
            if let Err(ended) = self.serve_one(&mut connection, &mut connected).await {
                break ended;
            }
        };
        match ended {
            Ended::Stopping | Ended::Recv(RecvError::Closed) => {
                tracing::info!(key = %self.path.name, node = %self.node, "connection ended: {ended}");
            }
            _ => tracing::warn!(key = %self.path.name, node = %self.node, "connection dropped: {ended}"),
        }
    }

    async fn serve_one(
        &mut self,
        connection: &mut Connection,
        connected: &mut Option<Connected>,
    ) -> Result<(), Ended> {
        let request = tokio::select! {
            received = timeout(SILENCE_MAX, connection.recv()) => received.map_err(|_| Ended::Silent)??,
            () = stopped(&mut self.stop) => return Err(Ended::Stopping),
        };
        connected.get_or_insert_with(|| self.path.board.connected());
        let reply = match request {
            Message::PingRequest(_) => Message::PingResponse(PingResponse {}),
            Message::PubKeyRequest(request) => self.public_key(&request.chain_id),
            Message::SignVoteRequest(request) => self.path.sign_vote(request, &self.node).await,
            Message::SignProposalRequest(request) => self.path.sign_proposal(request, &self.node).await,
            _ => return Err(Ended::NotARequest),
        };
        timeout(SEND_TIMEOUT, connection.send(reply)).await.map_err(|_| Ended::NotReading)??;
        Ok(())
    }

    fn public_key(&self, chain_id: &str) -> Message {
        let ours = self.path.chain_id.as_str();
        if chain_id == ours {
            let public_key = PublicKey::ed25519(self.path.backend.public_key());
            return Message::PubKeyResponse(PubKeyResponse::found(public_key));
        }
        let asked: String = chain_id.chars().take(64).collect();
        let text = format!("the node asks for chain {asked:?}, this key signs for chain {ours:?}");
        tracing::warn!(key = %self.path.name, node = %self.node, "{text}");
        error_reply(RequestKind::PublicKey, &text)
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _gone = stop.wait_for(|stop| *stop).await;
}
