//! A snapshot on its way to a follower: in chunks from its file, each only when the follower has the one before on its
//! disk, and on from where a broken transfer ended.

use crate::raft::network::Peer;
use crate::raft::{SNAPSHOT_CHUNK_BYTES, wire};
use futures::{Stream, StreamExt as _, stream};
use interlock_proto::raft as proto;
use interlock_store::{Snapshot, SnapshotData, TypeConfig, Vote, codec};
use openraft::raft::SnapshotResponse;
use std::time::Duration;
use tonic::{Code, Request, Status};

/// Longest wait for the answer how much is there.
const OFFSET_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a transfer beside that for its bytes: the follower verifies, installs and syncs.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
/// Slowest link that is waited for, bytes a second.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;
/// Times that one snapshot goes on after its transfer broke. openraft then asks again, perhaps with a newer one.
const RESUMES_MAX: u32 = 10;

impl Peer {
    pub(super) async fn send_snapshot(
        &mut self,
        vote: Vote,
        snapshot: &Snapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Status> {
        let mut header = proto::SnapshotHeader {
            sender: Some(self.sender()),
            vote: Some(wire::vote_to_wire(&vote)),
            meta: codec::encode_snapshot_meta(&snapshot.meta),
            total_bytes: snapshot.snapshot.size(),
            checksum: stated_checksum(snapshot.snapshot.clone()).await?,
            offset: 0,
        };
        let mut resumes = 0;
        loop {
            header.offset = self.snapshot_offset(&header).await?;
            match self.transfer(header.clone(), snapshot.snapshot.clone()).await {
                Err(status) if broke(&status) && resumes < RESUMES_MAX => {
                    resumes += 1;
                    tracing::info!(peer = self.target, resumes, %status, "a snapshot transfer broke and goes on");
                }
                other => return other,
            }
        }
    }

    async fn snapshot_offset(&mut self, header: &proto::SnapshotHeader) -> Result<u64, Status> {
        let mut request = Request::new(header.clone());
        request.set_timeout(OFFSET_TIMEOUT);
        let answer = self.client()?.snapshot_offset(request).await;
        let response = self.answer(answer)?;
        self.hear(response.presence.as_ref())?;
        Ok(response.received)
    }

    async fn transfer(
        &mut self,
        header: proto::SnapshotHeader,
        data: SnapshotData,
    ) -> Result<SnapshotResponse<TypeConfig>, Status> {
        let rest = header.total_bytes.saturating_sub(header.offset);
        let chunks = data_chunks(data, header.offset);
        let first = stream::once(std::future::ready(proto::snapshot_chunk::Kind::Header(header)));
        let chunks = first.chain(chunks).map(|kind| proto::SnapshotChunk { kind: Some(kind) });
        let mut request = Request::new(chunks);
        request.set_timeout(TRANSFER_TIMEOUT + Duration::from_secs(rest / SLOWEST_BYTES_PER_SECOND));
        let answer = self.client()?.install_snapshot(request).await;
        let response = self.answer(answer)?;
        self.hear(response.presence.as_ref())?;
        Ok(SnapshotResponse::new(wire::vote_from_wire(response.vote)?))
    }
}

/// Whether the connection ended, and not the follower refused.
fn broke(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DataLoss)
}

async fn stated_checksum(data: SnapshotData) -> Result<u32, Status> {
    let read = tokio::task::spawn_blocking(move || data.stated_checksum()).await;
    read.map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))
}

/// The chunks from `offset` on. The transport asks for the next one when the follower has room for it.
fn data_chunks(data: SnapshotData, offset: u64) -> impl Stream<Item = proto::snapshot_chunk::Kind> + Send {
    stream::unfold((data, offset), |(data, offset)| async move {
        let reading = data.clone();
        let read = tokio::task::spawn_blocking(move || reading.read_at(offset, SNAPSHOT_CHUNK_BYTES)).await;
        match read {
            Ok(Ok(chunk)) if chunk.is_empty() => None,
            Ok(Ok(chunk)) => {
                let next = offset + chunk.len() as u64;
                Some((proto::snapshot_chunk::Kind::Data(chunk), (data, next)))
            }
            // The follower sees that the snapshot ends too early.
            Ok(Err(error)) => {
                tracing::error!(%error, "a snapshot does not read");
                None
            }
            Err(error) => {
                tracing::error!(%error, "a snapshot does not read");
                None
            }
        }
    })
}
