//! Nodes whose states differ: what they do, and that the others go on.
//!
//! The difference is made as a broken disk or memory would: in a file of one node, behind a valid checksum.

#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod support;

use interlock_core::command::AddKey;
use interlock_core::{ChainId, ChainIdentity, KeyName, LogPosition, Policy, PublicKey, SignerId, State};
use interlock_disk::{checksummed, verify_checksum};
use interlock_node::config::Storage;
use interlock_node::{StartError, StopError, StoreOpenError, start};
use interlock_proto::v1;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::signer::{Signer, add_key, approved, prevote};
use support::{Cluster, DEADLINE, eventually};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a snapshot before the encoded log id.
const SNAPSHOT_HEADER_BYTES: usize = 36;

/// A cluster whose nodes have written snapshots; and its signer.
async fn with_snapshots() -> (Cluster, Signer) {
    let mut cluster = Cluster::formatted();
    for config in &mut cluster.configs {
        config.storage = Storage { snapshot_every_entries: 10, keep_entries: 5, ..Storage::default() };
    }
    for index in 0..3 {
        cluster.start(index).await;
    }
    let key = add_key(&cluster).await;
    let mut alpha = Signer::connect(&cluster, "alpha", 1, &key).await;
    let epoch = alpha.wait_for_lease(1).await;
    for height in 2..40 {
        alpha.heartbeat(height).await;
        approved(alpha.approve(&cluster, epoch, &prevote(height, 1, 100)).await);
    }
    for config in &cluster.configs {
        eventually("a snapshot on every node", async || snapshot_of(&config.data_dir)).await;
    }
    (cluster, alpha)
}

fn snapshot_of(data: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("snapshot"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
        .collect();
    files.sort();
    files.pop()
}

/// Makes the state in a stopped node's snapshot one that applied a command more than the others.
fn tamper(data: &Path, number: u8) {
    let path = snapshot_of(data).unwrap();
    let file = std::fs::read(&path).unwrap();
    let body = verify_checksum(&file).unwrap();
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let (head, state) = body.split_at(SNAPSHOT_HEADER_BYTES + length(12) + length(16));
    let mut state: State = minicbor::decode(state).unwrap();
    let after = state.applied().unwrap();
    let command = AddKey {
        name: KeyName::parse(&format!("stray-{number}")).unwrap(),
        chain: ChainIdentity::Cometbft(ChainId::parse("chain-1").unwrap()),
        public_key: PublicKey::new(&[number; 32]).unwrap(),
        signers: vec![SignerId::parse("alpha").unwrap()],
        claim: interlock_core::Claim::Cometbft(interlock_core::cometbft::CometbftClaim::floor(0)),
        policy: Policy::default(),
    }
    .into_command(state.cluster());
    let verdict = state.apply(LogPosition { item: after.item + 1, ..after }, &command);
    assert!(!verdict.is_denied(), "{verdict:?}");
    let mut bytes = head.to_vec();
    minicbor::encode(&state, &mut bytes).unwrap();
    std::fs::write(path, checksummed(bytes)).unwrap();
}

/// Waits until a node has stopped by itself, and says why.
async fn stopped(cluster: &mut Cluster, index: usize) -> String {
    let mut node = cluster.nodes[index].take().unwrap();
    let Ok(Err(stopped)) = tokio::time::timeout(DEADLINE, node.stopped()).await else {
        panic!("node {} runs on", index + 1)
    };
    let StopError::Diverged { finding } = stopped else { panic!("{stopped}") };
    node.shutdown().await;
    finding
}

async fn chain_of(cluster: &Cluster, index: usize) -> Option<(u64, Vec<u8>)> {
    let mut operator = cluster.operator(index);
    // A node that serves nobody lets a caller wait.
    let asked = tokio::time::timeout(PATIENCE, operator.node_status(v1::NodeStatusRequest {})).await;
    let status = asked.ok()?.ok()?.into_inner();
    Some((status.applied_index, status.audit_chain))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_the_minority_stops_for_good_and_the_others_go_on() {
    let (mut cluster, alpha) = with_snapshots().await;
    let wrong = (cluster.leader().await + 1) % 3;
    cluster.stop(wrong).await;
    tamper(&cluster.configs[wrong].data_dir, 1);
    cluster.start(wrong).await;
    let finding = stopped(&mut cluster, wrong).await;
    assert!(finding.contains("the majority contradicts"), "{finding}");
    for node in 1..=3 {
        assert!(finding.contains(&format!("node {node} has ")) || node != wrong + 1, "{finding}");
    }
    for _ in 0..2 {
        let refused =
            eventually("a refused start", async || match start(cluster.configs[wrong].clone()).await {
                Err(StartError::Open(StoreOpenError::Identity(_))) => None,
                Err(refused) => Some(refused),
                Ok(_) => panic!("it started again"),
            });
        let refused = refused.await;
        assert!(matches!(refused, StartError::Open(StoreOpenError::Diverged { .. })), "{refused}");
    }
    // The majority serves, and nobody in it stops.
    let mut alpha = alpha;
    let epoch = alpha.wait_for_lease(40).await;
    for height in 41..46 {
        alpha.heartbeat(height).await;
        approved(alpha.approve(&cluster, epoch, &prevote(height, 1, 100)).await);
    }
    let (one, other) = ((wrong + 1) % 3, (wrong + 2) % 3);
    eventually("equal chains", async || {
        (chain_of(&cluster, one).await? == chain_of(&cluster, other).await?).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_all_stop_and_serve_nobody_until_one_confirms_them() {
    let (mut cluster, alpha) = with_snapshots().await;
    drop(alpha);
    for index in 0..3 {
        cluster.stop(index).await;
    }
    let whole = std::fs::read(snapshot_of(&cluster.configs[1].data_dir).unwrap()).unwrap();
    let repaired = snapshot_of(&cluster.configs[1].data_dir).unwrap();
    tamper(&cluster.configs[1].data_dir, 1);
    tamper(&cluster.configs[2].data_dir, 2);
    for index in 0..3 {
        cluster.start(index).await;
    }
    for index in 0..3 {
        let finding = stopped(&mut cluster, index).await;
        assert!(finding.contains("no value has a majority"), "{finding}");
    }
    // As if the second node had been right all the time: two of three agree again, and the third is contradicted.
    eventually("its directory", async || {
        let config = cluster.configs[1].clone();
        match start(config).await {
            Ok(node) => {
                node.shutdown().await;
                Some(())
            }
            Err(_) => None,
        }
    })
    .await;
    std::fs::write(&repaired, whole).unwrap();
    cluster.start(0).await;
    assert!(chain_of(&cluster, 0).await.is_none(), "in doubt and alone, it serves nobody");
    cluster.start(1).await;
    cluster.start(2).await;
    let finding = stopped(&mut cluster, 2).await;
    assert!(finding.contains("the majority contradicts"), "{finding}");
    eventually("both serve again", async || {
        (chain_of(&cluster, 0).await? == chain_of(&cluster, 1).await?).then_some(())
    })
    .await;
}
