//! What is on disk stays readable: data directories of each format that was ever released are checked in and opened,
//! and a format that this program does not know is refused with the way out in the message.
//!
//! The newest one is written anew with `INTERLOCK_REWRITE=1 cargo test -p interlock-store --test formats`, as long as
//! its format was not released; afterwards a change of the format gets a directory of its own, and the old one stays.
#![allow(clippy::unwrap_used)] // Helpers outside the test functions are test code too.

mod common;

use common::{CLUSTER, expected, files_below, log_id, spec, write};
use interlock_disk::{RealDisk, checksummed};
use interlock_store::{
    Entry, FatalHook, GuardNode, Mark, Membership, Payload, Presence, Store, StoreOpenError, StoreOptions,
    Vote, format,
};
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{RaftLogReader as _, RaftSnapshotBuilder as _, StorageHelper};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of the present format.
const NEWEST: &str = "format-1";
/// It is in every clone of the repository.
const GOLDEN_BYTES_MAX: u64 = 48 * 1024;

/// Magic and version of a segment of the log or the audit trail.
const VERSION_BYTES: usize = 12;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The smallest files, and no index, which is not a format of ours.
fn small() -> StoreOptions {
    let mut options = StoreOptions::new(FatalHook::new(|error| panic!("{error}")));
    options.wal.segment_bytes = 8 * 1024;
    options.wal.prepare_ahead = false;
    options.audit.segment_bytes = 4 * 1024;
    options.audit.index = false;
    options
}

fn open(path: &Path) -> Result<Store, StoreOpenError> {
    Store::open(Arc::new(RealDisk), path, expected(), &small())
}

fn membership() -> Membership {
    let node = |id: u64| GuardNode {
        peer_address: format!("127.0.0.1:{}", 7400 + id),
        client_address: format!("127.0.0.1:{}", 7500 + id),
        ids_used_to: 4,
    };
    let voters = BTreeSet::from([1, 2, 3]);
    let nodes: BTreeMap<u64, GuardNode> = [1, 2, 3, 4].into_iter().map(|id| (id, node(id))).collect();
    Membership::new(vec![voters], nodes).unwrap()
}

/// Some of everything: a vote, members, entries before and after a snapshot, a purge, the audit trail, peers.
async fn write_golden(path: &Path) {
    format(&RealDisk, path, &spec(CLUSTER), &small().wal).unwrap();
    let mut store = open(path).unwrap();
    store.log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    let members = Entry { log_id: log_id(0), payload: Payload::Membership(membership()) };
    store.log.blocking_append([members.clone()]).await.unwrap();
    store.machine.apply(futures::stream::iter([Ok((members, None))])).await.unwrap();
    write(&mut store, 1..11).await;
    store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    store.log.purge(log_id(6)).await.unwrap();
    write(&mut store, 11..15).await;
    for node_id in [2, 3] {
        let mark = Mark { term: 1, node_id: 1, committed: true, next_index: 10 + node_id };
        let presence =
            Presence { incarnation: node_id.into(), run: 9, opened: Mark::default(), flushed: mark };
        store.peers.hear(node_id, &presence).unwrap();
    }
    store.peers.save().unwrap();
}

/// Everything that a node starts from, in words.
async fn describe(path: &Path) -> String {
    let mut store = open(path).unwrap();
    StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.unwrap();
    let mut text = String::new();
    let identity = &store.identity;
    let founders: Vec<u64> = identity.founding_members.iter().map(|member| member.id).collect();
    let (node_id, cluster, incarnation) = (identity.node_id, identity.cluster_id, identity.incarnation);
    writeln!(text, "node {node_id} of {cluster}, data {incarnation:x}, founders {founders:?}").unwrap();
    let state = store.log.get_log_state().await.unwrap();
    let vote = store.log.get_log_reader().await.read_vote().await.unwrap();
    let index = |id: Option<interlock_store::LogId>| id.map(|id| id.index);
    let (purged, last) = (index(state.last_purged_log_id), index(state.last_log_id));
    let committed = index(store.log.read_committed().await.unwrap());
    writeln!(text, "vote {vote:?}\nlog purged {purged:?} last {last:?} committed {committed:?}").unwrap();
    let entries = store.log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    writeln!(text, "entries {:?}", entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>())
        .unwrap();
    let (applied, members) = store.machine.applied_state().await.unwrap();
    writeln!(text, "applied {:?}, members {}", index(applied), members.membership()).unwrap();
    let (keys, chain) =
        store.state.read(|applied| (applied.state.keys().count(), applied.state.audit_chain()));
    let chain: String = chain.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(text, "{keys} keys, audit chain {chain}").unwrap();
    let audit = store.audit.tail(100).unwrap();
    writeln!(
        text,
        "audit trail of {} records, newest at {:?}",
        audit.len(),
        audit.last().map(|last| last.at)
    )
    .unwrap();
    for (id, peer) in store.peers.marks() {
        writeln!(text, "peer {id}: data {:x}, run {}, {}", peer.incarnation, peer.run, peer.mark).unwrap();
    }
    text
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

/// A copy to work on: opening writes.
fn copied(name: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    copy(&golden(name), &path);
    (root, path)
}

/// The golden directories, written anew if that was asked for: once, before any test reads them.
async fn ready() {
    static READY: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let asked = std::env::var_os("INTERLOCK_REWRITE").is_some();
    READY
        .get_or_init(async || {
            if asked {
                rewrite().await
            }
        })
        .await;
}

async fn rewrite() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    write_golden(&path).await;
    let kept = golden(NEWEST);
    let _absent_before = std::fs::remove_dir_all(&kept);
    copy(&path, &kept);
    // It says which process worked there.
    std::fs::remove_file(kept.join("lock")).unwrap();
    let described = describe(&path).await;
    std::fs::write(golden(&format!("{NEWEST}.txt")), described).unwrap();
}

#[tokio::test]
async fn data_of_every_format_opens_as_what_was_written() {
    ready().await;
    for name in [NEWEST] {
        let bytes: u64 = files_below(&golden(name)).iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!((1..=GOLDEN_BYTES_MAX).contains(&bytes), "{name} has {bytes} bytes");
        let written = std::fs::read_to_string(golden(&format!("{name}.txt"))).unwrap();
        let (_root, path) = copied(name);
        let found = describe(&path).await;
        assert_eq!(
            found, written,
            "{name} reads differently; if its format was never released and is meant to change, see the head of this file"
        );
    }
}

/// What is written today is the format that is checked in: a change of the format does not go unnoticed because the
/// program still reads the old one.
#[tokio::test]
async fn the_newest_format_is_the_one_that_is_written() {
    ready().await;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    write_golden(&path).await;
    let names = |root: &Path| -> Vec<PathBuf> {
        let files = files_below(root);
        let names = files.iter().map(|file| file.strip_prefix(root).unwrap().to_owned());
        names.filter(|name| name != Path::new("lock")).collect()
    };
    let kept = golden(NEWEST);
    assert_eq!(names(&path), names(&kept));
    for name in names(&kept) {
        let (mut now, mut then) =
            (std::fs::read(path.join(&name)).unwrap(), std::fs::read(kept.join(&name)).unwrap());
        if name.starts_with("log") || name.starts_with("audit") {
            // Markers of an idle writer and times are chance; the records are compared by what they say.
            now.truncate(VERSION_BYTES);
            then.truncate(VERSION_BYTES);
        }
        assert!(now == then, "{} is written differently now", name.display());
    }
}

/// Overwrites the version in a file; the checksums are right.
type Newer = fn(&mut Vec<u8>);

fn in_checked_body(bytes: &mut Vec<u8>, at: usize, version: u8) {
    bytes.truncate(bytes.len() - 4);
    bytes[at] = version;
    *bytes = checksummed(std::mem::take(bytes));
}

#[tokio::test]
async fn an_unknown_newer_version_of_any_file_is_refused_and_nothing_is_changed() {
    ready().await;
    let identity: Newer = |bytes| in_checked_body(bytes, 0, 99);
    let peers: Newer = |bytes| in_checked_body(bytes, 0, 99);
    let snapshot: Newer = |bytes| in_checked_body(bytes, 8, 99);
    let log: Newer = |bytes| {
        bytes[8] = 99;
        let header = checksummed(bytes[..60].to_vec());
        bytes[..64].copy_from_slice(&header);
    };
    for (place, newer) in [("identity", identity), ("peers", peers), ("snapshot/", snapshot), ("log/", log)] {
        let (_root, path) = copied(NEWEST);
        let named = |file: &PathBuf| {
            let name = file.strip_prefix(&path).unwrap().to_string_lossy().into_owned();
            if place.ends_with('/') { name.starts_with(place) } else { name == place }
        };
        let file = files_below(&path).into_iter().rfind(named).unwrap_or_else(|| panic!("no {place}"));
        let mut bytes = std::fs::read(&file).unwrap();
        newer(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let refused = open(&path).expect_err(place).to_string();
        assert!(refused.contains("99") && refused.contains("upgrade"), "{place}: {refused}");
        assert!(std::fs::read(&file).unwrap() == bytes, "{place} was changed");
    }
}
