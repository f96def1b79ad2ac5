//! The blocks of the toy chain, and what a node asks to be signed about them. Pure functions of height, node and time.

use crate::event::Step;
use crate::request::Request;
use interlock_privval::{BlockId, PartSetHeader, Proposal, SignedMsgType, Timestamp, Vote};
use std::time::{SystemTime, UNIX_EPOCH};

/// Our validator is one of four and proposes in its turn.
const VALIDATORS: i64 = 4;

/// Our place among the four. Not signed.
const VALIDATOR_INDEX: i32 = 3;

/// The clocks of two nodes never agree; each next one is this much further ahead.
const CLOCK_SKEW_MS_PER_NODE: u64 = 7;

/// First byte of the hash of the block that everybody votes for.
const AGREED: u8 = 0xa1;

/// First byte of the hash of a block that nobody should vote for.
const RIVAL: u8 = 0xbb;

/// The steps that our validator signs at a height, in order.
pub(crate) fn steps_at(height: i64) -> &'static [Step] {
    if height % VALIDATORS == 0 {
        &[Step::Proposal, Step::Prevote, Step::Precommit]
    } else {
        &[Step::Prevote, Step::Precommit]
    }
}

/// What a node asks at a step: the block that all nodes agree on, with this node's time.
pub(crate) fn request(height: i64, step: Step, node: usize, address: &[u8]) -> Request {
    let timestamp = Some(clock_of(node));
    let block_id = block_id(AGREED, height);
    match step {
        Step::Proposal => Request::Proposal(Proposal {
            msg_type: SignedMsgType::Proposal.into(),
            height,
            round: 0,
            pol_round: -1,
            block_id,
            timestamp,
            signature: Vec::new(),
        }),
        Step::Prevote => Request::Vote(vote(SignedMsgType::Prevote, height, block_id, timestamp, address)),
        Step::Precommit => {
            let mut precommit = vote(SignedMsgType::Precommit, height, block_id, timestamp, address);
            precommit.extension = extension(height);
            Request::Vote(precommit)
        }
    }
}

/// A vote of the same position for another block: signing it is a double sign.
pub(crate) fn rival_vote(msg_type: SignedMsgType, height: i64, node: usize, address: &[u8]) -> Request {
    Request::Vote(vote(msg_type, height, block_id(RIVAL, height), Some(clock_of(node)), address))
}

fn vote(
    msg_type: SignedMsgType,
    height: i64,
    block_id: BlockId,
    timestamp: Option<Timestamp>,
    address: &[u8],
) -> Vote {
    Vote {
        msg_type: msg_type.into(),
        height,
        round: 0,
        block_id,
        timestamp,
        validator_address: address.to_vec(),
        validator_index: VALIDATOR_INDEX,
        ..Vote::default()
    }
}

/// Empty on odd heights: both kinds must be signed.
fn extension(height: i64) -> Vec<u8> {
    if height % 2 == 0 { format!("price at height {height}").into_bytes() } else { Vec::new() }
}

/// A name for the block, not a digest: nobody looks inside the blocks of this chain.
fn block_id(flavour: u8, height: i64) -> BlockId {
    let mut hash = vec![flavour; 24];
    hash.extend(height.to_be_bytes());
    let mut parts_hash = hash.clone();
    parts_hash[0] = !flavour;
    BlockId { hash, part_set_header: PartSetHeader { total: 1, hash: parts_hash } }
}

fn clock_of(node: usize) -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let skew = std::time::Duration::from_millis(CLOCK_SKEW_MS_PER_NODE.saturating_mul(node as u64));
    let now = since_epoch + skew;
    Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(now.subsec_nanos()).expect("below 10^9"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_height_in_four_is_ours_to_propose() {
        let ours: Vec<i64> = (1..=12).filter(|height| steps_at(*height)[0] == Step::Proposal).collect();
        assert_eq!(ours, [4, 8, 12]);
        assert!((1..=12).all(|height| steps_at(height).ends_with(&[Step::Prevote, Step::Precommit])));
    }

    #[test]
    fn nodes_agree_on_the_block_and_not_on_the_time() {
        let (Request::Vote(first), Request::Vote(second)) =
            (request(6, Step::Precommit, 0, &[1; 20]), request(6, Step::Precommit, 1, &[1; 20]))
        else {
            panic!("votes");
        };
        assert_eq!(first.block_id, second.block_id);
        assert_ne!(first.timestamp, second.timestamp);
        assert!(!first.extension.is_empty());
        assert!(first.needs_extension_signature());
    }

    #[test]
    fn a_rival_vote_differs_in_the_block() {
        let (Request::Vote(agreed), Request::Vote(rival)) =
            (request(7, Step::Prevote, 0, &[]), rival_vote(SignedMsgType::Prevote, 7, 0, &[]))
        else {
            panic!("votes");
        };
        assert_ne!(agreed.block_id, rival.block_id);
        assert_eq!(
            (agreed.msg_type, agreed.height, agreed.round),
            (rival.msg_type, rival.height, rival.round)
        );
    }
}
