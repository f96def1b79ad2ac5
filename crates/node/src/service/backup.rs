//! Saving a backup while the cluster works: the record at one linearizable point, in pieces.

use crate::service::Shared;
use futures::{Stream, stream};
use interlock_proto::{Identity, v1};
use interlock_store::{Backup, BackupOrigin};
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::Status;

/// One piece, bytes: far below the message limit.
const CHUNK_BYTES: usize = 256 * 1024;

/// The pieces of a backup.
pub(super) type BackupStream = Pin<Box<dyn Stream<Item = Result<v1::BackupChunk, Status>> + Send>>;

/// Takes a backup. Everything that was acknowledged before the call is in it.
pub(super) async fn save(shared: &Shared, who: &Identity) -> Result<BackupStream, Status> {
    shared.linearizable().await?;
    let state = shared.state.read(|applied| applied.state.clone());
    let origin = BackupOrigin {
        node_id: shared.local.node_id,
        saved_at_unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        saved_by: who.to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Digests and encoding of a large state take a while: not on a runtime thread.
    let bytes = tokio::task::spawn_blocking(move || Backup::of(state, origin).encode())
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    tracing::info!(bytes = bytes.len(), %who, "backup saved");
    Ok(Box::pin(stream::iter(pieces(bytes))))
}

fn pieces(bytes: Vec<u8>) -> impl Iterator<Item = Result<v1::BackupChunk, Status>> + Send {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let end = bytes.len().min(offset + CHUNK_BYTES);
        let data = bytes[offset..end].to_vec();
        offset = end;
        (!data.is_empty()).then_some(Ok(v1::BackupChunk { data }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_whole() {
        for length in [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let joined: Vec<u8> = pieces(bytes.clone()).flat_map(|piece| piece.unwrap().data).collect();
            assert_eq!(joined, bytes);
        }
    }
}
