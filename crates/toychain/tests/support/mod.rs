//! Signers for tests, honest and not: they dial a node and answer it, with a key in memory and nothing on disk.

#![allow(clippy::unwrap_used, reason = "a test whose set-up fails must fail there")]

use ed25519_dalek::{Signer, SigningKey};
use interlock_privval::{
    Address, Connection, Message, PingResponse, Proposal, PubKeyResponse, PublicKey, RemoteSignerError,
    SignedProposalResponse, SignedVoteResponse, Timestamp, Vote, proposal_sign_bytes,
    vote_extension_sign_bytes, vote_sign_bytes,
};
use interlock_toychain::{Chain, ChainConfig, Event};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// No test takes this long unless it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const DIAL_PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn validator_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

/// The configuration of `node_count` nodes on tcp, with a height that waits for its precommit as long as a test may
/// take: on a slow machine, heights get longer, not missed.
pub(crate) fn patient_config(node_count: usize) -> ChainConfig {
    let listen = vec!["tcp://127.0.0.1:0".parse().unwrap(); node_count];
    let mut config = ChainConfig::new("toy-1", validator_key().verifying_key(), listen);
    config.block_interval_ms = 10;
    config.precommit_wait_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
    config
}

/// What a signer remembers: the position, the signed content and the signature. Shared by signers that coordinate.
#[derive(Default)]
pub(crate) struct Memory {
    last: Option<Signed>,
}

struct Signed {
    position: (i64, i32, i32),
    block: interlock_privval::BlockId,
    timestamp: Option<Timestamp>,
    sign_bytes: Vec<u8>,
    signature: Vec<u8>,
}

/// The time that was signed and the signature, or the words of a refusal.
type Outcome = Result<(Option<Timestamp>, Vec<u8>), String>;

impl Memory {
    fn sign(&mut self, key: &SigningKey, asked: Signed) -> Outcome {
        match &self.last {
            Some(last) if asked.position < last.position => {
                return Err(format!("regression: {:?} after {:?}", asked.position, last.position));
            }
            Some(last) if asked.position == last.position => {
                let is_proposal = asked.position.2 == 0;
                let is_same =
                    if is_proposal { asked.sign_bytes == last.sign_bytes } else { asked.block == last.block };
                if !is_same {
                    return Err(format!("conflict at {:?}", asked.position));
                }
                return Ok((last.timestamp, last.signature.clone()));
            }
            _ => {}
        }
        let signature = key.sign(&asked.sign_bytes).to_vec();
        let answer = (asked.timestamp, signature.clone());
        self.last = Some(Signed { signature, ..asked });
        Ok(answer)
    }
}

/// How a signer behaves.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Signs each position once.
    Honest(Arc<Mutex<Memory>>),
    /// Signs whatever it is asked.
    SignsAnything,
    /// Refuses every vote and proposal.
    Refuses,
    /// Answers pings and key requests, nothing else.
    Stalls,
    /// Lets its first request for a signature go unanswered; honest afterwards.
    StallsOnce(Arc<Mutex<Memory>>),
    /// Signs other bytes than it was asked to.
    SignsGarbage,
    /// Leaves the extension signature out.
    ForgetsExtensions,
}

impl Behaviour {
    pub(crate) fn honest() -> Self {
        Self::Honest(Arc::default())
    }
}

/// What a signer saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) pings: u64,
    pub(crate) connections: u64,
    /// (height, message type) of each request for a signature.
    pub(crate) asked: Vec<(i64, i32)>,
}

/// A running signer; dropping it kills it.
pub(crate) struct TestSigner {
    task: JoinHandle<()>,
    pub(crate) seen: watch::Receiver<Seen>,
}

impl Drop for TestSigner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestSigner {
    pub(crate) fn spawn(address: &Address, behaviour: Behaviour) -> Self {
        Self::spawn_with_key(address, behaviour, validator_key())
    }

    pub(crate) fn spawn_with_key(address: &Address, behaviour: Behaviour, key: SigningKey) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let session = Session { key, behaviour, seen: sender };
        Self { task: tokio::spawn(session.run(address.clone())), seen }
    }
}

struct Session {
    key: SigningKey,
    behaviour: Behaviour,
    seen: watch::Sender<Seen>,
}

impl Session {
    async fn run(self, address: Address) {
        let identity = SigningKey::from_bytes(&[7; 32]);
        loop {
            if let Ok(connection) = Connection::dial(&address, &identity, DIAL_TIMEOUT).await {
                self.seen.send_modify(|seen| seen.connections += 1);
                self.serve(connection).await;
            }
            tokio::time::sleep(DIAL_PAUSE).await;
        }
    }

    async fn serve(&self, mut connection: Connection) {
        while let Ok(request) = connection.recv().await {
            let Some(answer) = self.answer(request) else { continue };
            if connection.send(answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: Message) -> Option<Message> {
        match request {
            Message::PingRequest(_) => {
                self.seen.send_modify(|seen| seen.pings += 1);
                Some(Message::PingResponse(PingResponse {}))
            }
            Message::PubKeyRequest(_) => {
                let key = PublicKey::ed25519(self.key.verifying_key().to_bytes());
                Some(Message::PubKeyResponse(PubKeyResponse::found(key)))
            }
            Message::SignVoteRequest(request) => {
                let vote = request.vote?;
                let count = self.saw(vote.height, vote.msg_type);
                let answer = self.vote(&request.chain_id, vote, count)?;
                Some(Message::SignedVoteResponse(answer.map_or_else(
                    |text| SignedVoteResponse::refused(error(text)),
                    SignedVoteResponse::signed,
                )))
            }
            Message::SignProposalRequest(request) => {
                let proposal = request.proposal?;
                let count = self.saw(proposal.height, proposal.msg_type);
                let answer = self.proposal(&request.chain_id, proposal, count)?;
                Some(Message::SignedProposalResponse(answer.map_or_else(
                    |text| SignedProposalResponse::refused(error(text)),
                    SignedProposalResponse::signed,
                )))
            }
            other => panic!("a node does not send a {}", other.name()),
        }
    }

    fn saw(&self, height: i64, msg_type: i32) -> usize {
        self.seen.send_modify(|seen| seen.asked.push((height, msg_type)));
        self.seen.borrow().asked.len()
    }

    fn vote(&self, chain_id: &str, mut vote: Vote, count: usize) -> Option<Result<Vote, String>> {
        let sign_bytes = vote_sign_bytes(chain_id, &vote);
        if vote.needs_extension_signature() && !matches!(self.behaviour, Behaviour::ForgetsExtensions) {
            vote.extension_signature = self.key.sign(&vote_extension_sign_bytes(chain_id, &vote)).to_vec();
        }
        let asked = Signed {
            position: (vote.height, vote.round, vote.msg_type),
            block: vote.block_id.clone(),
            timestamp: vote.timestamp,
            sign_bytes,
            signature: Vec::new(),
        };
        Some(self.sign(asked, count)?.map(|(timestamp, signature)| Vote { timestamp, signature, ..vote }))
    }

    fn proposal(&self, chain_id: &str, proposal: Proposal, count: usize) -> Option<Result<Proposal, String>> {
        let asked = Signed {
            position: (proposal.height, proposal.round, 0),
            block: proposal.block_id.clone(),
            timestamp: proposal.timestamp,
            sign_bytes: proposal_sign_bytes(chain_id, &proposal),
            signature: Vec::new(),
        };
        Some(self.sign(asked, count)?.map(|(_, signature)| Proposal { signature, ..proposal }))
    }

    /// `None` for no answer at all.
    fn sign(&self, asked: Signed, count: usize) -> Option<Outcome> {
        match &self.behaviour {
            Behaviour::Stalls => None,
            Behaviour::StallsOnce(_) if count == 1 => None,
            Behaviour::Honest(memory) | Behaviour::StallsOnce(memory) => {
                Some(memory.lock().unwrap().sign(&self.key, asked))
            }
            Behaviour::SignsAnything | Behaviour::ForgetsExtensions => {
                Some(Ok((asked.timestamp, self.key.sign(&asked.sign_bytes).to_vec())))
            }
            Behaviour::SignsGarbage => Some(Ok((asked.timestamp, self.key.sign(b"garbage").to_vec()))),
            Behaviour::Refuses => Some(Err("rule R7: another signer holds the lease".to_owned())),
        }
    }
}

fn error(description: String) -> RemoteSignerError {
    RemoteSignerError { code: 0, description }
}

/// Waits for the first event that `pick` likes.
pub(crate) async fn wait_for<T>(
    events: &mut broadcast::Receiver<Event>,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.recv().await.expect("the chain lives and this receiver keeps up");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, search).await.expect("the awaited event came before the deadline")
}

/// Waits until `height` has ended, signed or missed.
pub(crate) async fn wait_past(events: &mut broadcast::Receiver<Event>, height: i64) {
    wait_for(events, |event| match event {
        Event::HeightSigned { height: ended } | Event::HeightMissed { height: ended } if *ended >= height => {
            Some(())
        }
        _ => None,
    })
    .await;
}

/// Starts a chain with one signer for each node, and lets it begin once all are connected.
pub(crate) async fn begin_with(config: ChainConfig, behaviours: &[Behaviour]) -> (Chain, Vec<TestSigner>) {
    let chain = Chain::start(config).await.unwrap();
    let signers: Vec<TestSigner> = chain
        .addresses()
        .iter()
        .zip(behaviours)
        .map(|(address, behaviour)| TestSigner::spawn(address, behaviour.clone()))
        .collect();
    chain.wait_until_connected(DEADLINE).await.unwrap();
    chain.begin().await;
    (chain, signers)
}
