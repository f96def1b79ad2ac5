//! What operators ask of the membership. Which step comes next is decided in `crate::membership`.

use crate::caller::caller;
use crate::membership::{Goal, Stage, highest_id, step, view};
use crate::raft::Peers;
use crate::service::Shared;
use interlock_proto::v1::change_members_request::Goal as WireGoal;
use interlock_proto::v1::membership_server::Membership;
use interlock_proto::{NotCommitted, Role, not_committed, v1};
use interlock_store::{GuardNode, Mark};
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Longest address, bytes: a DNS name and a port.
const ADDRESS_BYTES_MAX: usize = 262;

/// Serves operators.
pub(crate) struct MembershipService {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
}

impl MembershipService {
    pub(crate) fn new(shared: Arc<Shared>, peers: Arc<Peers>) -> Self {
        Self { shared, peers }
    }

    fn members(&self) -> v1::MembersResponse {
        let metrics = self.shared.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let (silent, behind) = (crate::membership::silence(&metrics), crate::membership::behind(&metrics));
        let marks: BTreeMap<u64, Mark> = self.peers.known_marks();
        let members = membership.nodes().map(|(id, node)| v1::Member {
            node_id: *id,
            peer_address: node.peer_address.clone(),
            client_address: node.client_address.clone(),
            role: role(membership.get_joint_config(), *id).into(),
            silent_ms: silent.get(id).map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
            behind_entries: behind.get(id).copied(),
            disk: marks.get(id).map(|mark| v1::DiskMark { term: mark.term, next_index: mark.next_index }),
        });
        v1::MembersResponse {
            cluster_id: self.shared.local.cluster.0.to_vec(),
            node_id: self.shared.local.node_id,
            members: members.collect(),
            highest_id: highest_id(membership),
        }
    }
}

fn role(configs: &[std::collections::BTreeSet<u64>], id: u64) -> v1::MemberRole {
    let old = configs.first().is_some_and(|voters| voters.contains(&id));
    let new = configs.last().is_some_and(|voters| voters.contains(&id));
    match (old, new) {
        (true, true) => v1::MemberRole::Voter,
        (false, true) => v1::MemberRole::Joining,
        (true, false) => v1::MemberRole::Leaving,
        (false, false) => v1::MemberRole::Learner,
    }
}

fn parse_address(field: &str, address: &str) -> Result<String, Status> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let plain = address.len() <= ADDRESS_BYTES_MAX
        && address.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c));
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(port) if plain && port != 0 => Ok(address.to_owned()),
        _ => Err(Status::invalid_argument(format!("{field} {address:?} is not of the form host:port"))),
    }
}

fn parse_member(member: &v1::NewMember) -> Result<(u64, GuardNode), Status> {
    if member.node_id == 0 {
        return Err(Status::invalid_argument("node id 0 is no id: ids start at 1"));
    }
    let peer_address = parse_address("peer address", &member.peer_address)?;
    let client_address = parse_address("client address", &member.client_address)?;
    if peer_address == client_address {
        return Err(Status::invalid_argument("peers and clients need two addresses"));
    }
    Ok((member.node_id, GuardNode { peer_address, client_address, ids_used_to: 0 }))
}

fn parse_goal(request: &v1::ChangeMembersRequest) -> Result<Goal, Status> {
    let goal = request.goal.as_ref().ok_or_else(|| Status::invalid_argument("field goal is missing"))?;
    Ok(match goal {
        WireGoal::Add(member) => Goal::Voters { join: Some(parse_member(member)?), leave: None },
        WireGoal::Remove(id) => Goal::Voters { join: None, leave: Some(*id) },
        WireGoal::Replace(replace) => {
            let with =
                replace.with.as_ref().ok_or_else(|| Status::invalid_argument("field with is missing"))?;
            let (old, join) = (replace.old_node_id, parse_member(with)?);
            if join.0 == old {
                return Err(Status::invalid_argument(format!(
                    "node {old} cannot replace itself: the new node needs a new id"
                )));
            }
            Goal::Voters { join: Some(join), leave: Some(old) }
        }
        WireGoal::SetAddress(member) => {
            let (id, node) = parse_member(member)?;
            Goal::Address { id, node }
        }
    })
}

fn stage_to_wire(stage: Stage) -> v1::ChangeMembersResponse {
    let (stage, behind_entries) = match stage {
        Stage::Prepared => (v1::ChangeStage::Prepared, 0),
        Stage::Learner => (v1::ChangeStage::Learner, 0),
        Stage::CatchingUp { behind } => (v1::ChangeStage::CatchingUp, behind),
        Stage::Joint => (v1::ChangeStage::Joint, 0),
        Stage::NewVoters => (v1::ChangeStage::NewVoters, 0),
        Stage::Done => (v1::ChangeStage::Done, 0),
    };
    v1::ChangeMembersResponse { stage: stage.into(), behind_entries }
}

#[tonic::async_trait]
impl Membership for MembershipService {
    async fn members(
        &self,
        request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersResponse>, Status> {
        caller(&request, &[Role::Operator, Role::Viewer])?;
        if !request.get_ref().local {
            self.shared.linearizable().await?;
            if view(&self.shared.raft).is_none() {
                let message = "a change of members is being committed".to_owned();
                let leader = Some(self.shared.local.node_id);
                return Err(not_committed(&NotCommitted { leader, message }));
            }
        }
        Ok(Response::new(self.members()))
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        let who = caller(&request, &[Role::Operator])?;
        let goal = parse_goal(request.get_ref())?;
        tracing::info!(%who, ?goal, "asked to change the members");
        step(&self.shared, &goal).await.map(|stage| Response::new(stage_to_wire(stage)))
    }
}
