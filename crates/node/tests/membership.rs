//! Members come, go and move while the cluster approves.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_proto::v1::change_members_request::Goal;
use interlock_proto::{MembersRefusal, Role, not_committed_of, v1};
use support::members::{add, change, client, members, new_member, replace, until_stage, voters};
use support::signer::{Signer, add_key, approved, denied_rule, prevote};
use support::{Cluster, eventually, free_address};
use tonic::Code;
use v1::ChangeStage::{Done, Joint, Learner, NewVoters};

struct World {
    cluster: Cluster,
    alpha: Signer,
    epoch: u64,
}

impl World {
    async fn new() -> World {
        let cluster = Cluster::running().await;
        let key = add_key(&cluster).await;
        let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
        let epoch = alpha.wait_for_lease(1).await;
        World { cluster, alpha, epoch }
    }

    /// A new node runs; it is no member yet.
    async fn joiner(&mut self) -> usize {
        let index = self.cluster.format_joiner();
        self.cluster.start(index).await;
        index
    }

    async fn approve(&self, height: u64) {
        self.alpha.heartbeat(height).await;
        approved(self.alpha.approve(&self.cluster, self.epoch, &prevote(height, 1, 100)).await);
    }

    async fn is_remembered(&self, height: u64) {
        self.alpha.heartbeat(height).await;
        let conflict = self.alpha.approve(&self.cluster, self.epoch, &prevote(height, 2, 100)).await;
        assert_eq!(denied_rule(&conflict), 11);
    }

    /// Asks a node for a leader that it follows: the cluster's `leader` wants all running nodes to agree, also those
    /// that are no members.
    async fn wait_for_follower(&self, index: usize) {
        eventually("a node that follows", async || {
            let status = self.cluster.operator(index).node_status(v1::NodeStatusRequest {}).await.ok()?;
            status.into_inner().leader
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_as_a_learner_votes_when_it_has_caught_up_and_leaves_for_good() {
    let mut world = World::new().await;
    world.approve(5).await;
    let joiner = world.cluster.format_joiner();
    let goal = add(&world.cluster, joiner);
    assert_eq!(until_stage(&world.cluster, &goal, &[]).await.unwrap(), Learner);
    assert_eq!(members(&world.cluster).await[3], (4, v1::MemberRole::Learner));
    let leader = world.cluster.leader().await;
    let request = v1::ChangeMembersRequest { goal: Some(goal.clone()) };
    let waiting = client(&world.cluster, leader, Role::Operator).change_members(request).await.unwrap();
    assert_eq!(waiting.into_inner().stage(), v1::ChangeStage::CatchingUp, "it does not even run");
    world.cluster.start(joiner).await;
    world.wait_for_follower(joiner).await;
    assert_eq!(change(&world.cluster, &goal).await.unwrap(), [Joint, NewVoters, Done]);
    assert_eq!(members(&world.cluster).await, voters(&[1, 2, 3, 4]));
    world.approve(6).await;
    let gone = Goal::Remove(4);
    assert_eq!(change(&world.cluster, &gone).await.unwrap(), [Joint, NewVoters, Done]);
    world.cluster.stop(joiner).await;
    assert_eq!(members(&world.cluster).await, voters(&[1, 2, 3]));
    assert_eq!(change(&world.cluster, &gone).await.unwrap(), [Done], "it is gone already");
    let again = change(&world.cluster, &goal).await.unwrap_err();
    assert_eq!(MembersRefusal::of(&again), Some(MembersRefusal::IdUsed), "{again:?}");
    assert!(again.message().contains("above 4"), "{again:?}");
    world.is_remembered(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_replaced_and_the_new_one_counts() {
    let mut world = World::new().await;
    world.approve(5).await;
    let leader = world.cluster.leader().await;
    let (dead, other) = ((leader + 1) % 3, (leader + 2) % 3);
    world.cluster.stop(dead).await;
    world.approve(6).await;
    let joiner = world.cluster.format_joiner();
    let goal = replace(&world.cluster, dead, joiner);
    assert_eq!(until_stage(&world.cluster, &goal, &[]).await.unwrap(), Learner);
    world.cluster.start(joiner).await;
    world.wait_for_follower(joiner).await;
    assert_eq!(change(&world.cluster, &goal).await.unwrap(), [Joint, NewVoters, Done]);
    world.approve(7).await;
    world.cluster.stop(other).await;
    world.approve(8).await;
    world.cluster.stop(leader).await;
    world.cluster.start(other).await;
    world.is_remembered(8).await;
    world.approve(9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_itself_can_be_replaced() {
    let mut world = World::new().await;
    world.approve(5).await;
    let joiner = world.joiner().await;
    let leader = world.cluster.leader_of(&[0, 1, 2]).await;
    let goal = replace(&world.cluster, leader, joiner);
    // Until the new node follows, only the old ones agree about a leader.
    let request = v1::ChangeMembersRequest { goal: Some(goal.clone()) };
    eventually("a learner", async || {
        let leader = world.cluster.leader_of(&[0, 1, 2]).await;
        client(&world.cluster, leader, Role::Operator).change_members(request.clone()).await.ok()
    })
    .await;
    world.wait_for_follower(joiner).await;
    until_stage(&world.cluster, &goal, &[NewVoters]).await.unwrap();
    world.cluster.stop(leader).await;
    assert_eq!(change(&world.cluster, &goal).await.unwrap(), [Done]);
    let left: Vec<u64> = (1..=4).filter(|id| *id != leader as u64 + 1).collect();
    assert_eq!(members(&world.cluster).await, voters(&left));
    world.is_remembered(5).await;
    world.approve(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let mut world = World::new().await;
    let refused = async |world: &World, goal: Goal| {
        let status = change(&world.cluster, &goal).await.unwrap_err();
        (MembersRefusal::of(&status), status)
    };
    let (kind, status) = refused(&world, Goal::Remove(9)).await;
    assert_eq!(kind, Some(MembersRefusal::UnknownMember), "{status:?}");
    let at_2 = new_member(&world.cluster, 1);
    let (kind, status) = refused(&world, Goal::Add(v1::NewMember { node_id: 4, ..at_2 })).await;
    assert_eq!(kind, Some(MembersRefusal::Address), "{status:?}");
    let nowhere = v1::NewMember { node_id: 4, peer_address: "nowhere".into(), client_address: "x:1".into() };
    let (_, status) = refused(&world, Goal::Add(nowhere)).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let leader = world.cluster.leader().await;
    let viewer = client(&world.cluster, leader, Role::Viewer)
        .change_members(v1::ChangeMembersRequest { goal: Some(Goal::Remove(3)) })
        .await
        .unwrap_err();
    assert_eq!(viewer.code(), Code::PermissionDenied);
    let other = (leader + 1) % 3;
    let request = v1::ChangeMembersRequest { goal: Some(Goal::Remove(3)) };
    eventually("a follower that names the leader", async || {
        let leader = world.cluster.leader().await;
        let mut follower = client(&world.cluster, (leader + 1) % 3, Role::Operator);
        let hint = not_committed_of(&follower.change_members(request.clone()).await.err()?)?;
        (hint.leader == Some(leader as u64 + 1)).then_some(())
    })
    .await;
    let dead = (leader + 2) % 3;
    world.cluster.stop(dead).await;
    eventually("a silence that is noticed", async || {
        let (kind, _) = refused_or_waiting(&world, Goal::Remove(other as u64 + 1)).await?;
        (kind == MembersRefusal::QuorumAtRisk).then_some(())
    })
    .await;
    world.cluster.start(dead).await;
    assert_eq!(members(&world.cluster).await, voters(&[1, 2, 3]));
}

/// Asks for a change that must not be made; `None` while it is not refused by name.
async fn refused_or_waiting(world: &World, goal: Goal) -> Option<(MembersRefusal, String)> {
    let leader = world.cluster.leader().await;
    let silent = {
        let mut viewer = client(&world.cluster, leader, Role::Viewer);
        let members = viewer.members(v1::MembersRequest { local: false }).await.ok()?.into_inner().members;
        members.iter().any(|member| member.silent_ms.is_some_and(|silent| silent > 3000))
    };
    if !silent {
        return None;
    }
    let request = v1::ChangeMembersRequest { goal: Some(goal) };
    let status = client(&world.cluster, leader, Role::Operator).change_members(request).await.err()?;
    Some((MembersRefusal::of(&status)?, status.message().to_owned()))
}

/// A member moves while it runs (the new address leads to the old one), and again while it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_to_another_address_while_it_runs_and_while_it_does_not() {
    let mut world = World::new().await;
    world.approve(5).await;
    let leader = world.cluster.leader().await;
    let (moved, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let old = world.cluster.configs[moved].listen.clone();
    let forward = Forward::to(old.peers).await;
    let at = |peers: std::net::SocketAddr, clients: std::net::SocketAddr| {
        Goal::SetAddress(v1::NewMember {
            node_id: moved as u64 + 1,
            peer_address: peers.to_string(),
            client_address: clients.to_string(),
        })
    };
    let goal = at(forward.address, old.clients);
    assert_eq!(change(&world.cluster, &goal).await.unwrap(), [NewVoters, Done]);
    eventually("the leader comes by the new address", async || (forward.connections() > 0).then_some(()))
        .await;
    world.cluster.stop(moved).await;
    world.approve(6).await;
    world.cluster.configs[moved].listen.peers = free_address();
    world.cluster.configs[moved].listen.clients = free_address();
    let listen = world.cluster.configs[moved].listen.clone();
    world.cluster.start(moved).await;
    let goal = at(listen.peers, listen.clients);
    // It is not reached at its new address yet, so it cannot name the leader.
    let request = v1::ChangeMembersRequest { goal: Some(goal.clone()) };
    eventually("a moved member", async || {
        let leader = world.cluster.leader_of(&[leader, other]).await;
        client(&world.cluster, leader, Role::Operator).change_members(request.clone()).await.ok()
    })
    .await;
    world.wait_for_follower(moved).await;
    world.cluster.stop(other).await;
    world.approve(7).await;
    world.cluster.start(other).await;
    world.cluster.stop(leader).await;
    world.is_remembered(7).await;
    world.approve(8).await;
}

/// Every node comes to know how far every other node's disk is, not only the leader: a heartbeat carries it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_are_told_how_far_the_others_have_come() {
    let world = World::new().await;
    let leader = world.cluster.leader().await;
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let known = async |index: usize, of: usize| {
        let local = v1::MembersRequest { local: true };
        let response = client(&world.cluster, index, Role::Viewer).members(local).await.ok()?.into_inner();
        let member = response.members.iter().find(|member| member.node_id == of as u64 + 1)?.clone();
        member.disk.map(|disk| (disk.term, disk.next_index))
    };
    let before = eventually("a first mark", async || known(one, other).await).await;
    for height in 2..20 {
        world.approve(height).await;
    }
    eventually("a mark that rose", async || known(one, other).await.filter(|mark| *mark > before)).await;
    eventually("a mark that rose", async || known(other, one).await.filter(|mark| *mark > before)).await;
    // All peers are known now, so the file changes only because marks rise.
    let file = world.cluster.configs[other].data_dir.join("peers");
    let written = std::fs::read(&file).unwrap();
    world.approve(20).await;
    eventually("marks that are written down", async || {
        std::fs::read(&file).is_ok_and(|now| now != written).then_some(())
    })
    .await;
}

/// Copies bytes between a new address and an old one.
struct Forward {
    address: std::net::SocketAddr,
    connections: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Forward {
    async fn to(target: std::net::SocketAddr) -> Forward {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let counted = std::sync::Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else { return };
                    let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Forward { address, connections, task }
    }

    fn connections(&self) -> usize {
        self.connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}
