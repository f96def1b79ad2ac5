//! The calling side: one client per peer and purpose, each over its own channel, so that a snapshot or a large append
//! never delays a heartbeat.

use crate::raft::{CONNECT_TIMEOUT, LocalNode, MESSAGE_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, check_data, wire};
use crate::tls::Tls;
use futures::stream;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_client::RaftClient;
use interlock_store::{GuardNode, PeerBook, Snapshot, SnapshotData, TypeConfig, Vote, codec};
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
use tonic::{Request, Status};

/// Longest time for a whole snapshot transfer.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause between attempts at a peer that does not answer.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes the clients.
pub(crate) struct PeerNetwork {
    local: LocalNode,
    tls: Tls,
    peers: Arc<PeerBook>,
}

impl PeerNetwork {
    pub(crate) fn new(local: LocalNode, tls: Tls, peers: Arc<PeerBook>) -> Self {
        Self { local, tls, peers }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetwork {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &GuardNode) -> Peer {
        let (local, peers) = (self.local, Arc::clone(&self.peers));
        Peer { local, target, client: lazy_client(&self.tls, target, node), peers }
    }
}

/// A client whose channel connects at first use and again whenever it broke.
pub(super) fn lazy_client(tls: &Tls, target: u64, node: &GuardNode) -> Result<RaftClient<Channel>, String> {
    let uri = format!("https://{}", node.peer_address);
    let endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| endpoint.tls_config(tls.client(target)))
        .map_err(|error| format!("peer address {:?} of node {target}: {error}", node.peer_address))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true);
    Ok(RaftClient::new(endpoint.connect_lazy())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// Calls one peer.
pub(crate) struct Peer {
    local: LocalNode,
    target: u64,
    client: Result<RaftClient<Channel>, String>,
    peers: Arc<PeerBook>,
}

fn unreachable<E: std::error::Error + 'static>(error: &E) -> Unreachable<TypeConfig> {
    Unreachable::new(error)
}

impl Peer {
    fn client(&self) -> Result<RaftClient<Channel>, Status> {
        self.client.clone().map_err(Status::invalid_argument)
    }

    fn check_data(&self, incarnation: &[u8]) -> Result<(), Status> {
        check_data(&self.peers, self.target, incarnation)
    }

    fn vote_answer(&self, response: proto::VoteResponse) -> Result<VoteResponse<TypeConfig>, Status> {
        self.check_data(&response.incarnation)?;
        wire::vote_response_from_wire(response)
    }

    fn request<T>(message: T, option: &RPCOption) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(option.soft_ttl());
        request
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Status> {
        let header = proto::SnapshotHeader {
            sender: Some(wire::sender(self.local, self.target)),
            vote: Some(wire::vote_to_wire(&vote)),
            meta: codec::encode_snapshot_meta(&snapshot.meta),
            total_bytes: snapshot.snapshot.size(),
        };
        let chunks = std::iter::once(proto::snapshot_chunk::Kind::Header(header))
            .chain(data_chunks(snapshot.snapshot))
            .map(|kind| proto::SnapshotChunk { kind: Some(kind) });
        let mut request = Request::new(stream::iter(chunks));
        request.set_timeout(SNAPSHOT_TIMEOUT);
        let response = self.client()?.install_snapshot(request).await?.into_inner();
        self.check_data(&response.incarnation)?;
        Ok(SnapshotResponse::new(wire::vote_from_wire(response.vote)?))
    }
}

fn data_chunks(data: SnapshotData) -> impl Iterator<Item = proto::snapshot_chunk::Kind> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let chunk = data.read_at(offset, SNAPSHOT_CHUNK_BYTES);
        offset += chunk.len() as u64;
        (!chunk.is_empty()).then(|| proto::snapshot_chunk::Kind::Data(chunk.to_vec()))
    })
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = wire::append_to_wire(self.local, self.target, &rpc);
            let response = self.client()?.append(Self::request(message, &option)).await?.into_inner();
            self.check_data(&response.incarnation)?;
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
            let message = wire::vote_request_to_wire(self.local, self.target, &rpc);
            let response = self.client()?.vote(Self::request(message, &option)).await?;
            self.vote_answer(response.into_inner())
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
            let message = wire::vote_request_to_wire(self.local, self.target, &rpc);
            let response = self.client()?.pre_vote(Self::request(message, &option)).await?;
            self.vote_answer(response.into_inner())
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
            sent = self.send_snapshot(vote, snapshot) => {
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
            let message = wire::transfer_to_wire(self.local, self.target, &request);
            self.client()?.transfer_leader(Self::request(message, &option)).await
        };
        let response = call.await.map_err(|status| RPCError::Unreachable(unreachable(&status)))?.into_inner();
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
