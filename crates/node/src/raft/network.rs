//! The calling side: one client per peer and purpose, each over its own channel, so that a snapshot or a large append
//! never delays a heartbeat.

use crate::raft::peers::Peers;
use crate::raft::{CONNECT_TIMEOUT, MESSAGE_BYTES_MAX, wire};
use crate::tls::Tls;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_client::RaftClient;
use interlock_store::{GuardNode, Snapshot, SnapshotData, TypeConfig, Vote};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// Pause between attempts at a peer that does not answer.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes the clients.
#[derive(Clone)]
pub(crate) struct PeerNetwork {
    tls: Tls,
    peers: Arc<Peers>,
}

impl PeerNetwork {
    pub(crate) fn new(tls: Tls, peers: Arc<Peers>) -> Self {
        Self { tls, peers }
    }

    pub(crate) fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.peers)
    }

    /// A client for one peer, over a channel of its own.
    pub(crate) fn dial(&self, target: u64, node: &GuardNode) -> Peer {
        let (tls, address) = (self.tls.clone(), node.peer_address.clone());
        let client = lazy_client(&tls, target, &address);
        Peer { tls, target, address, client, peers: Arc::clone(&self.peers) }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetwork {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &GuardNode) -> Peer {
        self.dial(target, node)
    }
}

/// A client whose channel connects at first use and again whenever it broke.
pub(super) fn lazy_client(tls: &Tls, target: u64, address: &str) -> Result<RaftClient<Channel>, String> {
    let uri = format!("https://{address}");
    let endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| endpoint.tls_config(tls.client(target)))
        .map_err(|error| format!("peer address {address:?} of node {target}: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true);
    Ok(RaftClient::new(endpoint.connect_lazy())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// Calls one peer. Openraft keeps its clients when an address changes, so each call looks whether it did.
pub(crate) struct Peer {
    tls: Tls,
    pub(super) target: u64,
    address: String,
    client: Result<RaftClient<Channel>, String>,
    peers: Arc<Peers>,
}

fn unreachable<E: std::error::Error + 'static>(error: &E) -> Unreachable<TypeConfig> {
    Unreachable::new(error)
}

impl Peer {
    fn any_client(&mut self) -> Result<RaftClient<Channel>, Status> {
        if let Some(address) = self.peers.address(self.target).filter(|newest| *newest != self.address) {
            self.client = lazy_client(&self.tls, self.target, &address);
            self.address = address;
        }
        self.client.clone().map_err(Status::invalid_argument)
    }

    /// Only for a node that was admitted.
    pub(super) fn client(&mut self) -> Result<RaftClient<Channel>, Status> {
        self.peers.admission.check()?;
        self.any_client()
    }

    pub(super) fn sender(&self) -> proto::Sender {
        self.peers.sender(self.target)
    }

    /// What came back, if the peer listens to this node.
    pub(super) fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Status> {
        answer.map(Response::into_inner).inspect_err(|status| self.peers.obey_answer(status))
    }

    pub(super) fn hear(&self, presence: Option<&proto::Presence>) -> Result<(), Status> {
        self.peers.hear(self.target, presence)
    }

    fn vote_answer(
        &self,
        answer: Result<Response<proto::VoteResponse>, Status>,
    ) -> Result<VoteResponse<TypeConfig>, Status> {
        let response = self.answer(answer)?;
        self.hear(response.presence.as_ref())?;
        wire::vote_response_from_wire(response)
    }

    /// Asks whether the peer accepts this node's data.
    pub(crate) async fn introduce(&mut self) -> Result<(), Status> {
        let mut request = Request::new(proto::IntroduceRequest { sender: Some(self.sender()) });
        request.set_timeout(CONNECT_TIMEOUT);
        let answer = self.any_client()?.introduce(request).await;
        let response = self.answer(answer)?;
        self.hear(response.presence.as_ref())
    }

    fn request<T>(message: T, option: &RPCOption) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(option.soft_ttl());
        request
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            // A heartbeat has room for what this leader knows of the others.
            let marks = if rpc.entries.is_empty() { self.peers.marks() } else { Vec::new() };
            let message = wire::append_to_wire(self.sender(), &rpc, marks);
            let answer = self.client()?.append(Self::request(message, &option)).await;
            let response = self.answer(answer)?;
            self.hear(response.presence.as_ref())?;
            wire::append_response_from_wire(response)
        };
        call.await.map_err(|status| RPCError::Unreachable(unreachable(&status)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = wire::vote_request_to_wire(self.sender(), &rpc);
            let answer = self.client()?.vote(Self::request(message, &option)).await;
            self.vote_answer(answer)
        };
        call.await.map_err(|status| RPCError::Unreachable(unreachable(&status)))
    }

    /// A real question to the peer: the default of openraft grants everything.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = wire::vote_request_to_wire(self.sender(), &rpc);
            let answer = self.client()?.pre_vote(Self::request(message, &option)).await;
            self.vote_answer(answer)
        };
        call.await.map_err(|status| RPCError::Unreachable(unreachable(&status)))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot) => {
                sent.map_err(|status| StreamingError::Unreachable(unreachable(&status)))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = wire::transfer_to_wire(self.sender(), &request);
            let answer = self.client()?.transfer_leader(Self::request(message, &option)).await;
            self.answer(answer)
        };
        let response = call.await.map_err(|status| RPCError::Unreachable(unreachable(&status)))?;
        if response.accepted {
            return Ok(Ok(()));
        }
        let refused = Status::failed_precondition(response.reason);
        Err(RPCError::Unreachable(unreachable(&refused)))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}
