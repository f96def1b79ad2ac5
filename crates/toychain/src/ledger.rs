//! Everything that was signed, and the search for conflicts in it.
//!
//! Invariant: the search reads the signed bytes themselves, not what somebody says about them, and forgets nothing.

use crate::event::Step;
use interlock_privval::{BlockId, SignedMsgType, decode_canonical_proposal, decode_canonical_vote};
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

/// A valid signature that a signer gave out.
#[derive(Clone, Debug)]
pub struct SignatureRecord {
    /// When the node had it.
    pub at: Instant,
    /// The same moment by the wall clock.
    pub wall_clock: SystemTime,
    /// Which node asked for it.
    pub node: usize,
    /// For which height.
    pub height: i64,
    /// For which step.
    pub step: Step,
    /// What was signed.
    pub sign_bytes: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Two signatures that must not both exist.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The one that came first.
    pub first: SignatureRecord,
    /// The one that conflicts with it.
    pub second: SignatureRecord,
}

/// The chain's account of itself.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heights that ended; the sum of the next two.
    pub heights: u64,
    /// Heights that ended with our precommit.
    pub signed: u64,
    /// Heights that ended without it.
    pub missed: u64,
    /// Valid signatures over votes and proposals, repeats included, vote extensions not.
    pub signatures: u64,
    /// Requests that a signer refused, attempted double signs not included.
    pub refused: u64,
    /// Answers that no node could use.
    pub invalid: u64,
    /// Attempted double signs that were refused.
    pub refused_double_signs: u64,
    /// Conflicting signatures.
    pub conflicts: Vec<Conflict>,
}

/// Where in the protocol a signature belongs: one payload for each, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    height: i64,
    round: i64,
    msg_type: SignedMsgType,
}

/// What must be equal between signatures of one position: for a vote its block (times may differ), for a proposal all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Payload {
    Vote(Option<BlockId>),
    Proposal(Vec<u8>),
}

/// All signatures.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In order of time.
    records: Vec<SignatureRecord>,
    /// The distinct payloads of each position, each with the index of its first record.
    payloads: BTreeMap<Position, Vec<(Payload, usize)>>,
    /// The position of the newest vote.
    last_vote: Option<Position>,
    report: Report,
}

impl Ledger {
    /// Adds a signature and returns whether it conflicts with an earlier one.
    pub(crate) fn record(&mut self, record: SignatureRecord) -> bool {
        let (position, payload) = read_position(&record);
        let index = self.records.len();
        let known = self.payloads.entry(position).or_default();
        let is_new = !known.iter().any(|(earlier, _)| *earlier == payload);
        let conflicts_with = known.first().filter(|_| is_new).map(|(_, first)| *first);
        if is_new {
            known.push((payload, index));
        }
        if let Some(first) = conflicts_with {
            let conflict = Conflict { first: self.records[first].clone(), second: record.clone() };
            self.report.conflicts.push(conflict);
        }
        if position.msg_type != SignedMsgType::Proposal {
            self.last_vote = Some(position);
        }
        self.report.signatures += 1;
        self.records.push(record);
        conflicts_with.is_some()
    }

    pub(crate) fn end_height(&mut self, is_signed: bool) {
        self.report.heights += 1;
        if is_signed {
            self.report.signed += 1;
        } else {
            self.report.missed += 1;
        }
    }

    pub(crate) fn count_refusal(&mut self) {
        self.report.refused += 1;
    }

    pub(crate) fn count_refused_double_sign(&mut self) {
        self.report.refused_double_signs += 1;
    }

    pub(crate) fn count_invalid(&mut self) {
        self.report.invalid += 1;
    }

    pub(crate) fn report(&self) -> Report {
        self.report.clone()
    }

    pub(crate) fn records(&self) -> &[SignatureRecord] {
        &self.records
    }

    /// Type and height of the newest vote.
    pub(crate) fn last_vote(&self) -> Option<(SignedMsgType, i64)> {
        self.last_vote.map(|position| (position.msg_type, position.height))
    }

    /// The newest signature that `node` got.
    pub(crate) fn last_of(&self, node: usize) -> Option<&SignatureRecord> {
        self.records.iter().rev().find(|record| record.node == node)
    }

    /// The first signature after `after` that another node than `node` got.
    pub(crate) fn first_of_others(&self, node: usize, after: Instant) -> Option<&SignatureRecord> {
        let later = self.records.partition_point(|record| record.at <= after);
        self.records[later..].iter().find(|record| record.node != node)
    }
}

fn read_position(record: &SignatureRecord) -> (Position, Payload) {
    // Only verified signatures get here, and they are verified over bytes that we made ourselves.
    const OURS: &str = "sign bytes that this crate built are canonical";
    if record.step == Step::Proposal {
        let proposal = decode_canonical_proposal(&record.sign_bytes).expect(OURS);
        let position =
            Position { height: proposal.height, round: proposal.round, msg_type: SignedMsgType::Proposal };
        return (position, Payload::Proposal(record.sign_bytes.clone()));
    }
    let vote = decode_canonical_vote(&record.sign_bytes).expect(OURS);
    let position = Position { height: vote.height, round: vote.round, msg_type: vote.msg_type };
    (position, Payload::Vote(vote.block_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block;
    use crate::request::Request;
    use interlock_privval::{proposal_sign_bytes, vote_sign_bytes};

    fn record(node: usize, request: &Request) -> SignatureRecord {
        let sign_bytes = match request {
            Request::Proposal(proposal) => proposal_sign_bytes("toy", proposal),
            Request::Vote(vote) => vote_sign_bytes("toy", vote),
        };
        SignatureRecord {
            at: Instant::now(),
            wall_clock: SystemTime::now(),
            node,
            height: request.height(),
            step: request.step(),
            sign_bytes,
            signature: vec![1; 64],
        }
    }

    fn asked(height: i64, step: Step, node: usize) -> SignatureRecord {
        record(node, &block::request(height, step, node, &[]))
    }

    #[test]
    fn votes_that_differ_only_in_time_do_not_conflict() {
        let mut ledger = Ledger::default();
        assert!(!ledger.record(asked(3, Step::Prevote, 0)));
        assert!(!ledger.record(asked(3, Step::Prevote, 1)));
        assert!(!ledger.record(asked(3, Step::Precommit, 1)));
        assert!(!ledger.record(asked(4, Step::Prevote, 0)));
        assert_eq!((ledger.report().signatures, ledger.report().conflicts.len()), (4, 0));
    }

    #[test]
    fn votes_for_two_blocks_conflict_also_much_later() {
        let mut ledger = Ledger::default();
        let rival = |node| record(node, &block::rival_vote(SignedMsgType::Precommit, 3, node, &[]));
        ledger.record(asked(3, Step::Precommit, 0));
        for height in 4..100 {
            ledger.record(asked(height, Step::Precommit, 0));
        }
        assert!(ledger.record(rival(1)));
        let conflict = &ledger.report().conflicts[0];
        assert_eq!((conflict.first.node, conflict.second.node, conflict.first.height), (0, 1, 3));
        // The same bytes once more are a repeat of a conflict, not another one.
        assert!(!ledger.record(rival(1)));
        assert_eq!(ledger.report().conflicts.len(), 1);
    }

    #[test]
    fn a_vote_for_no_block_conflicts_with_one_for_a_block() {
        let mut ledger = Ledger::default();
        ledger.record(asked(3, Step::Prevote, 0));
        let Request::Vote(mut vote) = block::request(3, Step::Prevote, 0, &[]) else { panic!("a vote") };
        vote.block_id = BlockId::default();
        assert!(ledger.record(record(0, &Request::Vote(vote))));
    }

    #[test]
    fn proposals_that_differ_only_in_time_do_conflict() {
        let mut ledger = Ledger::default();
        let first = asked(4, Step::Proposal, 0);
        assert!(!ledger.record(first.clone()));
        assert!(!ledger.record(SignatureRecord { node: 1, ..first }));
        assert!(ledger.record(asked(4, Step::Proposal, 1)));
    }

    #[test]
    fn another_round_is_another_position() {
        let mut ledger = Ledger::default();
        ledger.record(asked(3, Step::Prevote, 0));
        let Request::Vote(mut vote) = block::rival_vote(SignedMsgType::Prevote, 3, 0, &[]) else {
            panic!("a vote")
        };
        vote.round = 1;
        assert!(!ledger.record(record(0, &Request::Vote(vote))));
    }

    #[test]
    fn signatures_of_other_nodes_are_found_by_time() {
        let mut ledger = Ledger::default();
        ledger.record(asked(3, Step::Prevote, 0));
        ledger.record(asked(3, Step::Prevote, 1));
        let after = Instant::now();
        assert!(ledger.first_of_others(0, after).is_none());
        ledger.record(SignatureRecord {
            at: after + std::time::Duration::from_millis(5),
            ..asked(4, Step::Prevote, 0)
        });
        ledger.record(SignatureRecord {
            at: after + std::time::Duration::from_millis(9),
            ..asked(4, Step::Prevote, 1)
        });
        assert_eq!(ledger.first_of_others(0, after).unwrap().node, 1);
        assert_eq!(ledger.last_of(0).unwrap().height, 4);
        assert!(ledger.last_of(7).is_none());
    }
}
