//! Asks voters which rules they know. The rules are raised only on the word of every one of them, because a voter that
//! meets a command it does not know has to stop.

use crate::raft::network::lazy_client;
use crate::raft::peers::Peers;
use crate::tls::Tls;
use futures::future::join_all;
use interlock_core::book::RULES_NEWEST;
use interlock_proto::raft as proto;
use interlock_store::GuardNode;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Status};

/// Longest wait for one voter's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1000);

/// Asks other nodes for the rules they know.
pub(crate) struct RulesAsker {
    node_id: u64,
    tls: Tls,
    peers: Arc<Peers>,
}

/// A voter that did not say.
pub(crate) struct Silent {
    pub(crate) node_id: u64,
    pub(crate) why: String,
}

impl RulesAsker {
    pub(crate) fn new(node_id: u64, tls: Tls, peers: Arc<Peers>) -> Self {
        Self { node_id, tls, peers }
    }

    /// The newest rule version that each of these voters knows, by node id.
    pub(crate) async fn ask(&self, voters: &[(u64, GuardNode)]) -> Result<Vec<(u64, u32)>, Silent> {
        let answers = voters.iter().map(|(node_id, node)| async move {
            match self.ask_one(*node_id, node).await {
                Ok(newest) => Ok((*node_id, newest)),
                Err(status) => Err(Silent { node_id: *node_id, why: status.message().to_owned() }),
            }
        });
        join_all(answers).await.into_iter().collect()
    }

    async fn ask_one(&self, node_id: u64, node: &GuardNode) -> Result<u32, Status> {
        if node_id == self.node_id {
            return Ok(RULES_NEWEST);
        }
        let mut client =
            lazy_client(&self.tls, node_id, &node.peer_address).map_err(Status::invalid_argument)?;
        let sender = Some(self.peers.sender(node_id));
        let mut request = Request::new(proto::KnownRulesRequest { sender });
        request.set_timeout(ANSWER_TIMEOUT);
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, client.known_rules(request));
        let answered = asked.await.map_err(|_| Status::deadline_exceeded("no answer in time"))?;
        let answer = answered.inspect_err(|status| self.peers.obey_answer(status))?.into_inner();
        self.peers.hear(node_id, answer.presence.as_ref())?;
        Ok(answer.newest)
    }
}
