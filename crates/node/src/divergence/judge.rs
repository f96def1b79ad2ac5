//! The judgement over one comparison: pure, so that every case is a line in a table.

use interlock_core::AuditChain;
use std::collections::{BTreeMap, BTreeSet};

/// What a comparison says about this node, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judgement {
    /// Nobody who answered has another value.
    Agreed,
    /// Somebody has another value: a minority of the voters, or a learner.
    OthersDiffer,
    /// Values differ, and the silent voters could still decide.
    Undecided,
    /// Values differ, all voters have spoken, and no value has a majority.
    NoMajority,
    /// A majority of the voters has one other value.
    Contradicted,
}

/// What one node has, and what others say they have, at one log index.
pub(super) struct Values<'a> {
    pub(super) own_id: u64,
    pub(super) own: AuditChain,
    pub(super) reports: &'a BTreeMap<u64, AuditChain>,
    /// The sets of voters that each need a majority; there are two during a change of membership.
    pub(super) configs: &'a [BTreeSet<u64>],
}

impl Values<'_> {
    fn of(&self, id: &u64) -> Option<AuditChain> {
        if *id == self.own_id { Some(self.own) } else { self.reports.get(id).copied() }
    }

    fn has_majority(&self, value: AuditChain) -> bool {
        let in_config = |config: &BTreeSet<u64>| {
            let agreeing = config.iter().filter(|id| self.of(id) == Some(value)).count();
            agreeing > config.len() / 2
        };
        !self.configs.is_empty() && self.configs.iter().all(in_config)
    }

    /// Whether a majority of the voters has what this node has.
    pub(super) fn confirmed(&self) -> bool {
        self.has_majority(self.own)
    }

    pub(super) fn judge(&self) -> Judgement {
        let differs = |value: AuditChain| value != self.own;
        if !self.reports.values().any(|value| differs(*value)) {
            return Judgement::Agreed;
        }
        let voters_differ = self.configs.iter().flatten().any(|id| self.of(id).is_some_and(differs));
        // Those who only learn decide nothing.
        if self.confirmed() || !voters_differ {
            return Judgement::OthersDiffer;
        }
        if self.reports.values().any(|value| self.has_majority(*value)) {
            return Judgement::Contradicted;
        }
        let all_spoke = self.configs.iter().flatten().all(|id| self.of(id).is_some());
        if all_spoke { Judgement::NoMajority } else { Judgement::Undecided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::{
        Action, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, LogPosition, SignerId, State,
    };

    /// Some chain values that differ.
    fn values() -> Vec<AuditChain> {
        let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
        let mut state = State::genesis(ClusterId([1; 16]));
        let mut apply = |log_index| {
            let action = Action::Release { holder: holder.clone(), epoch: Epoch(1), give_back: None };
            let command = Command { cluster: ClusterId([1; 16]), key: KeyId([3; 32]), action };
            state.apply(LogPosition { log_index, item: 0 }, &command);
            state.audit_chain()
        };
        (1..4).map(&mut apply).collect()
    }

    /// `others`: what each other node says, as the number of a value; this is node 1 with value 0.
    fn case(configs: &[&[u64]], others: &[(u64, usize)]) -> Judgement {
        let values = values();
        let configs: Vec<BTreeSet<u64>> =
            configs.iter().map(|config| config.iter().copied().collect()).collect();
        let reports = others.iter().map(|(id, value)| (*id, values[*value])).collect();
        Values { own_id: 1, own: values[0], reports: &reports, configs: &configs }.judge()
    }

    fn confirmed(configs: &[&[u64]], others: &[(u64, usize)]) -> bool {
        let values = values();
        let configs: Vec<BTreeSet<u64>> =
            configs.iter().map(|config| config.iter().copied().collect()).collect();
        let reports = others.iter().map(|(id, value)| (*id, values[*value])).collect();
        Values { own_id: 1, own: values[0], reports: &reports, configs: &configs }.confirmed()
    }

    #[test]
    fn only_a_majority_of_the_voters_confirms() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert!(!confirmed(three, &[]) && !confirmed(three, &[(9, 0)]) && !confirmed(three, &[(2, 1)]));
        assert!(confirmed(three, &[(2, 0)]) && confirmed(three, &[(2, 0), (3, 1)]));
        assert!(confirmed(&[&[1]], &[]) && !confirmed(&[], &[(2, 0)]));
        let joint: &[&[u64]] = &[&[1, 2, 3], &[3, 4, 5]];
        assert!(!confirmed(joint, &[(2, 0), (3, 0)]) && confirmed(joint, &[(2, 0), (3, 0), (4, 0)]));
    }

    #[test]
    fn silence_and_agreement_accuse_nobody() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert_eq!(case(three, &[]), Judgement::Agreed);
        assert_eq!(case(three, &[(9, 0)]), Judgement::Agreed, "a learner confirms nothing");
        assert_eq!(case(three, &[(2, 0)]), Judgement::Agreed);
        assert_eq!(case(three, &[(2, 0), (3, 0)]), Judgement::Agreed);
        assert_eq!(case(&[&[1]], &[]), Judgement::Agreed);
    }

    #[test]
    fn the_minority_is_named() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert_eq!(case(three, &[(2, 0), (3, 1)]), Judgement::OthersDiffer);
        assert_eq!(case(three, &[(2, 1), (3, 1)]), Judgement::Contradicted);
        let five: &[&[u64]] = &[&[1, 2, 3, 4, 5]];
        assert_eq!(case(five, &[(2, 0), (3, 0), (4, 1)]), Judgement::OthersDiffer);
        assert_eq!(case(five, &[(2, 1), (3, 1), (4, 1)]), Judgement::Contradicted);
    }

    #[test]
    fn without_a_majority_everybody_is_in_doubt() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert_eq!(case(three, &[(2, 1)]), Judgement::Undecided, "node 3 may still decide");
        assert_eq!(case(three, &[(2, 1), (3, 2)]), Judgement::NoMajority);
        assert_eq!(case(&[&[1, 2]], &[(2, 1)]), Judgement::NoMajority);
        let four: &[&[u64]] = &[&[1, 2, 3, 4]];
        assert_eq!(case(four, &[(2, 0), (3, 1), (4, 1)]), Judgement::NoMajority, "half is no majority");
    }

    #[test]
    fn a_learner_is_judged_and_does_not_judge() {
        // This node is a learner: the voters contradict it.
        assert_eq!(case(&[&[2, 3, 4]], &[(2, 1), (3, 1)]), Judgement::Contradicted);
        // A learner differs: that is an alarm about the learner.
        assert_eq!(case(&[&[1, 2, 3]], &[(2, 0), (9, 1)]), Judgement::OthersDiffer);
        assert_eq!(case(&[&[1, 2, 3]], &[(8, 1), (9, 1)]), Judgement::OthersDiffer);
        assert_eq!(case(&[&[2, 3, 4]], &[(2, 1)]), Judgement::Undecided);
    }

    #[test]
    fn a_change_of_membership_needs_both_majorities() {
        let joint: &[&[u64]] = &[&[1, 2, 3], &[3, 4, 5]];
        assert_eq!(case(joint, &[(2, 1), (3, 1)]), Judgement::Undecided);
        assert_eq!(case(joint, &[(2, 1), (3, 1), (4, 1)]), Judgement::Contradicted);
        assert_eq!(case(joint, &[(2, 1), (3, 1), (4, 0), (5, 0)]), Judgement::NoMajority);
        assert_eq!(case(&[], &[(2, 1)]), Judgement::OthersDiffer, "nobody votes, so nobody decides");
        assert_eq!(case(&[], &[(2, 0)]), Judgement::Agreed);
    }
}
