//! Whether a key signed any of the newest blocks of its chain, as one node of the chain tells it.
//!
//! Absence is only what was seen: every height of the span answered, for exactly that height of exactly that chain, by
//! a commit that says of each validator what it did. Whatever is missing or unclear ends the look with an error.

use crate::comet_rpc::{CometNode, Head, field, height_at};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::ops::RangeInclusive;

/// `block_id_flag` of a validator whose vote is not in the commit.
const ABSENT: u64 = 1;
/// Of one that signed for the block.
const COMMIT: u64 = 2;
/// Of one that signed for no block.
const NIL: u64 = 3;

/// A validator's address: the first 20 bytes of the SHA-256 of its ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CometAddress([u8; 20]);

impl CometAddress {
    pub(crate) fn of(public_key: &[u8; 32]) -> Self {
        let mut address = [0; 20];
        address.copy_from_slice(&Sha256::digest(public_key)[..20]);
        Self(address)
    }
}

impl std::fmt::Display for CometAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

/// What stands against the absence of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It signed this height.
    Signed { height: u64 },
    /// The node is one of this other chain.
    OtherChain { chain_id: String },
    /// The node failed, or it is no witness.
    Unclear { problem: String },
}

impl From<String> for Presence {
    fn from(problem: String) -> Self {
        Self::Unclear { problem }
    }
}

/// Sees that the newest `blocks` blocks, of which there is one at least, carry no signature of `address`. Returns their
/// heights. Blocks.
pub(crate) fn see_absent(
    url: &str,
    chain_id: &str,
    address: CometAddress,
    blocks: u64,
) -> Result<RangeInclusive<u64>, Presence> {
    let node = CometNode::at(url)?;
    let Head { chain_id: seen, height: newest } = node.head()?;
    if seen != chain_id {
        return Err(Presence::OtherChain { chain_id: seen });
    }
    let short = || format!("its chain has {newest} blocks, fewer than {blocks}");
    let heights = newest.checked_sub(blocks).ok_or_else(short)? + 1..=newest;
    // The newest first: who signs now is found at once.
    for height in heights.clone().rev() {
        let unclear = |problem| format!("height {height}: {problem}");
        let commit = node.commit(height).map_err(unclear)?;
        if signed(&commit, chain_id, height, address).map_err(unclear)? {
            return Err(Presence::Signed { height });
        }
    }
    Ok(heights)
}

/// Whether the commit of `height` carries a signature of `address`, for the block or for nil.
fn signed(body: &Value, chain_id: &str, height: u64, address: CometAddress) -> Result<bool, String> {
    for pointer in ["/result/signed_header/header/height", "/result/signed_header/commit/height"] {
        let answered = height_at(body, pointer)?;
        if answered != height {
            return Err(format!("it answered for height {answered}"));
        }
    }
    let answered = field(body, "/result/signed_header/header/chain_id")?;
    if answered.as_str() != Some(chain_id) {
        return Err(format!("it answered for chain {answered}"));
    }
    let signatures = field(body, "/result/signed_header/commit/signatures")?;
    let (mut committed, mut found) = (false, false);
    for signature in signatures.as_array().ok_or("its signatures are no list")? {
        let flag = field(signature, "/block_id_flag")?;
        match flag.as_u64() {
            Some(ABSENT) => {}
            Some(kind @ (COMMIT | NIL)) => {
                committed |= kind == COMMIT;
                found |= signer(signature)? == address;
            }
            _ => return Err(format!("a signature has the block_id_flag {flag}, which is not known")),
        }
    }
    if committed { Ok(found) } else { Err("nobody signed that commit".to_owned()) }
}

fn signer(signature: &Value) -> Result<CometAddress, String> {
    let text = field(signature, "/validator_address")?;
    let mut address = [0; 20];
    match text.as_str().map(|digits| hex::decode_to_slice(digits, &mut address)) {
        Some(Ok(())) => Ok(CometAddress(address)),
        _ => Err(format!("a signature has the validator_address {text}, which is no address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OURS: CometAddress = CometAddress([0xab; 20]);

    fn commit(signatures: &Value) -> Value {
        json!({"result": {"signed_header": {
            "header": {"chain_id": "c-1", "height": "7"},
            "commit": {"height": "7", "signatures": signatures},
        }}})
    }

    fn signature(flag: u64, address: &str) -> Value {
        json!({"block_id_flag": flag, "validator_address": address})
    }

    fn read(body: &Value) -> Result<bool, String> {
        signed(body, "c-1", 7, OURS)
    }

    #[test]
    fn a_signature_for_the_block_or_for_nil_is_found_and_an_absence_is_none() {
        let other = signature(COMMIT, &"01".repeat(20));
        for ours in ["AB".repeat(20), "ab".repeat(20)] {
            for flag in [COMMIT, NIL] {
                assert_eq!(read(&commit(&json!([other, signature(flag, &ours)]))), Ok(true));
                assert_eq!(read(&commit(&json!([signature(flag, &ours), other]))), Ok(true));
            }
        }
        assert_eq!(read(&commit(&json!([other, signature(ABSENT, "")]))), Ok(false));
    }

    #[test]
    fn what_is_missing_or_unclear_is_no_absence() {
        let other = signature(COMMIT, &"01".repeat(20));
        for (signatures, part) in [
            (json!(null), "no list"),
            (json!([]), "nobody signed"),
            (json!([signature(ABSENT, "")]), "nobody signed"),
            (json!([signature(NIL, &"01".repeat(20))]), "nobody signed"),
            (json!([other, signature(4, "")]), "block_id_flag 4"),
            (json!([other, {"block_id_flag": "2"}]), "block_id_flag"),
            (json!([other, {}]), "no /block_id_flag"),
            (json!([other, signature(COMMIT, "AB")]), "no address"),
            (json!([other, {"block_id_flag": 2}]), "no /validator_address"),
        ] {
            let error = read(&commit(&signatures)).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(read(&json!({"error": "height must be less"})).is_err());
    }

    #[test]
    fn an_answer_for_something_else_is_no_absence() {
        let body = commit(&json!([signature(COMMIT, &"01".repeat(20))]));
        assert_eq!(read(&body), Ok(false));
        for (pointer, value, part) in [
            ("header/height", "6", "height 6"),
            ("commit/height", "8", "height 8"),
            ("header/chain_id", "c-2", "c-2"),
        ] {
            let mut changed = body.clone();
            *changed.pointer_mut(&format!("/result/signed_header/{pointer}")).unwrap() = json!(value);
            let error = read(&changed).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    /// SHA-256 of 32 zero bytes, as others publish it.
    #[test]
    fn an_address_is_the_digest_of_the_key() {
        let digest = "66687AADF862BD776C8FC18B8E9F8E20089714856EE233B3902A591D0D5F2925";
        assert_eq!(CometAddress::of(&[0; 32]).to_string(), digest[..40]);
    }
}
