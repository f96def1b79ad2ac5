//! A guard, a validator node and signers between them, in one process.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, Verifier as _};
use interlock_client::fake_guard::{FakeGuard, PATIENCE};
use interlock_core::{Incarnation, KeyId};
use interlock_privval::{
    Address, BlockId, Connection, Listener, Message, PartSetHeader, Proposal, SignProposalRequest,
    SignVoteRequest, SignedMsgType, Timestamp, Vote,
};
use interlock_proto::Role;
use interlock_signer::{Signer, SignerConfig, enroll};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

pub const CHAIN: &str = "chain-1";
/// No height up to and including this one may be signed.
pub const FLOOR: u64 = 4;

pub struct Rig {
    pub guard: FakeGuard,
    pub directory: tempfile::TempDir,
    pub key: SigningKey,
    pub key_id: KeyId,
}

impl Rig {
    /// Three guard nodes that know the key `val`, with the signers alpha and beta.
    pub async fn new() -> Self {
        let guard = FakeGuard::start(3).await;
        let key = SigningKey::from_bytes(&[42; 32]);
        let public = key.verifying_key().to_bytes();
        let key_id = guard.add_key("val", CHAIN, &public, &["alpha", "beta"], FLOOR);
        let directory = tempfile::tempdir().unwrap();
        write_key_file(&directory.path().join("key.json"), &key, 0o600);
        Self { guard, directory, key, key_id }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration of a signer, by way of its file format. More patient than the defaults: a busy machine may
    /// delay the news of a grant.
    pub fn config(&self, signer: &str, node: &str) -> SignerConfig {
        let tls = self.guard.tls(signer, Role::Signer);
        let mut text = format!(
            "state_dir = 'state-{signer}'\n[tls]\nca = '{}'\ncert = '{}'\nkey = '{}'\n",
            tls.ca.display(),
            tls.cert.display(),
            tls.key.display()
        );
        for guard in &self.guard.endpoints {
            text.push_str(&format!("[[guard]]\nid = {}\naddress = '{}'\n", guard.id, guard.address));
        }
        text.push_str(&format!(
            "[[key]]\nname = 'val'\nchain_id = '{CHAIN}'\nkey_file = 'key.json'\n\
             [[key.node]]\nname = 'node-{signer}'\naddress = '{node}'\n"
        ));
        text.push_str("[timing]\nanswer_deadline_ms = 4000\nhold_ms = 2000\n");
        let mut config: SignerConfig = toml::from_str(&text).unwrap();
        config.resolve_paths(self.directory.path());
        config
    }

    /// Enrols and starts a signer for this node, and waits until the guard knows it.
    pub async fn start(&self, signer: &str, node: &str) -> Signer {
        self.start_with(signer, &self.config(signer, node)).await
    }

    pub async fn start_with(&self, signer: &str, config: &SignerConfig) -> Signer {
        enroll(config).await.unwrap();
        let running = Signer::start(config, Some(&self.tap_path(signer))).await.unwrap();
        self.guard.wait_sessions(signer).await;
        running
    }

    /// As [`Rig::start`], with the lease granted and the node connected.
    pub async fn start_holder(&self, signer: &str) -> (Signer, Node) {
        let mut node = Node::bind().await;
        let running = self.start(signer, &node.address()).await;
        self.guard.grant(self.key_id, signer, running.holder().incarnation);
        node.accept().await;
        (running, node)
    }

    pub fn grant(&self, signer: &str, incarnation: Incarnation) {
        self.guard.grant(self.key_id, signer, incarnation);
    }

    pub fn tap_path(&self, signer: &str) -> PathBuf {
        self.path(&format!("tap-{signer}.jsonl"))
    }

    /// Everything that a signer signed, as the tap recorded it.
    pub fn tap(&self, signer: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.tap_path(signer)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub fn verify(&self, sign_bytes: &[u8], signature: &[u8]) {
        let signature = Signature::from_slice(signature).unwrap();
        self.key.verifying_key().verify(sign_bytes, &signature).unwrap();
    }
}

pub fn write_key_file(path: &Path, key: &SigningKey, mode: u32) {
    let public = key.verifying_key().to_bytes();
    let text = serde_json::json!({
        "address": hex::encode_upper(&Sha256::digest(public)[..20]),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": STANDARD.encode(public)},
        "priv_key": {"type": "tendermint/PrivKeyEd25519", "value": STANDARD.encode(key.to_keypair_bytes())},
    });
    std::fs::write(path, text.to_string()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A validator node's end: listens, accepts its signer, asks.
pub struct Node {
    listener: Listener,
    identity: SigningKey,
    connection: Option<Connection>,
}

impl Node {
    pub async fn bind() -> Self {
        Self::bind_at("tcp://127.0.0.1:0").await
    }

    pub async fn bind_at(address: &str) -> Self {
        let address: Address = address.parse().unwrap();
        let listener = Listener::bind(&address).await.unwrap();
        Self { listener, identity: SigningKey::from_bytes(&[1; 32]), connection: None }
    }

    pub fn address(&self) -> String {
        self.listener.local_address().to_string()
    }

    /// Takes the next signer that dials and completes the handshake.
    pub async fn accept(&mut self) {
        self.connection = None;
        let accepted = async {
            loop {
                // A dial that was given up while it waited fails the handshake; the next one is fresh.
                if let Ok(connection) = self.listener.accept(&self.identity, PATIENCE).await {
                    return connection;
                }
            }
        };
        let connection = tokio::time::timeout(PATIENCE, accepted).await.expect("no signer dialled");
        self.connection = Some(connection);
    }

    pub async fn ask(&mut self, message: Message) -> Message {
        let connection = self.connection.as_mut().expect("accept first");
        connection.send(message).await.unwrap();
        tokio::time::timeout(PATIENCE, connection.recv()).await.expect("no answer").unwrap()
    }

    /// The signed vote, or the error that came instead.
    pub async fn vote(&mut self, vote: Vote) -> Result<Vote, String> {
        let request = SignVoteRequest { vote: Some(vote), chain_id: CHAIN.to_owned() };
        match self.ask(Message::SignVoteRequest(request)).await {
            Message::SignedVoteResponse(reply) => match reply.error {
                None => Ok(reply.vote),
                Some(error) => {
                    assert!(reply.vote.signature.is_empty() && reply.vote.extension_signature.is_empty());
                    Err(error.description)
                }
            },
            other => panic!("a vote was answered with {other:?}"),
        }
    }

    pub async fn proposal(&mut self, proposal: Proposal) -> Result<Proposal, String> {
        let request = SignProposalRequest { proposal: Some(proposal), chain_id: CHAIN.to_owned() };
        match self.ask(Message::SignProposalRequest(request)).await {
            Message::SignedProposalResponse(reply) => match reply.error {
                None => Ok(reply.proposal),
                Some(error) => Err(error.description),
            },
            other => panic!("a proposal was answered with {other:?}"),
        }
    }
}

pub fn block(number: u8) -> BlockId {
    let part_set_header = PartSetHeader { total: 1, hash: vec![number; 32] };
    BlockId { hash: vec![number; 32], part_set_header }
}

pub fn prevote(height: i64, number: u8) -> Vote {
    Vote {
        msg_type: SignedMsgType::Prevote.into(),
        height,
        block_id: block(number),
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
        validator_address: vec![1; 20],
        ..Vote::default()
    }
}

pub fn precommit(height: i64, number: u8, extension: &[u8]) -> Vote {
    let msg_type = SignedMsgType::Precommit.into();
    Vote { msg_type, extension: extension.to_vec(), ..prevote(height, number) }
}

pub fn proposal(height: i64, number: u8) -> Proposal {
    Proposal {
        msg_type: SignedMsgType::Proposal.into(),
        height,
        round: 0,
        pol_round: -1,
        block_id: block(number),
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
        signature: Vec::new(),
    }
}
