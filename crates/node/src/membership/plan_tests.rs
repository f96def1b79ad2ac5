//! Every state that a change can be left in, and the step that comes next.

use super::*;

fn node(id: u64) -> GuardNode {
    GuardNode { peer_address: format!("n{id}:7400"), client_address: format!("n{id}:7401"), ids_used_to: 0 }
}

fn members(configs: &[&[u64]], learners: &[u64], used: u64) -> Membership {
    let ids = configs.iter().flat_map(|ids| ids.iter()).chain(learners);
    let nodes: BTreeMap<u64, GuardNode> =
        ids.map(|id| (*id, GuardNode { ids_used_to: used, ..node(*id) })).collect();
    Membership::new(configs.iter().map(|ids| ids.iter().copied().collect()).collect(), nodes).unwrap()
}

fn view(membership: Membership, heard: &[u64]) -> View {
    View { membership, behind: BTreeMap::new(), heard: heard.iter().copied().collect() }
}

fn voters(join: Option<u64>, leave: Option<u64>) -> Goal {
    Goal::Voters { join: join.map(|id| (id, node(id))), leave }
}

/// Where a step leads, as openraft would have it.
fn after(membership: &Membership, step: &Step) -> Membership {
    match step {
        Step::Stay(_) => membership.clone(),
        Step::Voters(next, _) => next.clone(),
        Step::Nodes(changes, _) => {
            let mut nodes: BTreeMap<u64, GuardNode> =
                membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
            change_nodes(&mut nodes, changes);
            Membership::new(membership.get_joint_config().clone(), nodes).unwrap()
        }
    }
}

fn change_nodes(nodes: &mut BTreeMap<u64, GuardNode>, changes: &ChangeMembers<u64, GuardNode>) {
    match changes.clone() {
        ChangeMembers::SetNodes(set) => nodes.extend(set),
        ChangeMembers::AddNodes(add) => {
            for (id, node) in add {
                nodes.entry(id).or_insert(node);
            }
        }
        ChangeMembers::RemoveNodes(remove) => remove.iter().for_each(|id| drop(nodes.remove(id))),
        ChangeMembers::Batch(batch) => batch.iter().for_each(|changes| change_nodes(nodes, changes)),
        other => panic!("not a change of records: {other}"),
    }
}

/// All stages to the goal, each decided anew from what the step before left: as after a crash at each.
fn stages(mut membership: Membership, goal: &Goal) -> (Vec<Stage>, Membership) {
    let mut stages = Vec::new();
    loop {
        let everybody: BTreeSet<u64> = membership.nodes().map(|(id, _)| *id).collect();
        let behind = everybody.iter().map(|id| (*id, 0)).collect();
        let seen = View { membership: membership.clone(), behind, heard: everybody };
        let step = next_step(&seen, goal).unwrap();
        membership = after(&membership, &step);
        stages.push(match step {
            Step::Stay(stage) => {
                assert_eq!(stage, Stage::Done);
                return (stages, membership);
            }
            Step::Nodes(_, stage) | Step::Voters(_, stage) => stage,
        });
        assert!(stages.len() < 10, "{stages:?}");
    }
}

#[test]
fn a_node_is_added_as_a_learner_first() {
    let (taken, end) = stages(members(&[&[1, 2, 3]], &[], 3), &voters(Some(4), None));
    assert_eq!(taken, [Stage::Learner, Stage::Joint, Stage::NewVoters]);
    assert_eq!(end.voter_ids().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(end.nodes().all(|(_, node)| node.ids_used_to == 4));
}

#[test]
fn a_node_is_replaced_in_one_change() {
    let (taken, end) = stages(members(&[&[1, 2, 3]], &[], 3), &voters(Some(4), Some(3)));
    assert_eq!(taken, [Stage::Learner, Stage::Joint, Stage::NewVoters]);
    assert_eq!(end.nodes().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn an_id_stays_used_when_its_node_is_gone() {
    // Records of before ids were counted: they are brought up to date before the last trace of an id goes.
    let (taken, end) = stages(members(&[&[1, 2, 3]], &[], 0), &voters(None, Some(3)));
    assert_eq!(taken, [Stage::Prepared, Stage::Joint, Stage::NewVoters]);
    assert_eq!(highest_id(&end), 3);
    for goal in [voters(Some(3), None), voters(Some(2), None)] {
        let seen = view(end.clone(), &[1, 2]);
        match next_step(&seen, &goal) {
            Err(Refused::IdUsed { id: 3, highest: 3 }) | Ok(Step::Stay(Stage::Done)) => {}
            other => panic!("{goal:?}: {other:?}"),
        }
    }
    let (_, end) = stages(members(&[&[1, 2]], &[7], 0), &voters(None, Some(7)));
    assert_eq!(
        next_step(&view(end, &[1, 2]), &voters(Some(7), None)).unwrap_err(),
        Refused::IdUsed { id: 7, highest: 7 }
    );
}

#[test]
fn a_node_that_is_gone_already_is_no_error_and_one_that_never_was_is() {
    let seen = view(members(&[&[1, 2]], &[], 3), &[1, 2]);
    assert_eq!(next_step(&seen, &voters(None, Some(3))), Ok(Step::Stay(Stage::Done)));
    let unknown = next_step(&seen, &voters(None, Some(9))).unwrap_err();
    assert_eq!(unknown, Refused::UnknownMember { id: 9, members: vec![1, 2] });
}

#[test]
fn a_learner_that_is_behind_or_silent_does_not_vote_yet() {
    let mut seen = view(members(&[&[1, 2, 3]], &[4], 4), &[1, 2, 3, 4]);
    for (behind, heard) in [(BEHIND_ENTRIES_MAX + 1, true), (0, false), (u64::MAX, true)] {
        seen.behind = BTreeMap::from([(4, behind)]);
        seen.heard = BTreeSet::from([1, 2, 3]);
        if heard {
            seen.heard.insert(4);
        }
        let step = next_step(&seen, &voters(Some(4), None));
        assert_eq!(step, Ok(Step::Stay(Stage::CatchingUp { behind })));
    }
    seen.behind = BTreeMap::from([(4, BEHIND_ENTRIES_MAX)]);
    seen.heard.insert(4);
    assert!(matches!(next_step(&seen, &voters(Some(4), None)), Ok(Step::Voters(_, Stage::Joint))));
}

/// The second node of a restored cluster was refused while it caught up: of the two it would make, one was heard.
#[test]
fn a_lone_voter_waits_for_its_second_to_follow() {
    let mut seen = view(members(&[&[1]], &[2], 2), &[1]);
    seen.behind = BTreeMap::from([(2, 0)]);
    let step = next_step(&seen, &voters(Some(2), None));
    assert_eq!(step, Ok(Step::Stay(Stage::CatchingUp { behind: 0 })));
    seen.heard.insert(2);
    assert!(matches!(next_step(&seen, &voters(Some(2), None)), Ok(Step::Voters(_, Stage::Joint))));
}

#[test]
fn no_change_leaves_fewer_heard_voters_than_a_majority() {
    let three = || members(&[&[1, 2, 3]], &[], 3);
    let at_risk = |heard: &[u64], goal| {
        matches!(next_step(&view(three(), heard), &goal), Err(Refused::QuorumAtRisk { .. }))
    };
    assert!(at_risk(&[1, 2], voters(None, Some(2))), "1 of 1 and 3");
    assert!(!at_risk(&[1, 2], voters(None, Some(3))), "the dead one");
    assert!(!at_risk(&[1, 2], voters(Some(4), Some(3))), "the dead one, by a new one");
    assert!(!at_risk(&[1, 2], voters(Some(4), Some(2))), "1 and 4 of 1, 3 and 4");
    let alone = next_step(&view(members(&[&[1]], &[], 1), &[1]), &voters(None, Some(1)));
    assert_eq!(alone, Err(Refused::LastVoter { id: 1 }));
}

#[test]
fn a_change_under_way_is_finished_before_another_begins() {
    let joint = view(members(&[&[1, 2, 3], &[1, 2, 4]], &[], 4), &[1, 2, 4]);
    let other = next_step(&joint, &voters(Some(5), None)).unwrap_err();
    assert_eq!(other, Refused::ChangeInProgress { from: vec![1, 2, 3], to: vec![1, 2, 4] });
    let moved = Goal::Address { id: 1, node: node(8) };
    assert!(matches!(next_step(&joint, &moved), Err(Refused::ChangeInProgress { .. })));
    let Ok(Step::Voters(end, Stage::NewVoters)) = next_step(&joint, &voters(Some(4), Some(3))) else {
        panic!("the same change again finishes it")
    };
    assert_eq!(end.nodes().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(end_of_joint(&end), None);
}

#[test]
fn addresses_belong_to_one_member() {
    let seen = view(members(&[&[1, 2, 3]], &[], 3), &[1, 2, 3]);
    let at = |id, like| Goal::Voters { join: Some((id, node(like))), leave: None };
    assert!(matches!(next_step(&seen, &at(4, 2)), Err(Refused::AddressTaken { id: 2, .. })));
    assert!(matches!(next_step(&seen, &at(3, 9)), Err(Refused::OtherAddress { id: 3, .. })));
    let in_place = Goal::Voters { join: Some((4, node(2))), leave: Some(2) };
    assert!(matches!(next_step(&seen, &in_place), Ok(Step::Nodes(_, Stage::Learner))));
    let moved = Goal::Address { id: 2, node: node(9) };
    let (taken, end) = stages(members(&[&[1, 2, 3]], &[], 3), &moved);
    assert_eq!(taken, [Stage::NewVoters]);
    assert_eq!(end.get_node(&2).unwrap().peer_address, "n9:7400");
    assert!(matches!(
        next_step(&seen, &Goal::Address { id: 2, node: node(3) }),
        Err(Refused::AddressTaken { id: 3, .. })
    ));
}
