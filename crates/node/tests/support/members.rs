//! An operator who changes the members, step by step or to the end.

use super::{Cluster, eventually};
use interlock_proto::v1::change_members_request::Goal;
use interlock_proto::v1::membership_client::MembershipClient;
use interlock_proto::{Identity, Role, not_committed_of, v1};
use tonic::Status;
use tonic::transport::Channel;

pub(crate) fn new_member(cluster: &Cluster, index: usize) -> v1::NewMember {
    let config = &cluster.configs[index];
    v1::NewMember {
        node_id: config.node_id,
        peer_address: config.listen.peers.to_string(),
        client_address: config.listen.clients.to_string(),
    }
}

pub(crate) fn add(cluster: &Cluster, index: usize) -> Goal {
    Goal::Add(new_member(cluster, index))
}

pub(crate) fn replace(cluster: &Cluster, old: usize, new: usize) -> Goal {
    let with = Some(new_member(cluster, new));
    Goal::Replace(v1::Replacement { old_node_id: cluster.configs[old].node_id, with })
}

pub(crate) fn client(cluster: &Cluster, index: usize, role: Role) -> MembershipClient<Channel> {
    MembershipClient::new(cluster.channel(index, &Identity::new("ops", role).unwrap()))
}

/// One step, asked of whoever leads, until it is known to be taken or refused.
pub(crate) async fn step(cluster: &Cluster, goal: &Goal) -> Result<v1::ChangeStage, Status> {
    eventually("a step", async || {
        let leader = cluster.leader().await;
        let request = v1::ChangeMembersRequest { goal: Some(goal.clone()) };
        match client(cluster, leader, Role::Operator).change_members(request).await {
            Ok(response) => Some(Ok(response.into_inner().stage())),
            Err(status) if not_committed_of(&status).is_some() => None,
            // A node that stops, or a lost answer: the goal is absolute, so asking again is harmless.
            Err(status) if matches!(status.code(), tonic::Code::Unknown | tonic::Code::Unavailable) => None,
            Err(status) => Some(Err(status)),
        }
    })
    .await
}

/// All steps; the stages without those that only waited.
pub(crate) async fn change(cluster: &Cluster, goal: &Goal) -> Result<Vec<v1::ChangeStage>, Status> {
    let mut stages = Vec::new();
    loop {
        let stage = until_stage(cluster, goal, &[]).await?;
        stages.push(stage);
        if stage == v1::ChangeStage::Done {
            return Ok(stages);
        }
    }
}

/// Steps until one is taken (of `wanted`, if that names any), or nothing is left to do.
pub(crate) async fn until_stage(
    cluster: &Cluster,
    goal: &Goal,
    wanted: &[v1::ChangeStage],
) -> Result<v1::ChangeStage, Status> {
    eventually("a step that is taken", async || match step(cluster, goal).await {
        Ok(v1::ChangeStage::CatchingUp) => None,
        Ok(stage) if stage == v1::ChangeStage::Done || wanted.is_empty() || wanted.contains(&stage) => {
            Some(Ok(stage))
        }
        Ok(_) => None,
        Err(status) => Some(Err(status)),
    })
    .await
}

/// Id and role of every member, as a majority has it.
pub(crate) async fn members(cluster: &Cluster) -> Vec<(u64, v1::MemberRole)> {
    let response = eventually("the members", async || {
        let leader = cluster.leader().await;
        client(cluster, leader, Role::Viewer).members(v1::MembersRequest { local: false }).await.ok()
    });
    response.await.into_inner().members.iter().map(|member| (member.node_id, member.role())).collect()
}

pub(crate) fn voters(ids: &[u64]) -> Vec<(u64, v1::MemberRole)> {
    ids.iter().map(|id| (*id, v1::MemberRole::Voter)).collect()
}
