//! The next step towards a goal. Pure: the same membership and the same goal give the same step.

use interlock_store::{GuardNode, Membership};
use openraft::ChangeMembers;
use std::collections::{BTreeMap, BTreeSet};

/// A new node that lacks more entries than this does not vote yet: a majority that needs it would wait for it.
const BEHIND_ENTRIES_MAX: u64 = 200;

/// What the operator wants to be so in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goal {
    /// `join` votes, and `leave` is no member.
    Voters { join: Option<(u64, GuardNode)>, leave: Option<u64> },
    /// This member is reached there.
    Address { id: u64, node: GuardNode },
}

/// What the leader sees.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The committed members.
    pub(crate) membership: Membership,
    /// Entries that each other member lacks.
    pub(crate) behind: BTreeMap<u64, u64>,
    /// Members that are heard, the leader itself among them.
    pub(crate) heard: BTreeSet<u64>,
}

/// Where the membership stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Prepared,
    Learner,
    CatchingUp { behind: u64 },
    Joint,
    NewVoters,
    Done,
}

/// What to commit next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Stay(Stage),
    /// Records of members, or who follows without a vote.
    Nodes(ChangeMembers<u64, GuardNode>, Stage),
    /// Who votes.
    Voters(Membership, Stage),
}

/// Why no step is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "id {id} cannot be given to a new node: ids up to {highest} were used in this cluster, and none is used twice. \
         Format the new node under an id above {highest}"
    )]
    IdUsed { id: u64, highest: u64 },
    #[error("there is no node {id} and never was; the members are {members:?}")]
    UnknownMember { id: u64, members: Vec<u64> },
    #[error(
        "of the voters {wanted:?} that would be left, only {heard:?} are heard: that is no majority, and nothing could \
         be approved. Bring the others back, or replace them one after the other"
    )]
    QuorumAtRisk { wanted: Vec<u64>, heard: Vec<u64> },
    #[error("node {id} is the only voter: add another before it is removed")]
    LastVoter { id: u64 },
    #[error(
        "a change from the voters {from:?} to {to:?} is under way: ask for that one again until it is done, then for \
         this one"
    )]
    ChangeInProgress { from: Vec<u64>, to: Vec<u64> },
    #[error("node {id} is a member at {known}, not at {asked}: use `cluster set-address` to move it")]
    OtherAddress { id: u64, known: String, asked: String },
    #[error("{address} is the address of node {id} already")]
    AddressTaken { id: u64, address: String },
}

/// Highest id that was ever a member's.
pub(crate) fn highest_id(membership: &Membership) -> u64 {
    membership.nodes().map(|(id, node)| node.ids_used_to.max(*id)).max().unwrap_or(0)
}

/// The next step towards the goal.
pub(crate) fn next_step(view: &View, goal: &Goal) -> Result<Step, Refused> {
    match goal {
        Goal::Voters { join, leave } => voters_step(view, join.as_ref(), *leave),
        Goal::Address { id, node } => address_step(&view.membership, *id, node),
    }
}

/// The step that ends a change which somebody left half done.
pub(crate) fn end_of_joint(membership: &Membership) -> Option<Membership> {
    let configs = membership.get_joint_config();
    let [old, .., new] = configs.as_slice() else { return None };
    let stays = |id: &u64| new.contains(id) || !old.contains(id);
    let nodes = membership.nodes().filter(|(id, _)| stays(id));
    let nodes: BTreeMap<u64, GuardNode> = nodes.map(|(id, node)| (*id, node.clone())).collect();
    // It cannot fail: the new voters are not empty, and their records are those of the joint membership.
    Membership::new(vec![new.clone()], nodes).ok()
}

fn voters_step(view: &View, join: Option<&(u64, GuardNode)>, leave: Option<u64>) -> Result<Step, Refused> {
    let membership = &view.membership;
    let configs = membership.get_joint_config();
    let voters = configs.last().cloned().unwrap_or_default();
    let joins = join.iter().map(|(id, _)| *id);
    let wanted: BTreeSet<u64> = voters.iter().copied().filter(|id| leave != Some(*id)).chain(joins).collect();
    check_ids(membership, join, leave)?;
    if let Some(uniform) = end_of_joint(membership) {
        if wanted != voters {
            let (from, to) = (ids(&configs[0]), ids(&voters));
            return Err(Refused::ChangeInProgress { from, to });
        }
        return Ok(Step::Voters(uniform, Stage::NewVoters));
    }
    if wanted != voters {
        check_quorum(view, &wanted, join.map(|(id, _)| *id), leave)?;
    }
    if let Some(step) = join.and_then(|(id, node)| learner_step(view, *id, node)) {
        return Ok(step);
    }
    if wanted != voters {
        if let Some(step) = count_ids(membership, highest_id(membership)) {
            return Ok(step);
        }
        let nodes: BTreeMap<u64, GuardNode> =
            membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let (from, to) = (ids(&voters), ids(&wanted));
        let joint = Membership::new(vec![voters, wanted], nodes);
        return joint
            .map(|joint| Step::Voters(joint, Stage::Joint))
            .map_err(|_| Refused::ChangeInProgress { from, to });
    }
    match leave.filter(|id| membership.get_node(id).is_some()) {
        Some(learner) => {
            // Its id must stay used when its record is gone.
            let counted = count_ids(membership, highest_id(membership));
            let remove = ChangeMembers::RemoveNodes(BTreeSet::from([learner]));
            Ok(counted.unwrap_or(Step::Nodes(remove, Stage::NewVoters)))
        }
        None => Ok(Step::Stay(Stage::Done)),
    }
}

fn check_ids(
    membership: &Membership,
    join: Option<&(u64, GuardNode)>,
    leave: Option<u64>,
) -> Result<(), Refused> {
    let highest = highest_id(membership);
    if let Some((id, node)) = join {
        match membership.get_node(id) {
            Some(known) => same_address(*id, known, node)?,
            None if *id <= highest => return Err(Refused::IdUsed { id: *id, highest }),
            None => address_free(membership, *id, node, leave)?,
        }
    }
    match leave {
        Some(id) if id > highest => {
            let members = membership.nodes().map(|(id, _)| *id).collect();
            Err(Refused::UnknownMember { id, members })
        }
        _ => Ok(()),
    }
}

fn same_address(id: u64, known: &GuardNode, asked: &GuardNode) -> Result<(), Refused> {
    let same = known.peer_address == asked.peer_address && known.client_address == asked.client_address;
    if same {
        return Ok(());
    }
    Err(Refused::OtherAddress { id, known: known.to_string(), asked: asked.to_string() })
}

/// `leaving` gives its addresses up: a new node may take the place of a dead one.
fn address_free(
    membership: &Membership,
    id: u64,
    node: &GuardNode,
    leaving: Option<u64>,
) -> Result<(), Refused> {
    for (other, taken) in membership.nodes().filter(|(other, _)| **other != id && Some(**other) != leaving) {
        for address in [&node.peer_address, &node.client_address] {
            if [&taken.peer_address, &taken.client_address].contains(&address) {
                return Err(Refused::AddressTaken { id: *other, address: address.clone() });
            }
        }
    }
    Ok(())
}

/// A node that joins counts as heard here until it votes: before that, [`learner_step`] waits until it follows.
fn check_quorum(
    view: &View,
    wanted: &BTreeSet<u64>,
    join: Option<u64>,
    leave: Option<u64>,
) -> Result<(), Refused> {
    if let (Some(id), true) = (leave, wanted.is_empty()) {
        return Err(Refused::LastVoter { id });
    }
    let votes = |id: &u64| view.membership.voter_ids().any(|voter| voter == *id);
    let will_be_heard = |id: &u64| view.heard.contains(id) || (join == Some(*id) && !votes(id));
    let heard: Vec<u64> = wanted.iter().copied().filter(will_be_heard).collect();
    if heard.len() > wanted.len() / 2 {
        return Ok(());
    }
    Err(Refused::QuorumAtRisk { wanted: ids(wanted), heard })
}

/// What is needed before this node can vote, if anything.
fn learner_step(view: &View, id: u64, node: &GuardNode) -> Option<Step> {
    let membership = &view.membership;
    if membership.get_node(&id).is_none() {
        let used = id.max(highest_id(membership));
        let node = GuardNode { ids_used_to: used, ..node.clone() };
        let changes = vec![
            ChangeMembers::SetNodes(counted(membership, used)),
            ChangeMembers::AddNodes(BTreeMap::from([(id, node)])),
        ];
        return Some(Step::Nodes(ChangeMembers::Batch(changes), Stage::Learner));
    }
    if membership.voter_ids().any(|voter| voter == id) {
        return None;
    }
    let behind = view.behind.get(&id).copied().unwrap_or(u64::MAX);
    let follows = view.heard.contains(&id) && behind <= BEHIND_ENTRIES_MAX;
    (!follows).then_some(Step::Stay(Stage::CatchingUp { behind }))
}

/// The records that do not say yet how far ids were used.
fn counted(membership: &Membership, used: u64) -> BTreeMap<u64, GuardNode> {
    let stale = membership.nodes().filter(|(_, node)| node.ids_used_to < used);
    stale.map(|(id, node)| (*id, GuardNode { ids_used_to: used, ..node.clone() })).collect()
}

fn count_ids(membership: &Membership, used: u64) -> Option<Step> {
    let nodes = counted(membership, used);
    (!nodes.is_empty()).then_some(Step::Nodes(ChangeMembers::SetNodes(nodes), Stage::Prepared))
}

fn address_step(membership: &Membership, id: u64, node: &GuardNode) -> Result<Step, Refused> {
    let Some(known) = membership.get_node(&id) else {
        let members = membership.nodes().map(|(id, _)| *id).collect();
        return Err(Refused::UnknownMember { id, members });
    };
    let node = GuardNode { ids_used_to: known.ids_used_to, ..node.clone() };
    if node == *known {
        return Ok(Step::Stay(Stage::Done));
    }
    if let [old, .., new] = membership.get_joint_config().as_slice() {
        return Err(Refused::ChangeInProgress { from: ids(old), to: ids(new) });
    }
    address_free(membership, id, &node, None)?;
    Ok(Step::Nodes(ChangeMembers::SetNodes(BTreeMap::from([(id, node)])), Stage::NewVoters))
}

fn ids(set: &BTreeSet<u64>) -> Vec<u64> {
    set.iter().copied().collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
