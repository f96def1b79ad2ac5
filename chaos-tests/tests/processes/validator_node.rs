//! A validator node in the hands of a test: it asks its signer for whatever the test wants.

use std::time::Duration;

use interlock_privval::{
    BlockId, Connection, Listener, Message, PartSetHeader, SignVoteRequest, SignedMsgType, Timestamp, Vote,
};
use interlock_testkit::history::Entry;
use interlock_testkit::signbytes::Kind;
use interlock_toychain::SigningKey;

use crate::world::{CHAIN_ID, DEADLINE, World, is_lease_refusal};

/// A signer that dials has this long for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct ValidatorNode {
    listener: Listener,
    connection: Option<Connection>,
    identity: SigningKey,
}

impl ValidatorNode {
    /// Takes the place of a node of the chain, which must be stopped.
    pub(crate) fn listen(world: &World, node: usize) -> Self {
        let listener = world.runtime.block_on(Listener::bind(world.address(node))).unwrap();
        Self { listener, connection: None, identity: SigningKey::from_bytes(&[8; 32]) }
    }

    /// Asks for another block at the position of `signed`, until the signer refuses for another reason than that it does
    /// not hold the lease.
    pub(crate) fn refusal_of_a_rival(&mut self, world: &mut World, signed: &Entry) -> String {
        let rival = rival_of(signed);
        world.wait("a refused double sign", |world| {
            let answer = world
                .runtime
                .block_on(async { tokio::time::timeout(DEADLINE, self.ask_for(rival.clone())).await });
            match answer.map_err(|_| "no answer".to_owned())?? {
                None => panic!("a second signature for the position of {:?}", signed.signed),
                Some(refusal) if is_lease_refusal(&refusal) => Err(refusal),
                // While the guard starts, a signer can only say that it does not know.
                Some(refusal) if refusal.starts_with("the guard") => Err(refusal),
                Some(refusal) => Ok(refusal),
            }
        })
    }

    /// The words of a refusal, or `None` when it was signed.
    async fn ask_for(&mut self, vote: Vote) -> Result<Option<String>, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let accepted = self.listener.accept(&self.identity, HANDSHAKE_TIMEOUT).await;
                none.insert(accepted.map_err(|error| error.to_string())?)
            }
        };
        let request = SignVoteRequest { vote: Some(vote), chain_id: CHAIN_ID.to_owned() };
        let exchange = async {
            let sent = connection.send(Message::SignVoteRequest(request)).await;
            sent.map_err(|error| error.to_string())?;
            connection.recv().await.map_err(|error| error.to_string())
        };
        match exchange.await {
            Ok(Message::SignedVoteResponse(response)) => Ok(response.error.map(|error| error.description)),
            Ok(other) => Err(format!("a {} instead of a vote", other.name())),
            Err(error) => {
                self.connection = None;
                Err(error)
            }
        }
    }
}

/// A vote of the same position for a block that nobody proposed.
fn rival_of(signed: &Entry) -> Vote {
    let msg_type = match signed.signed.kind {
        Kind::Prevote => SignedMsgType::Prevote,
        Kind::Precommit => SignedMsgType::Precommit,
        other => panic!("a {other:?} is no vote"),
    };
    let hash = vec![0xee; 32];
    Vote {
        msg_type: msg_type.into(),
        height: signed.signed.height,
        round: signed.signed.round.try_into().unwrap(),
        block_id: BlockId { hash: hash.clone(), part_set_header: PartSetHeader { total: 1, hash } },
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        validator_address: vec![1; 20],
        ..Vote::default()
    }
}
