//! A snapshot on its way in: each chunk is on disk before the next is asked for, and all of it is verified before
//! consensus sees it.

use interlock_core::ClusterId;
use interlock_proto::raft as proto;
use interlock_store::{Snapshot, SnapshotData, SnapshotInbox, TransferError, TransferId, codec};
use tonic::{Status, Streaming};

pub(super) fn transfer_id(header: &proto::SnapshotHeader) -> TransferId {
    TransferId { meta: header.meta.clone(), total_bytes: header.total_bytes, checksum: header.checksum }
}

/// Receives what follows the header.
pub(super) async fn receive(
    inbox: &SnapshotInbox,
    cluster: ClusterId,
    header: &proto::SnapshotHeader,
    chunks: &mut Streaming<proto::SnapshotChunk>,
) -> Result<Snapshot, Status> {
    let meta = codec::decode_snapshot_meta(&header.meta)
        .map_err(|error| Status::invalid_argument(format!("snapshot meta: {error}")))?;
    let id = transfer_id(header);
    let begun = id.clone();
    let mut received = with_files(inbox, move |inbox| inbox.begin(&begun)).await?;
    if received != header.offset {
        let offset = header.offset;
        return Err(Status::data_loss(format!(
            "{received} bytes of this snapshot are here, not {offset}: ask, then go on from there"
        )));
    }
    while let Some(chunk) = chunks.message().await? {
        let Some(proto::snapshot_chunk::Kind::Data(bytes)) = chunk.kind else {
            return Err(Status::invalid_argument("only data follows a snapshot's header"));
        };
        let (of, length) = (id.clone(), bytes.len() as u64);
        with_files(inbox, move |inbox| inbox.append(&of, received, &bytes)).await?;
        received += length;
    }
    let data = with_files(inbox, move |inbox| inbox.finish(&id)).await?;
    let (data, covers) = verify(data, cluster).await?;
    if covers != meta {
        return Err(Status::invalid_argument("the snapshot does not cover what its header says"));
    }
    Ok(Snapshot { meta, snapshot: data })
}

async fn verify(
    data: SnapshotData,
    cluster: ClusterId,
) -> Result<(SnapshotData, interlock_store::SnapshotMeta), Status> {
    let verified = tokio::task::spawn_blocking(move || data.verify(cluster).map(|meta| (data, meta))).await;
    verified
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::failed_precondition(format!("the snapshot is not for this node: {error}")))
}

async fn with_files<T: Send + 'static>(
    inbox: &SnapshotInbox,
    work: impl FnOnce(&SnapshotInbox) -> Result<T, TransferError> + Send + 'static,
) -> Result<T, Status> {
    let inbox = inbox.clone();
    let worked = tokio::task::spawn_blocking(move || work(&inbox)).await;
    worked.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| match error {
        TransferError::TooLarge { .. } => Status::out_of_range(error.to_string()),
        TransferError::Disk(_) => Status::internal(error.to_string()),
        TransferError::Replaced | TransferError::NotNext { .. } | TransferError::WrongSize { .. } => {
            Status::data_loss(error.to_string())
        }
    })
}
