//! Asks a peer for its audit chain value at one log index, over a channel of its own.

use crate::raft::network::lazy_client;
use crate::raft::peers::Peers;
use crate::tls::Tls;
use interlock_core::AuditChain;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_client::RaftClient;
use interlock_store::{GuardNode, codec};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_millis(1000);

/// Asks peers. Keeps one channel for each.
pub(crate) struct ChainAsker {
    tls: Tls,
    peers: Arc<Peers>,
    clients: Mutex<BTreeMap<u64, (GuardNode, RaftClient<Channel>)>>,
}

impl ChainAsker {
    pub(crate) fn new(tls: Tls, peers: Arc<Peers>) -> Self {
        Self { tls, peers, clients: Mutex::default() }
    }

    /// The peer's value after the entry at `log_index`; `None` when it does not know it.
    ///
    /// # Errors
    /// When it does not answer, or not as the member with the data that this node knows under that id.
    pub(crate) async fn ask(
        &self,
        target: u64,
        node: &GuardNode,
        log_index: u64,
        ours: AuditChain,
    ) -> Result<Option<AuditChain>, Status> {
        let mut client = self.client(target, node)?;
        let sender = Some(self.peers.sender(target));
        let question = proto::ChainQuestion { sender, log_index, chain: ours.as_bytes().to_vec() };
        let mut request = Request::new(question);
        request.set_timeout(TIMEOUT);
        let answer = client.compare_chain(request).await;
        let answer = answer.map(Response::into_inner).inspect_err(|status| self.peers.obey_answer(status))?;
        self.peers.hear(target, answer.presence.as_ref())?;
        let chain = answer.chain.as_deref().map(codec::decode_chain).transpose();
        chain.map_err(|error| Status::invalid_argument(format!("field chain: {error}")))
    }

    fn client(&self, target: u64, node: &GuardNode) -> Result<RaftClient<Channel>, Status> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&target)
            && known == node
        {
            return Ok(client.clone());
        }
        let client = lazy_client(&self.tls, target, &node.peer_address).map_err(Status::invalid_argument)?;
        clients.insert(target, (node.clone(), client.clone()));
        Ok(client)
    }
}
