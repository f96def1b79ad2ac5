//! One full node: listens for its signer and asks it, one request at a time, as CometBFT does.
//!
//! A refusal is final for its step. A transport error is not: the node waits for its signer to dial again and asks
//! again, until the chain has moved on or the retries are used up.

use crate::block;
use crate::error::{DoubleSignError, DoubleSignOutcome};
use crate::event::{Event, Step};
use crate::request::{Answer, Request};
use crate::shared::Shared;
use ed25519_dalek::SigningKey;
use interlock_privval::{Connection, Listener, Message, PeerId, PingRequest, PubKeyRequest, PublicKey};
use rand_core::OsRng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a dialing signer may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a node asks again after transport errors, and how long it pauses before each.
const RETRIES_MAX: u32 = 50;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where the outcome of an attempted double sign goes.
pub(crate) type Attempt = oneshot::Sender<Result<DoubleSignOutcome, DoubleSignError>>;

/// A running node. Dropping it closes its sockets.
pub(crate) struct Node {
    index: usize,
    shared: Arc<Shared>,
    listener: Listener,
    /// Fresh at each start, as in CometBFT: a signer cannot pin a node.
    identity: SigningKey,
    link: Option<Connection>,
    /// The key is asked for once, at start.
    is_key_checked: bool,
    heights: watch::Receiver<i64>,
    attempts: mpsc::Receiver<Attempt>,
    /// Changes when the connection is to be cut.
    cut: watch::Receiver<()>,
    last_exchange: Instant,
}

impl Node {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        listener: Listener,
        heights: watch::Receiver<i64>,
        attempts: mpsc::Receiver<Attempt>,
        cut: watch::Receiver<()>,
    ) -> Self {
        let identity = SigningKey::generate(&mut OsRng);
        let last_exchange = Instant::now();
        Self {
            index,
            shared,
            listener,
            identity,
            link: None,
            is_key_checked: false,
            heights,
            attempts,
            cut,
            last_exchange,
        }
    }

    /// Runs until the chain is gone. Cancelling it is how a node is killed.
    pub(crate) async fn run(mut self) {
        loop {
            self.ensure_link().await;
            let next_ping = self.last_exchange + self.shared.config.ping_interval();
            tokio::select! {
                changed = self.heights.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let height = *self.heights.borrow_and_update();
                    self.sign_height(height).await;
                }
                Some(attempt) = self.attempts.recv() => {
                    let outcome = self.attempt_double_sign().await;
                    // Whoever asked may have stopped waiting; the ledger has the outcome either way.
                    let _sent = attempt.send(outcome);
                }
                Ok(()) = self.cut.changed() => self.drop_link("cut on request"),
                () = tokio::time::sleep_until(next_ping.into()) => self.ping().await,
            }
        }
    }

    async fn sign_height(&mut self, height: i64) {
        for step in block::steps_at(height) {
            if *self.heights.borrow() != height {
                return;
            }
            self.sign_step(height, *step).await;
        }
    }

    async fn sign_step(&mut self, height: i64, step: Step) {
        let request = block::request(height, step, self.index, &self.validator_address());
        let message = request.to_message(&self.shared.config.chain_id);
        for _ in 0..RETRIES_MAX {
            self.ensure_link().await;
            if *self.heights.borrow() != height {
                return;
            }
            let asked_at = Instant::now();
            match self.exchange(message.clone()).await {
                Ok(answer) => {
                    let answer = self.judge(&request, answer);
                    self.shared.settle(self.index, &request, answer, asked_at.elapsed());
                    return;
                }
                Err(reason) => {
                    self.drop_link(&reason);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Asks for a vote that conflicts with the newest one that anybody got.
    async fn attempt_double_sign(&mut self) -> Result<DoubleSignOutcome, DoubleSignError> {
        let last_vote = self.shared.ledger().last_vote();
        let (msg_type, height) = last_vote.ok_or(DoubleSignError::NothingSigned)?;
        let request = block::rival_vote(msg_type, height, self.index, &self.validator_address());
        let asked_at = Instant::now();
        let answer = match self.exchange(request.to_message(&self.shared.config.chain_id)).await {
            Ok(answer) => self.judge(&request, answer),
            Err(reason) => {
                self.drop_link(&reason);
                return Err(DoubleSignError::NoAnswer { reason });
            }
        };
        match answer {
            Answer::Refused(error) => {
                self.shared.ledger().count_refused_double_sign();
                Ok(DoubleSignOutcome::Refused {
                    height,
                    step: request.step(),
                    description: error.description,
                })
            }
            Answer::Signed { sign_bytes, signature } => {
                self.shared.record(self.index, &request, sign_bytes, signature, asked_at.elapsed());
                Ok(DoubleSignOutcome::Signed { height, step: request.step() })
            }
            Answer::Invalid(fault) => Err(DoubleSignError::InvalidAnswer { reason: fault.to_string() }),
        }
    }

    async fn ping(&mut self) {
        match self.exchange(Message::PingRequest(PingRequest {})).await {
            Ok(Message::PingResponse(_)) => {}
            Ok(other) => self.drop_link(&format!("a ping was answered with a {}", other.name())),
            Err(reason) => self.drop_link(&reason),
        }
    }

    /// Waits until a signer is there that holds the right key.
    async fn ensure_link(&mut self) {
        while self.link.is_none() {
            // A signer that fails its handshake is its own problem; the next one may do better.
            let Ok(connection) = self.listener.accept(&self.identity, HANDSHAKE_TIMEOUT).await else {
                continue;
            };
            self.link = Some(connection);
            // A cut that was asked for while there was nothing to cut is not meant for this connection.
            self.cut.mark_unchanged();
            if self.is_key_checked || self.check_key().await {
                self.is_key_checked = true;
                self.shared.set_connected(self.index, true);
                self.shared.emit(Event::Connected { node: self.index });
            } else {
                self.link = None;
            }
        }
    }

    async fn check_key(&mut self) -> bool {
        let chain_id = self.shared.config.chain_id.clone();
        let expected = PublicKey::ed25519(self.shared.config.validator_key.to_bytes());
        let answer = match self.exchange(Message::PubKeyRequest(PubKeyRequest { chain_id })).await {
            Ok(Message::PubKeyResponse(response)) => match response.error {
                None if response.pub_key == expected => return true,
                None => format!("the key {:?}", response.pub_key.kind),
                Some(error) => format!("an error: {}", error.description),
            },
            Ok(other) => format!("a {}", other.name()),
            Err(reason) => reason,
        };
        self.shared.emit(Event::WrongKey { node: self.index, answer });
        false
    }

    /// One request and its answer, or why there is none.
    async fn exchange(&mut self, request: Message) -> Result<Message, String> {
        let timeout = self.shared.config.answer_timeout();
        let Some(link) = self.link.as_mut() else {
            return Err("no signer is connected".to_owned());
        };
        let ask = async {
            link.send(request).await.map_err(|error| error.to_string())?;
            link.recv().await.map_err(|error| error.to_string())
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(timeout, ask) => answer,
            Ok(()) = self.cut.changed() => return Err("cut on request".to_owned()),
        };
        self.last_exchange = Instant::now();
        answer.unwrap_or_else(|_| Err(format!("no answer within {} ms", timeout.as_millis())))
    }

    fn judge(&self, request: &Request, answer: Message) -> Answer {
        request.check(&self.shared.config.chain_id, &self.shared.config.validator_key, answer)
    }

    fn drop_link(&mut self, reason: &str) {
        if self.link.take().is_some() {
            self.shared.set_connected(self.index, false);
            self.shared.emit(Event::Disconnected { node: self.index, reason: reason.to_owned() });
        }
    }

    fn validator_address(&self) -> Vec<u8> {
        PeerId::of(&self.shared.config.validator_key).as_bytes().to_vec()
    }
}
