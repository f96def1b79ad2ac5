//! The mark that peers are shown, over power cuts: an honest restart is never below it.

use interlock_disk::SimDisk;
use interlock_disk::sim::SplitMix;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};

use super::life::{batch, create_log, open_log, wal_options};
use crate::wal::PlantedBug;
use crate::{Entry, LeaderId, LogId, LogStore, Mark, Payload, Vote};

/// Crashes of one log before the next seed begins with a new one.
const CRASHES: u64 = 10;

/// A follower that obeys one leader after the other, as consensus would have it.
struct Follower {
    log: LogStore,
    term: u64,
    last: Option<LogId>,
    committed: u64,
}

impl Follower {
    async fn open(disk: &SimDisk, term: u64, committed: u64) -> Follower {
        let mut log = open_log(disk, &wal_options(PlantedBug::None)).unwrap();
        let last = log.get_log_state().await.unwrap().last_log_id;
        Follower { log, term, last, committed }
    }

    fn next_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    async fn step(&mut self, random: &mut SplitMix) -> Result<(), std::io::Error> {
        match random.below(8) {
            0 => self.follow_a_new_leader(random).await,
            1 if self.next_index() > 0 => {
                // Purged is only what a snapshot holds, and that was committed.
                self.committed = self.next_index() - 1;
                match self.last {
                    Some(last) => self.log.purge(last).await,
                    None => Ok(()),
                }
            }
            _ => self.append(random.below(4) + 1).await,
        }
    }

    /// The new leader does not have all of the uncommitted tail: cut first, append later.
    async fn follow_a_new_leader(&mut self, random: &mut SplitMix) -> Result<(), std::io::Error> {
        self.term += 1;
        let node_id = random.below(3);
        self.log.save_vote(&Vote::new(self.term, node_id)).await?;
        if random.one_in(3) {
            return Ok(());
        }
        self.log.save_vote(&Vote::new_committed(self.term, node_id)).await?;
        let uncommitted = self.next_index().saturating_sub(self.committed + 1);
        if uncommitted > 1 {
            let keep = self.committed + random.below(uncommitted);
            let state = self.log.get_log_state().await?;
            let first = state.last_purged_log_id.map_or(0, |purged| purged.index + 1);
            if keep >= first {
                let kept = self.entry_at(keep).await?;
                self.log.truncate_after(Some(kept)).await?;
                self.last = Some(kept);
            }
        }
        Ok(())
    }

    async fn entry_at(&mut self, index: u64) -> Result<LogId, std::io::Error> {
        use openraft::RaftLogReader as _;
        let entries = self.log.get_log_reader().await.try_get_log_entries(index..=index).await?;
        Ok(entries[0].log_id)
    }

    async fn append(&mut self, count: u64) -> Result<(), std::io::Error> {
        use openraft::RaftLogReader as _;
        let Some(vote) = self.log.get_log_reader().await.read_vote().await?.filter(|vote| vote.committed)
        else {
            return Ok(());
        };
        let leader_id = LeaderId { term: vote.leader_id.term, node_id: vote.leader_id.node_id };
        let first = self.next_index();
        let entries = (first..first + count).map(|index| Entry {
            log_id: LogId::new(leader_id, index),
            payload: Payload::Normal(batch(index, 1)),
        });
        self.log.blocking_append(entries.collect::<Vec<_>>()).await?;
        self.last = Some(LogId::new(leader_id, first + count - 1));
        Ok(())
    }
}

#[tokio::test]
async fn no_honest_restart_is_below_a_mark_that_was_shown() {
    let (mut restarts, mut risen) = (0, 0);
    for seed in 0..100 {
        let mut random = SplitMix::new(seed);
        let disk = SimDisk::new();
        create_log(&disk, &wal_options(PlantedBug::None));
        let mut shown = Mark::default();
        let (mut term, mut committed) = (0, 0);
        for crash in 0..CRASHES {
            let mut follower = Follower::open(&disk, term, committed).await;
            let opened = follower.log.flushed().opened();
            assert!(opened >= shown, "seed {seed}, crash {crash}: {opened} after {shown}");
            disk.cut_after(1 + random.below(40));
            let mut alive = true;
            while alive {
                alive = follower.step(&mut random).await.is_ok();
                // Messages leave at any time, also while a write is about to fail.
                let now = follower.log.flushed().now();
                assert!(now >= shown, "seed {seed}, crash {crash}: {now} after {shown}");
                shown = now;
            }
            restarts += 1;
            risen += u64::from(shown > opened);
            (term, committed) = (follower.term, follower.committed);
            drop(follower);
            disk.power_cut(random.next_u64());
        }
    }
    assert!(risen * 2 > restarts, "marks that do not rise prove nothing: {risen} of {restarts}");
}
