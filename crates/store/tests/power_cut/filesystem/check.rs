//! What a file system must hold after a cut: everything that was printed, and nothing that was not asked for.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use interlock_core::State;
use interlock_disk::RealDisk;
use interlock_store::{AuditRecord, FatalHook, PeerRefused, Store};
use openraft::StorageHelper;
use openraft::storage::RaftStateMachine as _;

use super::sled_log;
use super::writer::{entry_of, incarnation, store_options};
use crate::common::{CLUSTER, LogContents, apply_to, format_store, hear_peer, open_store};
use crate::planted::Planted;

/// Newest records of the trail that are compared.
const TRAIL_RECORDS: usize = 500;

/// Promises of all writing processes so far.
#[derive(Debug)]
pub(super) struct Expected {
    planted: Planted,
    life: u64,
    /// The life that wrote each entry, by index.
    history: Vec<u64>,
    /// The first of the entries that this life has not acknowledged.
    acknowledged: u64,
    vote: u64,
    snapshot: Option<u64>,
    peers: BTreeSet<u64>,
    /// The state after all of `history`, and the newest records it left.
    reference: State,
    trail: VecDeque<AuditRecord>,
    /// Acknowledgements of this life.
    answered: u64,
}

impl Expected {
    /// Formats the store on a new file system.
    pub(super) fn format(directory: &Path, planted: Planted) -> Expected {
        if planted != Planted::Sled {
            let options = store_options(FatalHook::new(|error| panic!("{error}")));
            format_store(&RealDisk, &directory.join("data"), &options).unwrap();
        }
        Expected {
            planted,
            life: 0,
            history: Vec::new(),
            acknowledged: 0,
            vote: 0,
            snapshot: None,
            peers: BTreeSet::new(),
            reference: State::genesis(CLUSTER),
            trail: VecDeque::new(),
            answered: 0,
        }
    }

    pub(super) fn begin(&mut self, life: u64) {
        self.life = life;
        self.answered = 0;
    }

    /// Takes one line of the writing process.
    pub(super) fn acknowledged(&mut self, line: &str) {
        let (what, number) = line.split_once(' ').expect("a line is a word and a number");
        let number: u64 = number.parse().expect("a line is a word and a number");
        self.answered += 1;
        match what {
            "append" => self.acknowledged = self.acknowledged.max(number + 1),
            "vote" => self.vote = self.vote.max(number),
            "snapshot" => self.snapshot = self.snapshot.max(Some(number)),
            "peer" => drop(self.peers.insert(number)),
            other => panic!("the writing process printed {other}"),
        }
    }

    /// Opens what the cut left. Returns how many acknowledgements of the last life it holds.
    pub(super) fn check(&mut self, directory: &Path) -> Result<u64, String> {
        if self.planted == Planted::Sled {
            sled_log::check(directory, self.acknowledged)?;
            return Ok(self.answered);
        }
        let options = store_options(FatalHook::new(|_| ()));
        let opened = open_store(Arc::new(RealDisk), &directory.join("data"), &options);
        let mut store = opened.map_err(|error| format!("a start was refused: {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.check_store(&mut store))?;
        Ok(self.answered)
    }

    async fn check_store(&mut self, store: &mut Store) -> Result<(), String> {
        let log = LogContents::read(store).await.map_err(|error| error.to_string())?;
        let snapshot = store.state.read(|applied| applied.last_applied).map(|id| id.index());
        if snapshot < self.snapshot {
            return Err(format!("the snapshot covers {snapshot:?}, {:?} was acknowledged", self.snapshot));
        }
        let vote = log.vote.map_or(0, |vote| vote.leader_id.term);
        if vote < self.vote {
            return Err(format!("the vote is of term {vote}, {} was acknowledged", self.vote));
        }
        self.check_entries(&log, snapshot)?;
        self.check_state(store, &log).await?;
        self.check_trail(store)?;
        for peer in &self.peers {
            match hear_peer(store, *peer, incarnation(*peer) + 1) {
                Err(PeerRefused::OtherData { .. }) => {}
                other => return Err(format!("peer {peer} was forgotten: {other:?}")),
            }
        }
        Ok(())
    }

    /// Log and snapshot together hold all acknowledged entries without a gap, each as it was written.
    fn check_entries(&mut self, log: &LogContents, snapshot: Option<u64>) -> Result<(), String> {
        let covered = snapshot.map_or(0, |index| index + 1);
        let end = log.next_index().max(covered);
        if end < self.acknowledged || end < self.history.len() as u64 {
            let (acknowledged, known) = (self.acknowledged, self.history.len());
            return Err(format!(
                "entries end before {end}; acknowledged before {acknowledged}, seen before {known}"
            ));
        }
        if log.entries.first().is_some_and(|first| first.log_id.index() > covered) {
            return Err(format!("a gap: the snapshot covers {snapshot:?}, log {log:?}"));
        }
        // What nobody has seen before was written by the last life.
        while (self.history.len() as u64) < end {
            let entry = entry_of(self.life, self.history.len() as u64);
            self.trail.extend(apply_to(&mut self.reference, &entry));
            self.history.push(self.life);
        }
        self.trail.drain(..self.trail.len().saturating_sub(TRAIL_RECORDS));
        self.acknowledged = end;
        let wrong = log.entries.iter().find(|entry| {
            let index = entry.log_id.index();
            **entry != entry_of(self.history[index as usize], index)
        });
        wrong.map_or(Ok(()), |entry| Err(format!("entry {} is not what was written", entry.log_id)))
    }

    async fn check_state(&self, store: &mut Store, log: &LogContents) -> Result<(), String> {
        StorageHelper::new(&mut store.log, &mut store.machine)
            .with_id(1)
            .get_initial_state()
            .await
            .map_err(|error| format!("openraft cannot start: {error}"))?;
        let applied = store.state.read(|applied| applied.last_applied);
        let rest = log.entries.iter().filter(|entry| Some(entry.log_id) > applied);
        let items: Vec<_> = rest.map(|entry| Ok((entry.clone(), None))).collect();
        store.machine.apply(futures::stream::iter(items)).await.map_err(|error| error.to_string())?;
        let state = store.state.read(|applied| applied.state.clone());
        if state != self.reference {
            let (found, expected) = (state.audit_chain(), self.reference.audit_chain());
            return Err(format!("the state has chain {found:?}, it must have {expected:?}"));
        }
        Ok(())
    }

    fn check_trail(&self, store: &Store) -> Result<(), String> {
        let newest = self.trail.back().map(|record| record.at);
        let found = crate::common::settled(store, newest, TRAIL_RECORDS)?;
        let expected = self.trail.iter().skip(self.trail.len().saturating_sub(found.len()));
        if found.len() < self.trail.len() || !found.iter().eq(expected) {
            return Err(format!("the newest {TRAIL_RECORDS} records of the trail are not what was applied"));
        }
        Ok(())
    }
}
