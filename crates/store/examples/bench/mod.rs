//! What the measurements share: a formatted store, many keys, and their approvals.
#![allow(dead_code, reason = "not every measurement uses all of it")]

use std::path::Path;
use std::sync::Arc;

use interlock_core::cometbft::{CometbftIntent, Position, Step, Timestamp};
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainId, ChainIdentity, ClusterId, Command, Digest, Epoch, Holder, Incarnation, Intent, KeyId,
    KeyName, NodeName, Policy, PublicKey, SignerId,
};
use interlock_disk::RealDisk;
use interlock_store::{
    Batch, Entry, Expected, FatalHook, FormatSpec, FoundingMember, LeaderId, LogId, Payload, Store,
    StoreOptions, format,
};
use openraft::StorageHelper;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};

const CLUSTER: ClusterId = ClusterId([1; 16]);
/// Commands in one entry while keys are added: a busy leader's batches are of this order.
const BATCH_COMMANDS: usize = 500;

pub(crate) fn make(path: &Path, options: &StoreOptions) {
    let address = || "127.0.0.1:1".to_owned();
    let member = FoundingMember { id: 1, peer_address: address(), client_address: address() };
    let spec = FormatSpec { cluster_id: CLUSTER, node_id: 1, incarnation: 5, members: vec![member] };
    format(&RealDisk, path, &spec, &options.wal).unwrap();
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions::new(FatalHook::stop_process())
}

/// Opens and replays, as openraft does at start.
pub(crate) async fn open(path: &Path, options: &StoreOptions) -> Store {
    let expected = Expected { node_id: 1, cluster_id: Some(CLUSTER) };
    let mut store = Store::open(Arc::new(RealDisk), path, expected, options).unwrap();
    StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.unwrap();
    store
}

/// Entries in order, each appended, committed and applied before the next.
pub(crate) struct Driver {
    pub(crate) store: Store,
    pub(crate) next: u64,
    keys: Vec<KeyId>,
}

impl Driver {
    pub(crate) fn new(store: Store) -> Driver {
        Driver { store, next: 0, keys: Vec::new() }
    }

    pub(crate) async fn commit(&mut self, commands: Vec<Command>) {
        let entry = entry(self.next, commands);
        let id = entry.log_id;
        self.store.log.blocking_append([entry.clone()]).await.unwrap();
        self.store.log.save_committed(Some(id)).await.unwrap();
        self.store.machine.apply(futures::stream::iter([Ok((entry, None))])).await.unwrap();
        self.next += 1;
    }

    /// Adds keys, each leased and with one approval.
    pub(crate) async fn add_keys(&mut self, count: u32) {
        let numbers: Vec<u32> = (0..count).collect();
        for numbers in numbers.chunks(BATCH_COMMANDS) {
            let adds: Vec<Command> = numbers.iter().map(|number| add_key(*number)).collect();
            let keys: Vec<KeyId> = adds.iter().map(|command| command.key).collect();
            self.commit(adds).await;
            self.commit(keys.iter().map(|key| acquire(*key)).collect()).await;
            self.commit(keys.iter().map(|key| approve(*key, 1)).collect()).await;
            self.keys.extend(keys);
        }
    }

    /// One entry of `count` approvals at this height, for keys in turn.
    pub(crate) async fn approvals(&mut self, first: usize, count: usize, height: u64) {
        let keys = (first..first + count).map(|number| self.keys[number % self.keys.len()]);
        let commands = keys.map(|key| approve(key, height)).collect();
        self.commit(commands).await;
    }
}

pub(crate) fn entry(index: u64, commands: Vec<Command>) -> Entry {
    let log_id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
    Entry { log_id, payload: Payload::Normal(Batch::new(commands).unwrap()) }
}

fn holder() -> Holder {
    Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) }
}

fn add_key(number: u32) -> Command {
    let mut public_key = [7; 32];
    public_key[..4].copy_from_slice(&number.to_be_bytes());
    AddKey {
        name: KeyName::parse(&format!("validator-{number}")).unwrap(),
        chain: ChainIdentity::Cometbft(ChainId::parse("chain-1").unwrap()),
        public_key: PublicKey::new(&public_key).unwrap(),
        signers: ["alpha", "beta", "gamma"].map(|name| SignerId::parse(name).unwrap()).to_vec(),
        claim: interlock_core::Claim::Cometbft(interlock_core::cometbft::CometbftClaim::floor(0)),
        policy: Policy::default(),
    }
    .into_command(CLUSTER)
}

fn acquire(key: KeyId) -> Command {
    Command { cluster: CLUSTER, key, action: Action::Acquire { holder: holder(), expected_epoch: Epoch(0) } }
}

fn approve(key: KeyId, height: u64) -> Command {
    let intent = CometbftIntent {
        position: Position { height, round: 0, step: Step::Precommit },
        block: Some(Digest([3; 32])),
        payload: Digest([4; 32]),
        timestamp: Timestamp { seconds: 1, nanos: 2 },
        node: NodeName::parse("node-a").unwrap(),
    };
    let action = Action::Approve { holder: holder(), epoch: Epoch(1), intent: Intent::Cometbft(intent) };
    Command { cluster: CLUSTER, key, action }
}
