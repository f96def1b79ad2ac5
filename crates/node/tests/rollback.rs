//! A guard node whose disk was replaced by an older copy of itself: its peers refuse it, and nothing approved is lost.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_proto::raft::{self, raft_client::RaftClient};
use interlock_proto::v1::get_key_request::Selector;
use interlock_proto::{Identity, not_committed_of, v1};
use interlock_store::{Expected, FatalHook, Mark, RealDisk, Store, StoreOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::signer::{Signer, add_key, approved, denied_rule, prevote};
use support::{Cluster, eventually, remove_data};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store of a node that does not run.
async fn store(cluster: &Cluster, index: usize) -> Store {
    let config = &cluster.configs[index];
    let expected = Expected { node_id: config.node_id, cluster_id: Some(cluster.id) };
    let options = StoreOptions::new(FatalHook::new(|error| panic!("{error}")));
    // The last task of the node that ran on it may be about to end.
    eventually("a free directory", async || {
        Store::open(Arc::new(RealDisk), &config.data_dir, expected, &options).ok()
    })
    .await
}

/// What a stopped node remembers of another.
async fn remembered(cluster: &Cluster, index: usize, of: usize) -> Mark {
    let marks = store(cluster, index).await.peers.marks();
    let node_id = cluster.configs[of].node_id;
    marks.into_iter().find(|(id, _)| *id == node_id).map_or(Mark::default(), |(_, peer)| peer.mark)
}

struct World {
    cluster: Cluster,
    alpha: Signer,
    epoch: u64,
    key: Vec<u8>,
}

impl World {
    /// A cluster that has approved height 5.
    async fn new() -> World {
        let cluster = Cluster::running().await;
        let key = add_key(&cluster).await;
        let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
        let epoch = alpha.wait_for_lease(1).await;
        let world = World { cluster, alpha, epoch, key };
        world.approve(5).await;
        world
    }

    async fn approve(&self, height: u64) {
        self.alpha.heartbeat(height).await;
        approved(self.alpha.approve(&self.cluster, self.epoch, &prevote(height, 1, 100)).await);
    }

    /// Copies the disk of a node as it is, and starts the node again.
    async fn snapshot(&mut self, index: usize) -> PathBuf {
        self.cluster.stop(index).await;
        drop(store(&self.cluster, index).await);
        let copied = self.cluster.configs[index].data_dir.with_extension("copy");
        copy(&self.cluster.configs[index].data_dir, &copied);
        self.cluster.start(index).await;
        copied
    }

    async fn roll_back(&self, index: usize, copied: &Path) {
        let data = &self.cluster.configs[index].data_dir;
        remove_data(data).await;
        copy(copied, data);
    }

    async fn a_conflict_is_denied_and_the_next_height_approved(&self, height: u64) {
        self.alpha.heartbeat(height).await;
        let other = self.alpha.approve(&self.cluster, self.epoch, &prevote(height, 2, 100)).await;
        assert_eq!(denied_rule(&other), 11);
        self.approve(height + 1).await;
    }

    async fn nobody_leads(&self, index: usize) {
        let selector = Some(Selector::KeyId(self.key.clone()));
        let status = self.cluster.operator(index).show_key(v1::GetKeyRequest { selector }).await.unwrap_err();
        assert!(not_committed_of(&status).is_some(), "a refused voter makes no majority: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_rolled_back_to_an_older_copy_is_refused_with_the_way_out() {
    let mut world = World::new().await;
    let leader = world.cluster.leader().await;
    let (rolled_back, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let copied = world.snapshot(rolled_back).await;
    world.approve(6).await;
    world.cluster.leader().await;
    eventually("the node has what was approved", async || {
        let status = |index: usize| {
            let mut operator = world.cluster.operator(index);
            async move { operator.node_status(v1::NodeStatusRequest {}).await.ok() }
        };
        let of_leader = status(leader).await?.into_inner().applied_index;
        (status(rolled_back).await?.into_inner().applied_index >= of_leader).then_some(())
    })
    .await;
    world.cluster.stop(rolled_back).await;
    drop(store(&world.cluster, rolled_back).await);
    world.roll_back(rolled_back, &copied).await;
    world.cluster.start(rolled_back).await;
    let reason = world.cluster.refused(rolled_back).await;
    assert!(reason.contains("older copy of itself"), "{reason}");
    assert!(reason.contains("replace it by a new node under a new id"), "{reason}");
    world.cluster.stop(other).await;
    world.cluster.start(rolled_back).await;
    world.nobody_leads(leader).await;
    world.cluster.refused(rolled_back).await;
    world.cluster.start(other).await;
    world.a_conflict_is_denied_and_the_next_height_approved(6).await;
}

/// The dangerous case: the leader that counted the acknowledgement is gone, and the third node is behind. What it was
/// told of the voter while it was there is enough, also after it was restarted itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_behind_refuses_a_rolled_back_one_although_the_leader_that_counted_it_is_gone() {
    let mut world = World::new().await;
    // Whoever leads later: of the three it is the one that is neither rolled back nor behind.
    let leader = world.cluster.leader().await;
    let (rolled_back, behind) = ((leader + 1) % 3, (leader + 2) % 3);
    let copied = world.snapshot(rolled_back).await;
    let mark_of_copy = {
        world.cluster.stop(rolled_back).await;
        let mark = store(&world.cluster, rolled_back).await.flushed.opened();
        world.cluster.start(rolled_back).await;
        mark
    };
    let mut height = 5;
    loop {
        height += 1;
        assert!(height < 100, "the third node is never told how far the others are");
        world.approve(height).await;
        world.cluster.stop(behind).await;
        if remembered(&world.cluster, behind, rolled_back).await > mark_of_copy {
            break;
        }
        world.cluster.start(behind).await;
    }
    height += 1;
    world.approve(height).await;
    world.cluster.stop(rolled_back).await;
    world.cluster.stop(leader).await;
    drop(store(&world.cluster, rolled_back).await);
    world.roll_back(rolled_back, &copied).await;
    world.cluster.start(behind).await;
    world.cluster.start(rolled_back).await;
    let reason = world.cluster.refused(rolled_back).await;
    assert!(reason.contains("older copy of itself"), "{reason}");
    world.nobody_leads(behind).await;
    world.cluster.start(leader).await;
    world.a_conflict_is_denied_and_the_next_height_approved(height).await;
}

/// What a node answers to a process of node 2 that asks for a vote, for a promise of one, and for an acknowledgement.
async fn consensus_answers(cluster: &Cluster) -> [Result<(), tonic::Status>; 3] {
    let incarnation = store(cluster, 1).await.identity.incarnation.to_be_bytes().to_vec();
    let mark = raft::Mark { term: 1_000_000, ..raft::Mark::default() };
    let presence = raft::Presence { incarnation, run: 1, opened: Some(mark), flushed: Some(mark) };
    let sender = Some(raft::Sender {
        cluster_id: cluster.id.0.to_vec(),
        node_id: 2,
        target: 1,
        founders: interlock_node::founders_digest([1, 2, 3]),
        presence: Some(presence),
        refusal: None,
    });
    let mut peer = RaftClient::new(cluster.peer_channel(0, &Identity::node(2)));
    let introduced = peer.introduce(raft::IntroduceRequest { sender: sender.clone() }).await;
    introduced.expect("its memory of others is as good as ever");
    let vote = Some(raft::Vote { term: 1_000_000, node_id: 2, committed: false });
    let vote_request =
        raft::VoteRequest { sender: sender.clone(), vote, last_log: None, leadership_transfer: false };
    let append = raft::AppendRequest { sender, vote, ..raft::AppendRequest::default() };
    [
        peer.vote(vote_request.clone()).await.map(drop),
        peer.pre_vote(vote_request).await.map(drop),
        peer.append(append).await.map(drop),
    ]
}

/// Its disk may be an older copy, and those who would know are not there yet: neither at its first start, nor later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_alone_grants_no_vote_and_acknowledges_nothing() {
    let mut cluster = Cluster::formatted();
    for start in ["first", "second"] {
        cluster.start(0).await;
        for answer in consensus_answers(&cluster).await {
            let status = answer.expect_err(start);
            assert!(status.message().contains("still asks its peers"), "{start} start: {status:?}");
        }
        cluster.stop(0).await;
    }
}
