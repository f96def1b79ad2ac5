//! A second copy of the state, from which snapshots are made: apply never waits while one is encoded.
//!
//! Copying the state of 100,000 keys takes far longer than signing may pause. So a thread of its own applies every
//! entry once more, behind the first copy, and encodes its own state when a snapshot is asked for; what is applied
//! meanwhile waits in its queue. Invariant: a snapshot is made only where both copies have the same audit chain; if
//! they differ, memory has failed and the process stops.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use interlock_core::{AuditChain, ClusterId, LogPosition, State};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::fatal::{Fatal, FatalError};
use crate::snapshot::{self, SnapshotData};
use crate::types::{LogId, Payload, Snapshot, SnapshotMeta, StoredMembership};

/// Entries that may wait for the thread; more make apply wait.
const QUEUE_ENTRIES_MAX: usize = 64 * 1024;
/// Most KiB of encoded commands that may wait for it.
const QUEUE_KIB_MAX: u32 = 64 * 1024;

/// Where both copies must stand when a snapshot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StandsAt {
    pub(crate) last_applied: Option<LogId>,
    pub(crate) chain: AuditChain,
}

/// The two copies differ.
#[derive(Debug, Error)]
#[error(
    "the two copies of the state in memory differ: after {applied:?} one has audit chain {chain}, the other stands at \
     {shadow:?}. This machine's memory fails"
)]
struct CopiesDiffer {
    applied: Option<LogId>,
    chain: AuditChain,
    shadow: StandsAt,
}

enum Job {
    Apply(LogId, Payload, Option<OwnedSemaphorePermit>),
    Replace(Box<Applied>),
    Encode(StandsAt, oneshot::Sender<Snapshot>),
    /// Stands still until the other side sends or goes, as a slow encoding does.
    #[cfg(test)]
    Hold(oneshot::Receiver<()>),
}

/// What the thread has.
pub(crate) struct Applied {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: State,
}

/// Where the thread begins. A snapshot is decoded by the thread, so that the start does not wait for it.
pub(crate) enum Start {
    Empty(ClusterId),
    Snapshot(SnapshotMeta, SnapshotData, ClusterId),
}

/// The handle. Dropping it ends the thread.
pub(crate) struct Shadow {
    sender: Option<mpsc::Sender<Job>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
    fatal: Fatal,
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

impl Shadow {
    pub(crate) fn start(start: Start, fatal: Fatal) -> std::io::Result<Shadow> {
        let (sender, jobs) = mpsc::channel(QUEUE_ENTRIES_MAX);
        let of_thread = fatal.clone();
        let thread = std::thread::Builder::new().name("interlock-shadow".to_owned());
        let thread = thread.spawn(move || run(start, jobs, &of_thread))?;
        let room = Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize));
        Ok(Shadow { sender: Some(sender), room, thread: Some(thread), fatal })
    }

    /// Hands an entry on that the first copy has applied.
    pub(crate) async fn apply(&self, log_id: LogId, payload: Payload) -> Result<(), FatalError> {
        let bytes = if let Payload::Normal(batch) = &payload { batch.encoded().len() } else { 0 };
        // Never more than the whole queue, or it would wait for ever.
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(QUEUE_KIB_MAX).min(QUEUE_KIB_MAX);
        // The semaphore is never closed, so this always gives a permit.
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        self.send(Job::Apply(log_id, payload, room)).await
    }

    /// Begins anew from an installed snapshot.
    pub(crate) async fn replace(&self, meta: SnapshotMeta, state: State) -> Result<(), FatalError> {
        self.send(Job::Replace(Box::new(Applied { meta, state }))).await
    }

    /// Asks for a snapshot of the state as it is after everything handed on so far.
    pub(crate) async fn encode(&self, at: StandsAt) -> Result<oneshot::Receiver<Snapshot>, FatalError> {
        let (answer, snapshot) = oneshot::channel();
        self.send(Job::Encode(at, answer)).await?;
        Ok(snapshot)
    }

    /// Keeps the thread busy until the sender sends or is dropped.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> oneshot::Sender<()> {
        let (release, until) = oneshot::channel();
        self.send(Job::Hold(until)).await.unwrap();
        release
    }

    /// The error of a thread that has ended, or will.
    pub(crate) fn gone(&self) -> FatalError {
        self.fatal.raise("make a snapshot", &std::io::Error::other("the thread of the second copy is gone"))
    }

    async fn send(&self, job: Job) -> Result<(), FatalError> {
        let sent = match &self.sender {
            Some(sender) => sender.send(job).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.gone()) }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the second copy panicked");
        }
    }
}

fn run(start: Start, mut jobs: mpsc::Receiver<Job>, fatal: &Fatal) {
    let mut copy = match begin(start) {
        Ok(copy) => copy,
        Err(error) => {
            fatal.raise("read the snapshot again", &error);
            return;
        }
    };
    let mut size = 0;
    while let Some(job) = jobs.blocking_recv() {
        let done = match job {
            Job::Apply(log_id, payload, _room) => {
                copy.apply(log_id, payload);
                Ok(())
            }
            #[cfg(test)]
            Job::Hold(until) => {
                let _ = until.blocking_recv();
                Ok(())
            }
            Job::Replace(with) => {
                copy = *with;
                Ok(())
            }
            Job::Encode(at, answer) => copy.encode(at, &mut size).map(|snapshot| {
                // Whoever asked may have been cancelled.
                let _ = answer.send(snapshot);
            }),
        };
        if let Err(error) = done {
            fatal.raise("make a snapshot", error.as_ref());
            return;
        }
    }
}

fn begin(start: Start) -> Result<Applied, snapshot::SnapshotError> {
    match start {
        Start::Empty(cluster) => {
            Ok(Applied { meta: SnapshotMeta::default(), state: State::genesis(cluster) })
        }
        Start::Snapshot(meta, data, cluster) => {
            snapshot::decode(&data, cluster).map(|(_, state)| Applied { meta, state })
        }
    }
}

impl Applied {
    fn apply(&mut self, log_id: LogId, payload: Payload) {
        match payload {
            Payload::Blank => {}
            Payload::Membership(membership) => {
                self.meta.last_membership = StoredMembership::new(Some(log_id), membership);
            }
            Payload::Normal(batch) => {
                for (item, command) in (0_u32..).zip(batch.commands()) {
                    self.state.apply(LogPosition { log_index: log_id.index(), item }, command);
                }
            }
        }
        self.meta.last_log_id = Some(log_id);
    }

    fn encode(&self, at: StandsAt, size: &mut usize) -> Result<Snapshot, Box<dyn std::error::Error>> {
        let shadow = StandsAt { last_applied: self.meta.last_log_id, chain: self.state.audit_chain() };
        if shadow != at {
            return Err(Box::new(CopiesDiffer { applied: at.last_applied, chain: at.chain, shadow }));
        }
        let data = snapshot::encode(&self.meta, &self.state, *size)?;
        // Room for some growth, so that the next one is written without copying it about.
        *size = data.len() + data.len() / 8;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: SnapshotData::from_bytes(data) })
    }
}
