//! Snapshots between nodes: a follower far behind, under load, and transfers that break.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_disk::RealDisk;
use interlock_node::config::Storage;
use interlock_proto::raft as proto;
use interlock_proto::raft::raft_client::RaftClient;
use interlock_proto::{Identity, v1};
use interlock_store::{SnapshotMeta, codec, identity};
use support::signer::{Signer, add_key, approved, prevote};
use support::{Cluster, eventually};
use tonic::Code;
use tonic::transport::Channel;

async fn applied(cluster: &Cluster, index: usize) -> Option<u64> {
    let status = cluster.operator(index).node_status(v1::NodeStatusRequest {}).await.ok()?;
    Some(status.into_inner().applied_index)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_catches_up_while_the_cluster_works() {
    let mut cluster = Cluster::formatted();
    for config in &mut cluster.configs {
        config.storage = Storage { snapshot_every_entries: 20, keep_entries: 5, ..Storage::default() };
    }
    for index in 0..3 {
        cluster.start(index).await;
    }
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    let behind = (cluster.leader().await + 1) % 3;
    cluster.stop(behind).await;
    let mut height = 2;
    for _ in 0..100 {
        alpha.heartbeat(height).await;
        approved(alpha.approve(&cluster, epoch, &prevote(height, 1, 100)).await);
        height += 1;
    }
    let leader = cluster.leader().await;
    let at_return = applied(&cluster, leader).await.unwrap();
    cluster.start(behind).await;
    eventually("a node that has caught up while others write", async || {
        for _ in 0..20 {
            alpha.heartbeat(height).await;
            approved(alpha.approve(&cluster, epoch, &prevote(height, 1, 100)).await);
            height += 1;
        }
        let (newest, of_behind) = (applied(&cluster, leader).await?, applied(&cluster, behind).await?);
        (of_behind > at_return + 60 && of_behind + 20 > newest).then_some(())
    })
    .await;
    let request = v1::AuditTailRequest { count: 1000, key_id: None };
    let records = cluster.operator(behind).audit_tail(request).await.unwrap().into_inner().records;
    let missed = at_return - 50;
    assert!(!records.iter().any(|record| record.log_index == missed), "a snapshot brought what it missed");
}

/// A follower, and another node's right to speak to it.
struct Wire {
    client: RaftClient<Channel>,
    header: proto::SnapshotHeader,
}

const CHUNK_BYTES: usize = 1024 * 1024;

impl Wire {
    async fn received(&mut self) -> u64 {
        let answer = self.client.snapshot_offset(self.header.clone()).await.unwrap();
        answer.into_inner().received
    }

    /// Sends one chunk and leaves the call without an end; drop what is returned to break the connection.
    async fn send_chunk(&self, offset: u64) -> tokio::task::JoinHandle<tonic::Status> {
        let header = proto::SnapshotHeader { offset, ..self.header.clone() };
        let kinds = [
            proto::snapshot_chunk::Kind::Header(header),
            proto::snapshot_chunk::Kind::Data(vec![7; CHUNK_BYTES]),
        ];
        let chunks = kinds.map(|kind| proto::SnapshotChunk { kind: Some(kind) });
        let endless = futures::StreamExt::chain(futures::stream::iter(chunks), futures::stream::pending());
        let mut client = self.client.clone();
        tokio::spawn(async move { client.install_snapshot(endless).await.unwrap_err() })
    }

    async fn send_whole(&mut self, offset: u64) -> tonic::Status {
        let header = proto::SnapshotHeader { offset, ..self.header.clone() };
        let mut kinds = vec![proto::snapshot_chunk::Kind::Header(header)];
        for _ in 0..(self.header.total_bytes - offset) / CHUNK_BYTES as u64 {
            kinds.push(proto::snapshot_chunk::Kind::Data(vec![7; CHUNK_BYTES]));
        }
        let chunks = kinds.into_iter().map(|kind| proto::SnapshotChunk { kind: Some(kind) });
        self.client.install_snapshot(futures::stream::iter(chunks)).await.unwrap_err()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_broke_goes_on_and_garbage_is_not_installed() {
    let mut cluster = Cluster::running().await;
    cluster.leader().await;
    cluster.stop(1).await;
    let ours = identity::read(&RealDisk, &cluster.configs[1].data_dir).unwrap();
    // A process of node 2 on its newest data.
    let mark = proto::Mark { term: 1_000_000, ..proto::Mark::default() };
    let presence = proto::Presence {
        incarnation: ours.incarnation.to_be_bytes().to_vec(),
        run: 1,
        opened: Some(mark),
        flushed: Some(mark),
    };
    let sender = proto::Sender {
        cluster_id: cluster.id.0.to_vec(),
        node_id: 2,
        target: 1,
        founders: interlock_node::founders_digest([1, 2, 3]),
        presence: Some(presence),
        refusal: None,
    };
    let header = proto::SnapshotHeader {
        sender: Some(sender),
        vote: Some(proto::Vote { term: 1, node_id: 2, committed: true }),
        meta: codec::encode_snapshot_meta(&SnapshotMeta::default()),
        total_bytes: 3 * CHUNK_BYTES as u64,
        checksum: 7,
        offset: 0,
    };
    let mut wire = Wire { client: RaftClient::new(cluster.peer_channel(0, &Identity::node(2))), header };
    assert_eq!(wire.received().await, 0);
    for chunks in 1..=2 {
        let call = wire.send_chunk((chunks - 1) * CHUNK_BYTES as u64).await;
        let mut asking = Wire { client: wire.client.clone(), header: wire.header.clone() };
        eventually("a chunk on disk", async || {
            (asking.received().await == chunks * CHUNK_BYTES as u64).then_some(())
        })
        .await;
        call.abort();
    }
    let elsewhere = wire.send_whole(CHUNK_BYTES as u64).await;
    assert_eq!(elsewhere.code(), Code::DataLoss, "{elsewhere:?}");
    assert_eq!(wire.received().await, 2 * CHUNK_BYTES as u64, "nothing is lost by a wrong attempt");
    let complete = wire.send_whole(2 * CHUNK_BYTES as u64).await;
    assert!(complete.message().contains("not for this node"), "{complete:?}");
    assert_eq!(wire.received().await, 0, "what is not a snapshot is not kept");
    let other = Wire { header: proto::SnapshotHeader { checksum: 8, ..wire.header.clone() }, ..wire };
    let mut other = other;
    assert_eq!(other.received().await, 0);
}
