//! What must hold after a crash. Each function checks one part of the store.

use interlock_store::{AuditRecord, LogId, PeerRefused, Store};
use openraft::StorageHelper;
use openraft::storage::{RaftLogStorage as _, RaftStateMachine as _};

use super::life::Life;
use crate::common::{LogContents, hear_peer, settled};

impl Life {
    /// Starts, checks log and snapshot, starts again, often after another cut: the same must be there, and the rest.
    pub(super) async fn check_what_is_left(&mut self) -> Result<(), String> {
        let (log, snapshot) = self.check_log_and_snapshot().await?;
        if self.random.one_in(2) {
            self.cut();
        }
        let mut store = self.open().map_err(|error| error.to_string())?;
        let again = LogContents::read(&mut store).await.map_err(|error| error.to_string())?;
        if again != log {
            return Err(format!("opened with {log:?}, the next start with {again:?}"));
        }
        let snapshot_again = store.state.read(|applied| applied.last_applied);
        if snapshot_again != snapshot {
            return Err(format!("the snapshot covered {snapshot:?}, at the next start {snapshot_again:?}"));
        }
        self.model.begin(log, snapshot);
        self.check_state(&mut store).await?;
        self.check_trail(&store)?;
        self.check_peers(&store)?;
        let log = LogContents::read(&mut store).await.map_err(|error| error.to_string())?;
        self.model.begin(log, snapshot);
        Ok(())
    }

    async fn check_log_and_snapshot(&self) -> Result<(LogContents, Option<LogId>), String> {
        let mut store = self.open().map_err(|error| error.to_string())?;
        let found = LogContents::read(&mut store).await.map_err(|error| error.to_string())?;
        let allowed = self.model.allowed();
        if !allowed.contains(&found) {
            let (acknowledged, asked) = (&allowed[0], allowed.last());
            return Err(format!("log {found:?}, acknowledged {acknowledged:?}, asked for {asked:?}"));
        }
        let snapshot = store.state.read(|applied| applied.last_applied);
        let was_asked = snapshot.is_some_and(|id| self.model.snapshots_asked.contains(&id));
        if snapshot < self.model.snapshot || (snapshot != self.model.snapshot && !was_asked) {
            let (acknowledged, asked) = (self.model.snapshot, &self.model.snapshots_asked);
            return Err(format!("snapshot {snapshot:?}, acknowledged {acknowledged:?}, asked for {asked:?}"));
        }
        let first = found.entries.first().map(|entry| entry.log_id.index());
        let covered = snapshot.map_or(0, |id| id.index() + 1);
        if first.is_some_and(|first| first > covered)
            || found.purged.map(|id| id.index()) > snapshot.map(|id| id.index())
        {
            return Err(format!("a gap: snapshot {snapshot:?}, log {found:?}"));
        }
        Ok((found, snapshot))
    }

    /// Applies what the log still has of the committed entries, as a leader would have it done.
    async fn check_state(&mut self, store: &mut Store) -> Result<(), String> {
        StorageHelper::new(&mut store.log, &mut store.machine)
            .with_id(1)
            .get_initial_state()
            .await
            .map_err(|error| format!("openraft cannot start: {error}"))?;
        let applied = store.state.read(|applied| applied.last_applied);
        let next = applied.map_or(0, |id| id.index() + 1);
        let log = self.model.newest();
        let committed = self.model.history.iter().skip(next as usize);
        let kept = committed.take_while(|entry| log.entry(entry.log_id.index()) == Some(*entry));
        let items: Vec<_> = kept.map(|entry| Ok((entry.clone(), None))).collect();
        store.machine.apply(futures::stream::iter(items)).await.map_err(|error| error.to_string())?;
        let (applied, state) = store.state.read(|applied| (applied.last_applied, applied.state.clone()));
        let end = applied.map_or(0, |id| id.index() + 1);
        let (expected, _) = self.model.reference(end);
        if state != expected {
            let (found, expected) = (state.audit_chain(), self.chain(end));
            return Err(format!(
                "the state after {applied:?} has chain {found:?}, it must have {expected:?}"
            ));
        }
        if let Some(newest) = log.last().filter(|_| self.model.conflict(&log).is_none())
            && store.log.get_log_state().await.map_err(|error| error.to_string())?.last_log_id < Some(newest)
        {
            return Err(format!("the start lost entries up to {newest}"));
        }
        self.model.applied = applied;
        Ok(())
    }

    /// Every applied item is in the trail once, but for those that came inside a snapshot of another node.
    fn check_trail(&self, store: &Store) -> Result<(), String> {
        let (_, expected) = self.model.reference(self.model.next_to_apply());
        let must = |record: &&AuditRecord| !self.model.inside_snapshots.contains(&record.at.log_index);
        let newest = expected.iter().rev().find(must).map(|record| record.at);
        let found = settled(store, newest, usize::MAX)?;
        let mut rest = expected.iter();
        for record in &found {
            // What is passed over is lacking.
            match rest.find(|known| known.at == record.at || must(known)) {
                Some(known) if known == record => {}
                Some(known) => return Err(format!("the trail lacks {}, {} follows", known.at, record.at)),
                None => return Err(format!("the trail invents {} or has it twice", record.at)),
            }
        }
        rest.find(must).map_or(Ok(()), |lacking| Err(format!("the trail ends before {}", lacking.at)))
    }

    fn check_peers(&self, store: &Store) -> Result<(), String> {
        for (node_id, incarnation) in &self.model.peers {
            match hear_peer(store, *node_id, incarnation + 1) {
                Err(PeerRefused::OtherData { known, .. }) if known == *incarnation => {}
                other => return Err(format!("peer {node_id} was forgotten: {other:?}")),
            }
        }
        Ok(())
    }
}
