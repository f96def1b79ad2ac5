//! The process under test: works on a store until its storage fails, and prints each acknowledgement.
//!
//! A line is printed after the store has answered and before anything builds on it, so that whatever is durable later
//! was printed, or was asked for and not answered.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;

use interlock_disk::{Disk, RealDisk};
use interlock_store::{Entry, FatalHook, Store, StoreOptions, TypeConfig, Vote};
use openraft::StorageHelper;
use openraft::storage::{IOFlushed, RaftLogStorage as _, RaftSnapshotBuilder as _, RaftStateMachine as _};
use openraft::type_config::TypeConfigExt as _;

use super::sled_log;
use crate::arguments::WriteOptions;
use crate::common::{self, Acknowledgement, LogContents, entry, leader, log_id, open_store, options};
use crate::planted::Planted;

/// The store did not open.
pub(super) const EXIT_START_REFUSED: i32 = 4;
/// Appends that wait for their answer at once.
const IN_FLIGHT: usize = 6;
/// Acknowledged entries between two of each of these.
const APPLY_EVERY: u64 = 5;
const VOTE_EVERY: u64 = 17;
const SNAPSHOT_EVERY: u64 = 29;
/// Peers that are heard for the first time in one life.
const PEERS_PER_LIFE: u64 = 2;
/// The book of peers is bounded.
const PEERS_MAX: u64 = 900;

pub(super) fn store_options(on_fatal: FatalHook) -> StoreOptions {
    options(64 * 1024, on_fatal)
}

/// The entry that this life writes at this index. The life is its term.
pub(super) fn entry_of(life: u64, index: u64) -> Entry {
    entry(log_id(life, index), life << 32 | index, 1 + (index % 3) as usize)
}

/// The data that a peer has.
pub(super) fn incarnation(peer: u64) -> u128 {
    0x1_0000 + u128::from(peer)
}

/// Works until the storage fails, which ends the process.
pub(crate) fn write(options: &WriteOptions) -> ExitCode {
    if options.planted == Planted::Sled {
        return sled_log::write(options);
    }
    let disk: Arc<dyn Disk> = options.planted.disk(Arc::new(RealDisk));
    let store = open_store(disk, &options.directory.join("data"), &store_options(FatalHook::stop_process()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let worked = match store {
        Ok(store) => runtime.block_on(Writer::new(store, options.life).work()),
        Err(error) => Err(std::io::Error::other(error)),
    };
    // Most failures have ended the process before they come here.
    eprintln!("power_cut: {worked:?}");
    ExitCode::from(EXIT_START_REFUSED as u8)
}

struct Writer {
    store: Store,
    life: u64,
    waiting: VecDeque<(u64, Acknowledgement)>,
    /// Acknowledged entries that are not applied.
    ready: Vec<Entry>,
    votes: u64,
}

impl Writer {
    fn new(store: Store, life: u64) -> Writer {
        Writer { store, life, waiting: VecDeque::new(), ready: Vec::new(), votes: 0 }
    }

    async fn work(mut self) -> Result<(), std::io::Error> {
        let first = self.restart().await?;
        for index in first.. {
            self.append(index).await?;
            if index % APPLY_EVERY == 0 {
                self.apply().await?;
            }
            if index % VOTE_EVERY == 0 {
                self.vote().await?;
            }
            if index % SNAPSHOT_EVERY == 0 {
                self.snapshot().await?;
            }
            if index - first < PEERS_PER_LIFE {
                self.hear_peer(2 + self.life * PEERS_PER_LIFE + index - first)?;
            }
        }
        Ok(())
    }

    /// As openraft starts; then applies the whole log, as a new leader would have it done. Returns the next index.
    async fn restart(&mut self) -> Result<u64, std::io::Error> {
        let Store { log, machine, .. } = &mut self.store;
        let restarted = StorageHelper::new(log, machine).with_id(1).get_initial_state().await;
        restarted.map_err(std::io::Error::other)?;
        let log = LogContents::read(&mut self.store).await?;
        let applied = self.store.state.read(|applied| applied.last_applied);
        self.ready = log.entries.iter().filter(|entry| Some(entry.log_id) > applied).cloned().collect();
        self.apply().await?;
        Ok(log.next_index())
    }

    async fn append(&mut self, index: u64) -> Result<(), std::io::Error> {
        let (sender, receiver) = TypeConfig::oneshot();
        self.store.log.append([entry_of(self.life, index)], IOFlushed::signal(sender)).await?;
        self.waiting.push_back((index, receiver));
        while self.waiting.len() >= IN_FLIGHT {
            let (index, answer) = self.waiting.pop_front().expect("it was just seen");
            answer.await.map_err(std::io::Error::other)??;
            println!("append {index}");
            self.ready.push(entry_of(self.life, index));
        }
        Ok(())
    }

    async fn apply(&mut self) -> Result<(), std::io::Error> {
        let ready = std::mem::take(&mut self.ready);
        let Some(last) = ready.last().map(|entry| entry.log_id) else { return Ok(()) };
        self.store.log.save_committed(Some(last)).await?;
        let items = ready.into_iter().map(|entry| Ok((entry, None)));
        self.store.machine.apply(futures::stream::iter(items)).await
    }

    async fn vote(&mut self) -> Result<(), std::io::Error> {
        self.votes += 1;
        let term = self.life << 32 | self.votes;
        self.store.log.save_vote(&Vote { leader_id: leader(term), committed: false }).await?;
        println!("vote {term}");
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), std::io::Error> {
        let built = self.store.machine.get_snapshot_builder().await.build_snapshot().await?;
        let Some(covered) = built.meta.last_log_id else { return Ok(()) };
        println!("snapshot {}", covered.index());
        self.store.log.purge(covered).await
    }

    fn hear_peer(&mut self, peer: u64) -> Result<(), std::io::Error> {
        if peer < PEERS_MAX {
            common::hear_peer(&self.store, peer, incarnation(peer)).map_err(std::io::Error::other)?;
            println!("peer {peer}");
        }
        Ok(())
    }
}
