//! S1 over a whole history: what each chain punishes, pair by pair, and not what any watermark says.

use interlock_core::cometbft::Timestamp;
use interlock_core::{Digest, Position};

/// A message that may have been signed: where, what, and the timestamp inside it.
pub(crate) type Signed = (Position, Digest, Option<Timestamp>);

/// Whether signing both is punished, or makes two signatures of what should be one.
fn conflict(one: &Signed, two: &Signed) -> bool {
    let differ = (one.1, one.2) != (two.1, two.2);
    match (one.0, two.0) {
        (
            Position::EthereumAttestation { source_epoch: s1, target_epoch: t1 },
            Position::EthereumAttestation { source_epoch: s2, target_epoch: t2 },
        ) => {
            let double = t1 == t2 && (differ || s1 != s2);
            let surround = (s1 < s2 && t2 < t1) || (s2 < s1 && t1 < t2);
            double || surround
        }
        (one, two) => one == two && differ,
    }
}

/// Adds a message to a key's history.
///
/// # Panics
/// When it conflicts with an earlier one (S1).
pub(crate) fn sign(history: &mut Vec<Signed>, message: Signed) {
    for earlier in history.iter() {
        assert!(!conflict(earlier, &message), "S1: {earlier:?} and {message:?} were both approved");
    }
    if !history.contains(&message) {
        history.push(message);
    }
}

#[test]
fn the_definition_of_a_conflict_knows_each_offence() {
    let attestation = |source_epoch, target_epoch, root| {
        (Position::EthereumAttestation { source_epoch, target_epoch }, Digest([root; 32]), None)
    };
    let block = |slot, root| (Position::EthereumBlock { slot }, Digest([root; 32]), None);
    assert!(conflict(&attestation(1, 5, 1), &attestation(2, 4, 1)), "surrounding");
    assert!(conflict(&attestation(2, 4, 1), &attestation(1, 5, 1)), "surrounded");
    assert!(conflict(&attestation(1, 5, 1), &attestation(2, 5, 1)), "double vote");
    assert!(conflict(&block(1, 1), &block(1, 2)), "double proposal");
    assert!(!conflict(&attestation(1, 5, 1), &attestation(1, 6, 2)));
    assert!(!conflict(&attestation(1, 5, 1), &attestation(1, 5, 1)));
    assert!(!conflict(&block(1, 1), &block(2, 1)));
}
