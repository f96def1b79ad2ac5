//! What a life does: everything that openraft and the node ask of a store, in random order.
//!
//! The model notes what is asked before it is asked, and what is acknowledged after. `Break` ends the life: the power
//! is off, or a write failed.

use std::ops::ControlFlow;

use interlock_store::{SnapshotData, SnapshotMeta, Store, StoredMembership, TypeConfig, Vote};
use openraft::storage::{IOFlushed, RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};
use openraft::type_config::TypeConfigExt as _;

use super::life::Life;
use crate::common::{self, LogContents, entry, format_store, leader, log_id, open_store, options};

type Flow = ControlFlow<()>;

impl Life {
    pub(super) async fn operation(&mut self, store: &mut Store) -> Flow {
        if let Some(index) = self.model.conflict(&self.model.newest()) {
            return self.truncate(store, index).await;
        }
        match self.random.below(24) {
            0..=9 => self.append(store).await,
            10..=11 => self.vote(store).await,
            12 => {
                let log = self.model.newest();
                let committed = self.model.history.len() as u64;
                let removable = log.next_index().saturating_sub(committed);
                let index = committed + self.random.below(removable + 1);
                if removable > 0 { self.truncate(store, index).await } else { Flow::Continue(()) }
            }
            13..=16 => self.commit_and_apply(store).await,
            17..=18 => self.build_snapshot(store).await,
            19 => self.purge(store).await,
            20 => self.install_snapshot(store).await,
            21..=22 => self.hear_peer(store),
            _ => self.collect_acknowledged().await,
        }
    }

    fn asked(&mut self, log: LogContents) {
        self.model.log.push(log);
    }

    /// The newest state of the log that was asked for is durable, and so is each before it.
    fn answer(&mut self, result: Result<(), std::io::Error>) -> Flow {
        if result.is_err() {
            return Flow::Break(());
        }
        self.model.log_acknowledged = self.model.log.len() - 1;
        self.answered += 1;
        Flow::Continue(())
    }

    async fn append(&mut self, store: &mut Store) -> Flow {
        let mut log = self.model.newest();
        let mut entries = Vec::new();
        for index in (log.next_index()..).take(1 + self.random.below(3) as usize) {
            self.serial += 1;
            let new = || entry(log_id(self.term, index), self.serial, 1 + (self.serial % 5) as usize);
            // What is committed comes again as it was.
            entries.push(self.model.history.get(index as usize).cloned().unwrap_or_else(new));
        }
        for entry in &entries {
            // One record each: a crash may keep the first and lose the second.
            log.entries.push(entry.clone());
            self.asked(log.clone());
        }
        let (sender, receiver) = TypeConfig::oneshot();
        if store.log.append(entries, IOFlushed::signal(sender)).await.is_err() {
            return Flow::Break(());
        }
        self.waiting.push((self.model.log.len() - 1, receiver));
        if self.random.one_in(2) { self.collect_acknowledged().await } else { Flow::Continue(()) }
    }

    async fn vote(&mut self, store: &mut Store) -> Flow {
        self.term += 1;
        let vote = Vote { leader_id: leader(self.term), committed: self.random.one_in(2) };
        self.asked(LogContents { vote: Some(vote), ..self.model.newest() });
        let result = store.log.save_vote(&vote).await;
        self.answer(result)
    }

    async fn truncate(&mut self, store: &mut Store, index: u64) -> Flow {
        let mut log = self.model.newest();
        log.entries.retain(|entry| entry.log_id.index() < index);
        let last = log.last();
        self.asked(log);
        let result = store.log.truncate_after(last).await;
        self.answer(result)
    }

    /// Commits a part of the log that is durable here, and applies it.
    async fn commit_and_apply(&mut self, store: &mut Store) -> Flow {
        if self.collect_acknowledged().await.is_break() {
            return Flow::Break(());
        }
        let (log, next) = (self.model.newest(), self.model.next_to_apply());
        let available = log.next_index().saturating_sub(next);
        let count = self.random.below(available.min(4) + 1);
        let mut items = Vec::new();
        for index in next..next + count {
            // An entry that is gone came inside a snapshot, which `applied` covers.
            let entry = log.entry(index).expect("what is behind the applied entries is in the log").clone();
            if index as usize == self.model.history.len() {
                self.model.history.push(entry.clone());
            }
            self.model.applied = Some(entry.log_id);
            items.push(Ok((entry, None)));
        }
        if store.log.save_committed(self.model.applied).await.is_err()
            || store.machine.apply(futures::stream::iter(items)).await.is_err()
        {
            return Flow::Break(());
        }
        Flow::Continue(())
    }

    async fn build_snapshot(&mut self, store: &mut Store) -> Flow {
        let Some(applied) = self.model.applied else { return Flow::Continue(()) };
        self.model.snapshots_asked.push(applied);
        let built = store.machine.get_snapshot_builder().await.build_snapshot().await;
        self.keep_snapshot(applied, built.map(drop))
    }

    fn keep_snapshot(&mut self, id: interlock_store::LogId, result: Result<(), std::io::Error>) -> Flow {
        if result.is_err() {
            return Flow::Break(());
        }
        self.model.snapshot = self.model.snapshot.max(Some(id));
        self.answered += 1;
        Flow::Continue(())
    }

    async fn purge(&mut self, store: &mut Store) -> Flow {
        let mut log = self.model.newest();
        let Some(covered) = self.model.snapshot.filter(|id| Some(id) > log.purged.as_ref()) else {
            return Flow::Continue(());
        };
        log.entries.retain(|entry| entry.log_id.index() > covered.index());
        log.purged = Some(covered);
        self.asked(log);
        let result = store.log.purge(covered).await;
        self.answer(result)
    }

    /// The cluster went on without this node, which gets a snapshot.
    async fn install_snapshot(&mut self, store: &mut Store) -> Flow {
        let committed = self.model.history.len() as u64;
        self.term += 1;
        for index in committed..committed + 1 + self.random.below(5) {
            self.serial += 1;
            self.model.history.push(entry(log_id(self.term, index), self.serial, 2));
        }
        let (meta, data) = self.leaders_snapshot().await;
        let covered = meta.last_log_id.expect("the leader has applied entries");
        let log = self.model.newest();
        if let Some(index) = self.model.conflict(&log) {
            let flow = self.truncate(store, index).await;
            if flow.is_break() {
                return flow;
            }
        }
        self.model.inside_snapshots.extend(self.model.next_to_apply()..=covered.index());
        self.model.snapshots_asked.push(covered);
        let installed = store.machine.install_snapshot(&meta, data).await;
        if self.keep_snapshot(covered, installed).is_break() {
            return Flow::Break(());
        }
        self.model.applied = Some(covered);
        self.purge(store).await
    }

    /// What another node that has applied all committed entries would send.
    async fn leaders_snapshot(&mut self) -> (SnapshotMeta, SnapshotData) {
        let disk = std::sync::Arc::new(interlock_disk::SimDisk::new());
        let hook = interlock_store::FatalHook::new(|error| panic!("the leader's disk is sound: {error}"));
        let (path, options) = (std::path::Path::new("/leader"), options(64 * 1024, hook));
        format_store(disk.as_ref(), path, &options).unwrap();
        let mut leader = open_store(disk, path, &options).unwrap();
        let items: Vec<_> = self.model.history.iter().map(|entry| Ok((entry.clone(), None))).collect();
        leader.machine.apply(futures::stream::iter(items)).await.unwrap();
        let built = leader.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert_eq!(built.meta.last_membership, StoredMembership::default());
        (built.meta, built.snapshot)
    }

    fn hear_peer(&mut self, store: &Store) -> Flow {
        let node_id = 2 + self.model.peers.len() as u64;
        let incarnation = self.incarnation(node_id);
        if common::hear_peer(store, node_id, incarnation).is_err() {
            return Flow::Break(());
        }
        self.model.peers.insert(node_id, incarnation);
        self.answered += 1;
        Flow::Continue(())
    }

    /// The data that a peer has: the same in each life.
    fn incarnation(&self, node_id: u64) -> u128 {
        0x1_0000 + u128::from(node_id)
    }

    pub(super) async fn collect_acknowledged(&mut self) -> Flow {
        let mut flow = Flow::Continue(());
        for (operation, receiver) in std::mem::take(&mut self.waiting) {
            match receiver.await {
                Ok(Ok(())) => {
                    self.model.log_acknowledged = self.model.log_acknowledged.max(operation);
                    self.answered += 1;
                }
                Ok(Err(_)) | Err(_) => flow = Flow::Break(()),
            }
        }
        flow
    }
}
