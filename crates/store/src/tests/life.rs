//! A log that lives through crashes beside a model of what it may hold.
//!
//! The model keeps the state after each operation. After any crash the log must hold exactly one of the states between
//! the last acknowledged operation and the last one asked for: nothing acknowledged is lost, nothing is invented, and
//! no operation takes effect before an earlier one.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlock_core::{Action, Command, Epoch, Holder, Incarnation, KeyId, SignerId};
use interlock_disk::sim::{Fault, FaultKind, SplitMix};
use interlock_disk::{Disk as _, Operation, SimDisk};
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use openraft::type_config::alias::OneshotReceiverOf;
use openraft::{RaftLogReader as _, impls};

use super::support::{CLUSTER, recording_hook};
use crate::fatal::Fatal;
use crate::wal::{self, Owner, PlantedBug, WalOptions};
use crate::{Batch, Entry, LeaderId, LogId, LogStore, Payload, TypeConfig, Vote};

pub(super) const OWNER: Owner = Owner(0xfeed);
const LOG: &str = "/log";

type Acknowledgement = OneshotReceiverOf<TypeConfig, Result<(), std::io::Error>>;

/// What a log holds.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Contents {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vote = self.vote.map(|vote| vote.to_string());
        let purged = self.purged.map(|purged| purged.to_string());
        write!(f, "vote {vote:?} purged {purged:?} entries")?;
        self.entries.iter().try_for_each(|entry| write!(f, " {}/{}", entry.log_id, entry.payload))
    }
}

impl Contents {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.purged)
    }

    fn next_index(&self) -> u64 {
        self.last().map_or(0, |id| id.index() + 1)
    }
}

/// One log over many crashes.
pub(super) struct Life {
    disk: SimDisk,
    options: WalOptions,
    random: SplitMix,
    /// States after each operation since the log was last opened; the first is what it was opened with.
    states: Vec<Contents>,
    acknowledged: usize,
    waiting: Vec<(usize, Acknowledgement)>,
    term: u64,
    serial: u64,
    /// Operations acknowledged in all lives.
    pub(super) acknowledged_total: u64,
}

pub(super) fn wal_options(planted: PlantedBug) -> WalOptions {
    WalOptions { segment_bytes: 8 * 1024, prepare_ahead: false, cache_bytes_max: 1024, planted }
}

pub(super) fn open_log(disk: &SimDisk, options: &WalOptions) -> Result<LogStore, String> {
    let (hook, _) = recording_hook();
    let lock = disk.lock(Path::new("/lock")).map_err(|error| error.to_string())?;
    let disk = Arc::new(disk.clone());
    LogStore::open(disk, PathBuf::from(LOG), OWNER, options, Fatal::new(hook), Arc::new(lock))
        .map_err(|error| error.to_string())
}

pub(super) fn create_log(disk: &SimDisk, options: &WalOptions) {
    disk.create_dir(Path::new(LOG)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    wal::create(disk, Path::new(LOG), OWNER, options).unwrap();
}

pub(super) async fn contents(log: &mut LogStore) -> Result<Contents, std::io::Error> {
    let state = log.get_log_state().await?;
    let mut reader = log.get_log_reader().await;
    let entries = reader.try_get_log_entries(..).await?;
    Ok(Contents { vote: reader.read_vote().await?, purged: state.last_purged_log_id, entries })
}

/// A batch of `count` commands, unlike any other by its serial number.
pub(super) fn batch(serial: u64, count: usize) -> Batch {
    let holder = Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) };
    let action = Action::Release { holder, epoch: Epoch(serial), give_back: None };
    Batch::new(vec![Command { cluster: CLUSTER, key: KeyId([3; 32]), action }; count]).unwrap()
}

impl Life {
    pub(super) fn new(seed: u64, planted: PlantedBug) -> Life {
        let mut options = wal_options(planted);
        // Some lives read most entries back from disk, others prepare segments on the other thread.
        options.prepare_ahead = seed % 4 == 3;
        let disk = SimDisk::new();
        create_log(&disk, &options);
        Life {
            disk,
            options,
            random: SplitMix::new(seed),
            states: vec![Contents::default()],
            acknowledged: 0,
            waiting: Vec::new(),
            term: 0,
            serial: 0,
            acknowledged_total: 0,
        }
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// One life: open, work, crash; then checks what is left. An error is a broken promise.
    pub(super) async fn live_and_crash(&mut self) -> Result<(), String> {
        let mut log = open_log(&self.disk, &self.options)?;
        let sync_fails = self.random.one_in(6);
        if sync_fails {
            let after = self.random.below(20);
            let fault = Fault::from_now(Operation::SyncData, LOG, FaultKind::Io);
            self.disk.inject(Fault { after, once: true, ..fault });
        } else {
            self.disk.cut_after(1 + self.random.below(80));
        }
        for _ in 0..40 {
            if self.operation(&mut log).await.is_break() {
                break;
            }
        }
        // Whether it went well does not matter here, only what was acknowledged.
        let _ = self.collect_acknowledged().await;
        drop(log);
        self.disk.clear_faults();
        // A process that dies leaves the kernel's memory; the next one must make durable what it finds there.
        if sync_fails || self.random.one_in(4) {
            self.disk.kill_process();
        } else {
            self.disk.power_cut(self.random.next_u64());
        }
        self.check_what_is_left().await
    }

    async fn check_what_is_left(&mut self) -> Result<(), String> {
        self.crash_while_opening();
        let found = self.read_log().await?;
        let allowed = &self.states[self.acknowledged..];
        if !allowed.contains(&found) {
            let (acknowledged, asked) = (&self.states[self.acknowledged], self.states.last());
            return Err(format!("found {found:?}\nacknowledged {acknowledged:?}\nasked for {asked:?}"));
        }
        self.disk.power_cut(self.random.next_u64());
        let again = self.read_log().await?;
        if again != found {
            return Err(format!("opened with {found:?}\nafter a power cut {again:?}"));
        }
        self.acknowledged_total += self.acknowledged as u64;
        self.states = vec![found];
        self.acknowledged = 0;
        Ok(())
    }

    /// Power may fail during recovery too, any number of times.
    fn crash_while_opening(&mut self) {
        while self.random.one_in(3) {
            self.disk.cut_after(1 + self.random.below(8));
            drop(open_log(&self.disk, &self.options));
            self.disk.power_cut(self.random.next_u64());
        }
    }

    async fn read_log(&self) -> Result<Contents, String> {
        let mut log = open_log(&self.disk, &self.options)?;
        contents(&mut log).await.map_err(|error| error.to_string())
    }

    async fn operation(&mut self, log: &mut LogStore) -> ControlFlow<()> {
        let state = self.states.last().cloned().unwrap_or_default();
        match self.random.below(20) {
            0..=11 => self.append(log, state).await,
            12..=13 => self.vote(log, state).await,
            14..=15 => self.truncate(log, state).await,
            16..=17 => self.purge(log, state).await,
            18 => match log.save_committed(state.last()).await {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
            _ => self.collect_acknowledged().await,
        }
    }

    async fn append(&mut self, log: &mut LogStore, mut state: Contents) -> ControlFlow<()> {
        let mut entries = Vec::new();
        for index in (state.next_index()..).take(1 + self.random.below(3) as usize) {
            self.serial += 1;
            let payload = if self.random.one_in(5) {
                Payload::Blank
            } else {
                let count = 1 + self.random.below(12) as usize;
                Payload::Normal(batch(self.serial, count))
            };
            let log_id = LogId::new(LeaderId { term: self.term, node_id: 1 }, index);
            entries.push(impls::Entry { log_id, payload });
        }
        for entry in &entries {
            // One record each: a crash may keep the first and lose the second.
            state.entries.push(entry.clone());
            self.states.push(state.clone());
        }
        let (sender, receiver) = TypeConfig::oneshot();
        if log.append(entries, IOFlushed::signal(sender)).await.is_err() {
            return ControlFlow::Break(());
        }
        self.waiting.push((self.states.len() - 1, receiver));
        if self.random.one_in(2) { self.collect_acknowledged().await } else { ControlFlow::Continue(()) }
    }

    async fn vote(&mut self, log: &mut LogStore, mut state: Contents) -> ControlFlow<()> {
        self.term += 1;
        let vote =
            Vote { leader_id: LeaderId { term: self.term, node_id: 1 }, committed: self.random.one_in(2) };
        state.vote = Some(vote);
        self.states.push(state);
        let result = log.save_vote(&vote).await;
        self.acknowledge_direct(result)
    }

    async fn truncate(&mut self, log: &mut LogStore, mut state: Contents) -> ControlFlow<()> {
        let kept = self.random.below(state.entries.len() as u64 + 1) as usize;
        state.entries.truncate(kept);
        let last = state.last();
        self.states.push(state);
        let result = log.truncate_after(last).await;
        self.acknowledge_direct(result)
    }

    async fn purge(&mut self, log: &mut LogStore, mut state: Contents) -> ControlFlow<()> {
        let position = self.random.below(state.entries.len() as u64 + 1) as usize;
        let id = match state.entries.get(position) {
            Some(entry) => entry.log_id,
            // Past the end, as after a snapshot from another node.
            None => LogId::new(LeaderId { term: self.term, node_id: 1 }, state.next_index() + 2),
        };
        state.entries.retain(|entry| entry.log_id.index() > id.index());
        state.purged = Some(id);
        self.states.push(state);
        let result = log.purge(id).await;
        self.acknowledge_direct(result)
    }

    fn acknowledge_direct(&mut self, result: Result<(), std::io::Error>) -> ControlFlow<()> {
        match result {
            Ok(()) => {
                self.acknowledged = self.states.len() - 1;
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }

    async fn collect_acknowledged(&mut self) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for (operation, receiver) in std::mem::take(&mut self.waiting) {
            match receiver.await {
                Ok(Ok(())) => self.acknowledged = self.acknowledged.max(operation),
                Ok(Err(_)) | Err(_) => flow = ControlFlow::Break(()),
            }
        }
        flow
    }
}
