//! A validator node's end of the wire, asked to sign what a test says, and key files for its signers.

use crate::guard::{Guard, guard_section, tls};
use crate::support::Scratch;
use interlock_privval::{
    Address, BlockId, Connection, Listener, Message, PartSetHeader, SignVoteRequest, SignedMsgType,
    Timestamp, Vote,
};
use interlock_toychain::SigningKey;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(crate) const CHAIN: &str = "chain-1";
/// Longest wait for a signer to dial or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens where one signer dials.
pub(crate) struct Validator {
    runtime: Runtime,
    listener: Listener,
    identity: SigningKey,
    connection: Option<Connection>,
}

impl Validator {
    pub(crate) fn bind() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let address: Address = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(Listener::bind(&address)).unwrap();
        Self { runtime, listener, identity: SigningKey::from_bytes(&[1; 32]), connection: None }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_address().to_string()
    }

    /// Takes the signer that dials.
    pub(crate) fn accept(&mut self) {
        let accepted = async {
            loop {
                // A dial that was given up while it waited fails the handshake; the next one is fresh.
                if let Ok(connection) = self.listener.accept(&self.identity, PATIENCE).await {
                    return connection;
                }
            }
        };
        let within = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, accepted).await });
        self.connection = Some(within.expect("no signer dialled"));
    }

    /// Asks for a prevote for one of several blocks; the refusal's text when there is no signature.
    pub(crate) fn prevote(&mut self, height: i64, block: u8) -> Result<(), String> {
        let part_set_header = PartSetHeader { total: 1, hash: vec![block; 32] };
        let vote = Vote {
            msg_type: SignedMsgType::Prevote.into(),
            height,
            block_id: BlockId { hash: vec![block; 32], part_set_header },
            timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
            validator_address: vec![1; 20],
            ..Vote::default()
        };
        let request = SignVoteRequest { vote: Some(vote), chain_id: CHAIN.to_owned() };
        let connection = self.connection.as_mut().expect("accept first");
        let answer = self.runtime.block_on(async {
            connection.send(Message::SignVoteRequest(request)).await.unwrap();
            tokio::time::timeout(PATIENCE, connection.recv()).await.expect("no answer").unwrap()
        });
        match answer {
            Message::SignedVoteResponse(reply) => match reply.error {
                None => {
                    assert!(!reply.vote.signature.is_empty());
                    Ok(())
                }
                Some(error) => Err(error.description),
            },
            other => panic!("a vote was answered with {other:?}"),
        }
    }
}

/// A key pair in a file as CometBFT writes it; returns its public part.
pub(crate) fn write_key(scratch: &Scratch, name: &str, seed: u8) -> String {
    let signing = SigningKey::from_bytes(&[seed; 32]);
    let base64 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let public = base64(signing.verifying_key().as_bytes());
    let file = serde_json::json!({
        "address": interlock_privval::PeerId::of(&signing.verifying_key()).to_string().to_uppercase(),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": public},
        "priv_key": {"type": "tendermint/PrivKeyEd25519", "value": base64(&signing.to_keypair_bytes())},
    });
    scratch.write(name, &file.to_string());
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scratch.path(name), owner_only).unwrap();
    public
}

/// Writes `<signer>.toml` for a signer of the key `val` in `key.json` that serves this validator.
pub(crate) fn write_signer(scratch: &Scratch, signer: &str, guards: &str, validator: &Validator) {
    let head = format!("state_dir = \"state-{signer}\"\n{}", tls(&format!("signer-{signer}")));
    let key = format!("[[key]]\nname = \"val\"\nchain_id = \"{CHAIN}\"\nkey_file = \"key.json\"\n");
    let node = format!("[[key.node]]\nname = \"node-{signer}\"\naddress = \"{}\"\n", validator.address());
    // A busy machine may delay the news of a grant.
    let timing = "[timing]\nanswer_deadline_ms = 4000\nhold_ms = 2000\n";
    scratch.write(&format!("{signer}.toml"), &(head + guards + &key + &node + timing));
}

impl Guard {
    /// Waits until this signer holds the lease of `val`.
    pub(crate) fn wait_for_holder(&self, signer: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let key = self.json("key show val");
            if key["holder"] == signer {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{key}\n{}", self.json("cluster status"));
        }
    }

    pub(crate) fn guards(&self) -> String {
        guard_section(&self.clients)
    }
}
