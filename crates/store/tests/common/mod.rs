//! A formatted store in a real directory, commands for it, and openraft's own way of restarting it.
#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking; not every test uses all of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::cometbft::CometbftClaim;
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainId, ChainIdentity, Claim, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, KeyName,
    Policy, PublicKey, SignerId,
};
use interlock_disk::{Disk, RealDisk};
use interlock_store::{
    Batch, Entry, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, LogId, Payload, Store,
    StoreOpenError, StoreOptions, format,
};
use openraft::StorageHelper;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);

pub(crate) struct Directory {
    _root: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

pub(crate) fn directory() -> Directory {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    Directory { _root: root, path, disk: Arc::new(RealDisk) }
}

pub(crate) fn spec(cluster_id: ClusterId) -> FormatSpec {
    let member = |id: u64| FoundingMember {
        id,
        peer_address: format!("127.0.0.1:{}", 7400 + id * 10),
        client_address: format!("127.0.0.1:{}", 7401 + id * 10),
    };
    FormatSpec { cluster_id, node_id: 1, incarnation: 0x1234, members: vec![member(1), member(2), member(3)] }
}

pub(crate) fn expected() -> Expected {
    Expected { node_id: 1, cluster_id: Some(CLUSTER) }
}

pub(crate) fn options() -> StoreOptions {
    let mut options = StoreOptions::new(FatalHook::new(|error| panic!("{error}")));
    options.wal.segment_bytes = 64 * 1024;
    options.audit.segment_bytes = 16 * 1024;
    options
}

impl Directory {
    pub(crate) fn format(&self) {
        format(self.disk.as_ref(), &self.path, &spec(CLUSTER), &options().wal).unwrap();
    }

    pub(crate) fn open(&self) -> Result<Store, StoreOpenError> {
        Store::open(Arc::clone(&self.disk), &self.path, expected(), &options())
    }

    /// Opens and replays as openraft does at start.
    pub(crate) async fn start(&self) -> Store {
        self.start_with(&options()).await
    }

    pub(crate) async fn start_with(&self, options: &StoreOptions) -> Store {
        let mut store = Store::open(Arc::clone(&self.disk), &self.path, expected(), options).unwrap();
        StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.unwrap();
        store
    }
}

pub(crate) fn log_id(index: u64) -> LogId {
    LogId::new(LeaderId { term: 1, node_id: 1 }, index)
}

pub(crate) fn add_key(number: u8) -> Command {
    let chain = ChainIdentity::Cometbft(ChainId::parse("chain-1").unwrap());
    AddKey {
        name: KeyName::parse(&format!("key-{number}")).unwrap(),
        chain,
        public_key: PublicKey::new(&[number; 32]).unwrap(),
        signers: vec![SignerId::parse("alpha").unwrap()],
        claim: Claim::Cometbft(CometbftClaim::floor(0)),
        policy: Policy::default(),
    }
    .into_command(CLUSTER)
}

pub(crate) fn acquire(key: KeyId, epoch: u64) -> Command {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    Command { cluster: CLUSTER, key, action: Action::Acquire { holder, expected_epoch: Epoch(epoch) } }
}

/// Entry `index` with two commands: a key is added, and acquired.
pub(crate) fn entry(index: u64) -> Entry {
    let add = add_key(u8::try_from(index).unwrap());
    let take = acquire(add.key, 0);
    entry_of(index, vec![add, take])
}

pub(crate) fn entry_of(index: u64, commands: Vec<Command>) -> Entry {
    Entry { log_id: log_id(index), payload: Payload::Normal(Batch::new(commands).unwrap()) }
}

/// Appends, commits and applies entries of these indexes.
pub(crate) async fn write(store: &mut Store, indexes: std::ops::Range<u64>) {
    let entries: Vec<Entry> = indexes.map(entry).collect();
    let last = entries.last().map(|entry| entry.log_id);
    store.log.blocking_append(entries.clone()).await.unwrap();
    store.log.save_committed(last).await.unwrap();
    let items = entries.into_iter().map(|entry| Ok((entry, None)));
    store.machine.apply(futures::stream::iter(items)).await.unwrap();
}

pub(crate) fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}
