//! The store under test: how it is formatted and opened, what its log carries, and what the rule book makes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use interlock_core::cometbft::CometbftClaim;
use interlock_core::command::AddKey;
use interlock_core::{
    Action, ChainId, ChainIdentity, Claim, ClusterId, Command, Epoch, Holder, Incarnation, KeyId, KeyName,
    LogPosition, Policy, PublicKey, SignerId, State,
};
use interlock_disk::Disk;
use interlock_store::{
    AuditOptions, AuditRecord, Batch, Entry, Expected, FatalHook, FormatError, FormatSpec, FoundingMember,
    LeaderId, LogId, Mark, Payload, PeerRefused, Presence, Store, StoreOpenError, StoreOptions, TypeConfig,
    Vote, WalOptions, format,
};
use openraft::RaftLogReader as _;
use openraft::storage::RaftLogStorage as _;
use openraft::type_config::alias::OneshotReceiverOf;

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
const NODE_ID: u64 = 1;
/// No condition takes this long unless it never comes.
const DEADLINE: Duration = Duration::from_secs(20);

/// The answer to an append.
pub(crate) type Acknowledgement = OneshotReceiverOf<TypeConfig, Result<(), std::io::Error>>;

/// What a log holds.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct LogContents {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: Vec<Entry>,
}

impl std::fmt::Debug for LogContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = |id: &LogId| id.to_string();
        let (first, last) = (self.entries.first(), self.entries.last());
        let ends = first.zip(last).map(|(first, last)| (id(&first.log_id), id(&last.log_id)));
        let vote = self.vote.map(|vote| vote.to_string());
        write!(f, "vote {vote:?}, purged {:?}, entries {ends:?}", self.purged.as_ref().map(id))
    }
}

impl LogContents {
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.purged)
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.last().map_or(0, |id| id.index() + 1)
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&Entry> {
        let first = self.entries.first()?.log_id.index();
        self.entries.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    pub(crate) async fn read(store: &mut Store) -> Result<LogContents, std::io::Error> {
        let purged = store.log.get_log_state().await?.last_purged_log_id;
        let mut reader = store.log.get_log_reader().await;
        let entries = reader.try_get_log_entries(..).await?;
        Ok(LogContents { vote: reader.read_vote().await?, purged, entries })
    }
}

fn member(id: u64) -> FoundingMember {
    let address = |port: u64| format!("127.0.0.1:{}", port + id);
    FoundingMember { id, peer_address: address(7400), client_address: address(7500) }
}

/// Small segments, so that a life rolls and removes many. No index: it is no part of what is acknowledged.
pub(crate) fn options(segment_bytes: u64, on_fatal: FatalHook) -> StoreOptions {
    let mut options = StoreOptions::new(on_fatal);
    options.wal = WalOptions { segment_bytes, cache_bytes_max: 2 * 1024, ..WalOptions::default() };
    let segment_bytes = (segment_bytes / 2).max(4 * 1024);
    options.audit = AuditOptions { segment_bytes, index: false, ..AuditOptions::default() };
    options
}

pub(crate) fn format_store(disk: &dyn Disk, path: &Path, options: &StoreOptions) -> Result<(), FormatError> {
    let members = vec![member(1), member(2), member(3)];
    let spec = FormatSpec { cluster_id: CLUSTER, node_id: NODE_ID, incarnation: 0x1234, members };
    format(disk, path, &spec, &options.wal).map(drop)
}

pub(crate) fn open_store(
    disk: Arc<dyn Disk>,
    path: &Path,
    options: &StoreOptions,
) -> Result<Store, StoreOpenError> {
    Store::open(disk, path, Expected { node_id: NODE_ID, cluster_id: Some(CLUSTER) }, options)
}

pub(crate) fn leader(term: u64) -> LeaderId {
    LeaderId { term, node_id: NODE_ID }
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(leader(term), index)
}

/// An entry unlike any other by its serial number. Some add a key, so that the state grows; the others are refused,
/// which is a verdict like any other.
pub(crate) fn entry(log_id: LogId, serial: u64, commands: usize) -> Entry {
    let payload = match serial % 7 {
        0 => Payload::Blank,
        1 => Payload::Normal(Batch::new(vec![add_key(serial)]).unwrap()),
        _ => Payload::Normal(Batch::new(vec![release(serial); commands]).unwrap()),
    };
    Entry { log_id, payload }
}

fn add_key(serial: u64) -> Command {
    let mut public_key = [0; 32];
    public_key[..8].copy_from_slice(&serial.to_le_bytes());
    AddKey {
        name: KeyName::parse(&format!("key-{serial}")).unwrap(),
        chain: ChainIdentity::Cometbft(ChainId::parse("chain-1").unwrap()),
        public_key: PublicKey::new(&public_key).unwrap(),
        signers: vec![SignerId::parse("alpha").unwrap()],
        claim: Claim::Cometbft(CometbftClaim::floor(0)),
        policy: Policy::default(),
    }
    .into_command(CLUSTER)
}

fn release(serial: u64) -> Command {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(serial), give_back: None };
    Command { cluster: CLUSTER, key: KeyId([3; 32]), action }
}

/// Applies an entry as the store does; returns the audit records that it must leave.
pub(crate) fn apply_to(state: &mut State, entry: &Entry) -> Vec<AuditRecord> {
    let Payload::Normal(batch) = &entry.payload else { return Vec::new() };
    let places = (0_u32..).map(|item| LogPosition { log_index: entry.log_id.index(), item });
    let applied = places.zip(batch.commands()).map(|(at, command)| {
        let verdict = state.apply(at, command);
        AuditRecord { at, command: command.clone(), verdict, chain: state.audit_chain(), applied_at_ms: None }
    });
    applied.collect()
}

/// The reference: what the committed entries make of a new cluster's state.
pub(crate) fn replay<'a>(entries: impl Iterator<Item = &'a Entry>) -> (State, Vec<AuditRecord>) {
    let mut state = State::genesis(CLUSTER);
    let records = entries.flat_map(|entry| apply_to(&mut state, entry)).collect();
    (state, records)
}

/// Hears a peer with these data for the first time, or again.
pub(crate) fn hear_peer(store: &Store, node_id: u64, incarnation: u128) -> Result<(), PeerRefused> {
    let (opened, flushed) = (Mark::default(), Mark::default());
    store.peers.hear(node_id, &Presence { incarnation, run: 1, opened, flushed })
}

/// The newest records of the trail, once its thread has written up to `newest`.
pub(crate) fn settled(
    store: &Store,
    newest: Option<LogPosition>,
    count: usize,
) -> Result<Vec<AuditRecord>, String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut records = store.audit.tail(count).map_err(|error| error.to_string())?;
        // When a record was applied is no part of what must be equal.
        records.iter_mut().for_each(|record| record.applied_at_ms = None);
        let last = records.last().map(|record| record.at);
        if last >= newest {
            return Ok(records);
        }
        if Instant::now() > deadline {
            return Err(format!("the trail ends with {last:?}, it must reach {newest:?}"));
        }
        std::thread::yield_now();
    }
}
