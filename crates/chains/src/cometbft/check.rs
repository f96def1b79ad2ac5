//! Checks that votes and proposals share. Each is total: what they accept, the rest of the crate can rely on.

use super::error::{REQUEST_TEXT_MAX_CHARS, RequestError};
use interlock_core::cometbft::{Position, Step};
use interlock_core::{ChainId, Digest};
use interlock_privval::{BlockId, Timestamp};
use sha2::{Digest as _, Sha256};

const HASH_BYTES: usize = 32;
/// 9999-12-31T23:59:59Z: where protobuf's timestamps end.
const LAST_SECOND: i64 = 253_402_300_799;
const NANOS_PER_SECOND: i32 = 1_000_000_000;

pub(super) fn check_chain(ours: &ChainId, asked: &str) -> Result<(), RequestError> {
    if asked == ours.as_str() {
        return Ok(());
    }
    Err(RequestError::WrongChain {
        ours: ours.clone(),
        asked: asked.chars().take(REQUEST_TEXT_MAX_CHARS).collect(),
    })
}

pub(super) fn position(height: i64, round: i32, step: Step) -> Result<Position, RequestError> {
    let height = match u64::try_from(height) {
        Ok(positive @ 1..) => positive,
        _ => return Err(RequestError::HeightNotPositive { height }),
    };
    let round = u32::try_from(round).map_err(|_| RequestError::NegativeRound { round })?;
    Ok(Position { height, round, step })
}

/// The digest of a whole block id; `None` for the empty one.
pub(super) fn block_digest(block_id: &BlockId) -> Result<Option<Digest>, RequestError> {
    if block_id.is_nil() {
        return Ok(None);
    }
    let parts = &block_id.part_set_header;
    if block_id.hash.len() != HASH_BYTES || parts.hash.len() != HASH_BYTES || parts.total == 0 {
        return Err(RequestError::MalformedBlockId {
            hash_len: block_id.hash.len(),
            total: parts.total,
            parts_hash_len: parts.hash.len(),
        });
    }
    // All three have a fixed length here, so that no two block ids give the same bytes.
    let fixed_form = [block_id.hash.as_slice(), &parts.total.to_be_bytes(), &parts.hash].concat();
    Ok(Some(sha256(&fixed_form)))
}

pub(super) fn timestamp(given: Option<Timestamp>, field: &'static str) -> Result<Timestamp, RequestError> {
    let given = given.ok_or(RequestError::Missing { field })?;
    let Timestamp { seconds, nanos } = given;
    let in_range = (Timestamp::GO_ZERO.seconds..=LAST_SECOND).contains(&seconds);
    if in_range && (0..NANOS_PER_SECOND).contains(&nanos) {
        Ok(given)
    } else {
        Err(RequestError::BadTimestamp { seconds, nanos })
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}
