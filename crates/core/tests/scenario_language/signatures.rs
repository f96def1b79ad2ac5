//! S1, seen from outside: everything that was ever approved, by a cluster, by its successor, or in a signer's memory.
//!
//! Knows nothing of the rules. Nothing is ever removed from the list, so that a scenario in which a record falls back
//! is caught by the first signature that contradicts what was approved before.

use interlock_core::{Approved, Digest, KeyId, Position};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Signatures {
    by_key: BTreeMap<KeyId, Vec<(Position, Digest)>>,
}

impl Signatures {
    pub(crate) fn add(&mut self, approved: &Approved) {
        let new = (approved.position, approved.payload);
        let all = self.by_key.entry(approved.key).or_default();
        for old in all.iter() {
            assert!(!conflict(*old, new), "S1: {new:?} is a double sign, {old:?} was approved");
        }
        all.push(new);
    }
}

fn conflict((old, old_payload): (Position, Digest), (new, new_payload): (Position, Digest)) -> bool {
    if let (
        Position::EthereumAttestation { source_epoch: source_1, target_epoch: target_1 },
        Position::EthereumAttestation { source_epoch: source_2, target_epoch: target_2 },
    ) = (old, new)
    {
        let double = target_1 == target_2 && old_payload != new_payload;
        let surrounds = source_1 < source_2 && target_2 < target_1;
        let surrounded = source_2 < source_1 && target_1 < target_2;
        return double || surrounds || surrounded;
    }
    old == new && old_payload != new_payload
}
