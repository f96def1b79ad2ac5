//! openraft's state machine: the rule book's state in memory, fed by committed entries, kept by snapshots.
//!
//! Restarts from the newest snapshot plus the log. Invariants: entries are applied in order, each item of a batch one
//! by one; a response is sent only after its entry is applied; the state never goes back (S4).

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use futures::{Stream, StreamExt as _};
use interlock_core::book::NotUnderstood;
use interlock_core::{AuditChain, ClusterId, LogPosition, State};
use interlock_disk::DirectoryLock;
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::{broadcast, oneshot, watch};

use crate::audit::{AuditRecord, AuditTrail, EntryRecords};
use crate::batch::Batch;
use crate::chain_history::ChainHistory;
use crate::fatal::{Fatal, FatalError};
use crate::shadow::{self, Shadow, StandsAt};
use crate::snapshot::{self, SnapshotData, SnapshotError, SnapshotFiles};
use crate::types::{LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, Verdicts};

/// Applied entries that a slow subscriber may lag behind before it loses some (and is told so).
pub const APPLIED_CHANNEL_ENTRIES: usize = 4096;

/// The state and where in the log it stands.
#[derive(Debug)]
pub struct Applied {
    /// The rule book's state.
    pub state: State,
    /// The newest applied entry.
    pub last_applied: Option<LogId>,
    /// The newest applied membership.
    pub membership: StoredMembership,
    /// The audit chain after each of the newest entries.
    pub chains: ChainHistory,
}

impl Applied {
    /// A state as a snapshot holds it.
    fn covering(meta: SnapshotMeta, state: State) -> Applied {
        let mut chains = ChainHistory::default();
        if let Some(last) = &meta.last_log_id {
            chains.push(last.index(), state.audit_chain());
        }
        Applied { state, last_applied: meta.last_log_id, membership: meta.last_membership, chains }
    }
}

/// One applied entry with commands, for those who push grants and progress.
#[derive(Debug, Clone)]
pub struct AppliedEntry {
    /// The entry.
    pub log_id: LogId,
    /// Its commands.
    pub batch: Batch,
    /// The verdict of each.
    pub verdicts: Verdicts,
    /// The audit chain before the first.
    pub chain_before: AuditChain,
    /// The audit chain after each.
    pub chain: Vec<AuditChain>,
}

/// openraft's state machine. Clones share it.
#[derive(Debug, Clone)]
pub struct StateMachine {
    shared: Arc<Shared>,
}

/// Reads the applied state and hears of changes. Cheap to clone.
#[derive(Clone)]
pub struct StateHandle {
    shared: Arc<Shared>,
}

impl fmt::Debug for StateHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateHandle")
            .field("applied", &*self.shared.progress.borrow())
            .finish_non_exhaustive()
    }
}

/// Builds a snapshot of the state at the moment it was made.
#[derive(Debug)]
pub struct SnapshotBuilder {
    shared: Arc<Shared>,
    /// Comes from the second copy of the state; an error when that is not asked any more.
    encoded: Option<Result<oneshot::Receiver<Snapshot>, FatalError>>,
}

#[derive(Debug)]
struct Shared {
    cluster: ClusterId,
    applied: RwLock<Applied>,
    progress: watch::Sender<Option<LogId>>,
    entries: broadcast::Sender<Arc<AppliedEntry>>,
    snapshots: Mutex<SnapshotFiles>,
    fatal: Fatal,
    shadow: Shadow,
    audit: AuditTrail,
    /// Released after the audit trail has closed: fields are dropped in order.
    _lock: Arc<DirectoryLock>,
}

impl StateMachine {
    /// Starts from the newest snapshot, or from the state of a new cluster.
    pub(crate) fn new(
        cluster: ClusterId,
        snapshots: SnapshotFiles,
        state: Option<State>,
        audit: AuditTrail,
        fatal: Fatal,
        lock: Arc<DirectoryLock>,
    ) -> io::Result<StateMachine> {
        let start = match snapshots.current() {
            Some(current) => shadow::Start::Snapshot(current.meta, current.snapshot, cluster),
            None => shadow::Start::Empty(cluster),
        };
        let shadow = Shadow::start(start, fatal.clone())?;
        let meta = snapshots.current().map(|current| current.meta).unwrap_or_default();
        let state = state.unwrap_or_else(|| State::genesis(cluster));
        let applied = Applied::covering(meta, state);
        let shared = Shared {
            cluster,
            progress: watch::Sender::new(applied.last_applied),
            applied: RwLock::new(applied),
            entries: broadcast::Sender::new(APPLIED_CHANNEL_ENTRIES),
            snapshots: Mutex::new(snapshots),
            fatal,
            shadow,
            audit,
            _lock: lock,
        };
        Ok(StateMachine { shared: Arc::new(shared) })
    }

    #[cfg(test)]
    pub(crate) fn shadow(&self) -> &Shadow {
        &self.shared.shadow
    }

    /// A handle to read the state and hear of changes.
    pub fn handle(&self) -> StateHandle {
        StateHandle { shared: Arc::clone(&self.shared) }
    }
}

impl StateHandle {
    /// Calls `read` with the state, which does not change meanwhile: keep it short, apply waits for it.
    pub fn read<T>(&self, read: impl FnOnce(&Applied) -> T) -> T {
        read(&self.shared.applied.read().expect(NOT_POISONED))
    }

    /// The newest applied entry, now and later.
    pub fn progress(&self) -> watch::Receiver<Option<LogId>> {
        self.shared.progress.subscribe()
    }

    /// Each entry with commands, from now on, after it was applied. Entries inside a snapshot from another node are not
    /// among them; a subscriber that lags, or sees [`StateHandle::progress`] jump, reads the state instead.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<AppliedEntry>> {
        self.shared.entries.subscribe()
    }
}

/// A panic while the state was changed leaves it half changed: fail on, do not serve it.
const NOT_POISONED: &str = "nobody panicked while changing the state";

impl Shared {
    /// A command of a later release stops this node: nothing after it is applied, and nothing is answered.
    fn apply(
        &self,
        log_id: LogId,
        payload: Payload,
    ) -> Result<(Verdicts, Option<Arc<AppliedEntry>>), FatalError> {
        let mut applied = self.applied.write().expect(NOT_POISONED);
        assert!(applied.last_applied < Some(log_id), "entries are applied in order, each once");
        let entry = match payload {
            Payload::Blank => None,
            Payload::Membership(membership) => {
                applied.membership = StoredMembership::new(Some(log_id), membership);
                None
            }
            Payload::Normal(batch) => match apply_batch(&mut applied.state, log_id, batch) {
                Ok(entry) => Some(entry),
                Err(cause) => {
                    drop(applied);
                    return Err(self.fatal.stop(FatalError::TooOld { index: log_id.index(), cause }));
                }
            },
        };
        applied.last_applied = Some(log_id);
        let chain = applied.state.audit_chain();
        applied.chains.push(log_id.index(), chain);
        drop(applied);
        self.progress.send_replace(Some(log_id));
        let verdicts = entry.as_ref().map(|entry| entry.verdicts.clone()).unwrap_or_default();
        Ok((verdicts, entry.map(Arc::new)))
    }

    async fn install(&self, announced: &SnapshotMeta, data: SnapshotData) -> Result<(), io::Error> {
        let (meta, state) = snapshot::decode(&data, self.cluster).map_err(io::Error::other)?;
        if meta != *announced {
            let (found, announced) = (meta.last_log_id, announced.last_log_id);
            return Err(io::Error::other(SnapshotError::NotAsAnnounced { found, announced }));
        }
        self.check_not_back(meta.last_log_id)?;
        self.check_same_chain(meta.last_log_id, state.audit_chain())?;
        self.keep(Snapshot { meta: meta.clone(), snapshot: data })?;
        self.shadow.replace(meta.clone(), state.clone()).await?;
        let last_applied = meta.last_log_id;
        *self.applied.write().expect(NOT_POISONED) = Applied::covering(meta, state);
        self.progress.send_replace(last_applied);
        Ok(())
    }

    fn check_not_back(&self, found: Option<LogId>) -> Result<(), io::Error> {
        let applied = self.applied.read().expect(NOT_POISONED).last_applied;
        if found < applied {
            return Err(io::Error::other(SnapshotError::GoesBack { found, applied }));
        }
        Ok(())
    }

    /// A snapshot that contradicts what this node applied itself is not taken: one of the two is wrong, and the
    /// comparison with all nodes says which.
    fn check_same_chain(&self, found: Option<LogId>, chain: AuditChain) -> Result<(), io::Error> {
        let Some(log_index) = found.map(|found| found.index()) else { return Ok(()) };
        match self.applied.read().expect(NOT_POISONED).chains.at(log_index) {
            Some(ours) if ours != chain => {
                Err(io::Error::other(SnapshotError::OtherChain { log_index, ours, found: chain }))
            }
            _ => Ok(()),
        }
    }

    fn keep(&self, snapshot: Snapshot) -> Result<Snapshot, io::Error> {
        let mut files = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        files.keep(snapshot).map_err(|error| self.fatal.raise("write a snapshot", &error).into())
    }
}

fn apply_batch(state: &mut State, log_id: LogId, batch: Batch) -> Result<AppliedEntry, NotUnderstood> {
    let count = batch.commands().len();
    let chain_before = state.audit_chain();
    let (mut verdicts, mut chain) = (Vec::with_capacity(count), Vec::with_capacity(count));
    // A batch has far fewer than 2^32 items.
    for (item, command) in (0_u32..).zip(batch.commands()) {
        // Asked of the state as the items before it leave it.
        state.book().understands(command)?;
        verdicts.push(state.apply(LogPosition { log_index: log_id.index(), item }, command));
        chain.push(state.audit_chain());
    }
    Ok(AppliedEntry { log_id, batch, verdicts: Verdicts(verdicts), chain_before, chain })
}

/// When it is by this machine's clock, for people: ms since 1970, and `None` before.
fn wall_clock_ms() -> Option<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn audit_records(entry: &AppliedEntry) -> EntryRecords {
    let applied_at_ms = wall_clock_ms();
    let items = entry.batch.commands().iter().zip(&entry.verdicts.0).zip(&entry.chain);
    let records = (0_u32..)
        .zip(items)
        .map(|(item, ((command, verdict), chain))| AuditRecord {
            at: LogPosition { log_index: entry.log_id.index(), item },
            command: command.clone(),
            verdict: verdict.clone(),
            chain: *chain,
            applied_at_ms,
        })
        .collect();
    EntryRecords { before: entry.chain_before, records }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.shared.applied.read().expect(NOT_POISONED);
        Ok((applied.last_applied, applied.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            self.shared.fatal.check()?;
            let (entry, responder) = next?;
            let (log_id, payload) = (entry.log_id, entry.payload.clone());
            let (verdicts, applied) = self.shared.apply(entry.log_id, entry.payload)?;
            if let Some(responder) = responder {
                responder.send(verdicts);
            }
            self.shared.shadow.apply(log_id, payload).await?;
            let Some(applied) = applied else { continue };
            let (records, bytes) = (audit_records(&applied), applied.batch.encoded().len());
            // Nobody may be subscribed.
            let _ = self.shared.entries.send(applied);
            self.shared.audit.append(records, bytes).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let at = {
            let applied = self.shared.applied.read().expect(NOT_POISONED);
            StandsAt { last_applied: applied.last_applied, chain: applied.state.audit_chain() }
        };
        let encoded = self.shared.shadow.encode(at).await;
        SnapshotBuilder { shared: Arc::clone(&self.shared), encoded: Some(encoded) }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.shared.fatal.check()?;
        // The log forgets what was applied before it, too: the audit trail must have that first.
        self.shared.audit.sync().await?;
        self.shared.install(meta, snapshot).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner).current())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.shared.fatal.check()?;
        let encoded =
            self.encoded.take().ok_or_else(|| io::Error::other("a builder builds one snapshot"))??;
        // The log may forget what the snapshot covers, so the audit trail must have it first.
        self.shared.audit.sync().await?;
        let snapshot = match encoded.await {
            Ok(snapshot) => snapshot,
            Err(_) => return Err(self.shared.shadow.gone().into()),
        };
        let shared = Arc::clone(&self.shared);
        let kept = tokio::task::spawn_blocking(move || shared.keep(snapshot)).await;
        kept.map_err(io::Error::other)?
    }
}
