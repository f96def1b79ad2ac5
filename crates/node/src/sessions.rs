//! Who is connected to this node, and how they are: memory only, no log entry.
//!
//! Every signer keeps a session with every node, so that a new leader's detector knows everybody at once.

use interlock_core::cometbft::Position;
use interlock_core::{Holder, KeyId, SignerId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a closed session is remembered.
const REMEMBER_CLOSED: Duration = Duration::from_secs(60);
/// Sessions of one signer name at once, closed ones included; the oldest closed one makes room.
const SESSIONS_PER_SIGNER_MAX: usize = 16;

/// What a signer process last said about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHealth {
    /// Local disk and key backend work.
    pub(crate) fit: bool,
    /// Since when the validator node is gone; `None` while it is connected.
    pub(crate) node_gone_since: Option<Instant>,
    /// Newest position it was asked for.
    pub(crate) asked: Option<Position>,
    /// Newest position it signed.
    pub(crate) signed: Option<Position>,
}

/// One signer process.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// When it last said anything.
    pub(crate) heard_at: Instant,
    /// When its stream ended; `None` while it is open.
    pub(crate) closed_at: Option<Instant>,
    /// What it said about each key.
    pub(crate) keys: BTreeMap<KeyId, KeyHealth>,
    stream: u64,
}

/// What a heartbeat says about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyReport {
    pub(crate) key: KeyId,
    pub(crate) fit: bool,
    pub(crate) node_connected: bool,
    pub(crate) asked: Option<Position>,
    pub(crate) signed: Option<Position>,
}

/// A signer has too many processes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "signer {signer} has {SESSIONS_PER_SIGNER_MAX} sessions already: stop the processes that are too many"
)]
pub(crate) struct TooManySessions {
    signer: SignerId,
}

type Table = BTreeMap<Holder, Session>;

/// All sessions of this node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
    changed: Notify,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent after each statement, so a panic elsewhere leaves nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process opened stream number `stream`. A newer stream of the same process replaces the older one.
    pub(crate) fn open(&self, holder: &Holder, stream: u64, now: Instant) -> Result<(), TooManySessions> {
        let mut table = self.table();
        table.retain(|_, session| !is_forgotten(session, now));
        make_room(&mut table, holder)?;
        let keys = table.remove(holder).map(|session| session.keys).unwrap_or_default();
        table.insert(holder.clone(), Session { heard_at: now, closed_at: None, keys, stream });
        drop(table);
        self.changed.notify_one();
        Ok(())
    }

    /// A heartbeat arrived.
    pub(crate) fn heard(&self, holder: &Holder, stream: u64, reports: &[KeyReport], now: Instant) {
        let mut table = self.table();
        let Some(session) = table.get_mut(holder).filter(|session| session.stream == stream) else { return };
        session.heard_at = now;
        let mut news = false;
        for report in reports {
            let before = session.keys.get(&report.key).copied();
            let gone_since = before.and_then(|health| health.node_gone_since);
            let node_gone_since = (!report.node_connected).then(|| gone_since.unwrap_or(now));
            let health =
                KeyHealth { fit: report.fit, node_gone_since, asked: report.asked, signed: report.signed };
            news |= before != Some(health);
            session.keys.insert(report.key, health);
        }
        drop(table);
        if news {
            self.changed.notify_one();
        }
    }

    /// Stream number `stream` of a process ended.
    pub(crate) fn closed(&self, holder: &Holder, stream: u64, now: Instant) {
        if let Some(session) = self.table().get_mut(holder)
            && session.stream == stream
        {
            session.closed_at = Some(now);
        }
        self.changed.notify_one();
    }

    /// Resolves when something changed that the detector may care about.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A copy for one look at everything.
    pub(crate) fn snapshot(&self) -> Table {
        self.table().clone()
    }
}

fn is_forgotten(session: &Session, now: Instant) -> bool {
    session.closed_at.is_some_and(|closed_at| now.duration_since(closed_at) > REMEMBER_CLOSED)
}

fn make_room(table: &mut Table, newcomer: &Holder) -> Result<(), TooManySessions> {
    let of_signer = |holder: &&Holder| holder.signer == newcomer.signer && **holder != *newcomer;
    if table.keys().filter(of_signer).count() < SESSIONS_PER_SIGNER_MAX {
        return Ok(());
    }
    let oldest_closed = table
        .iter()
        .filter(|(holder, _)| of_signer(holder))
        .filter_map(|(holder, session)| Some((session.closed_at?, holder.clone())))
        .min();
    let (_, oldest) = oldest_closed.ok_or_else(|| TooManySessions { signer: newcomer.signer.clone() })?;
    table.remove(&oldest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::Incarnation;

    fn holder(incarnation: u8) -> Holder {
        Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([incarnation; 16]) }
    }

    #[test]
    fn the_end_of_an_old_stream_does_not_close_the_new_one() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        sessions.open(&holder(1), 1, now).unwrap();
        sessions.open(&holder(1), 2, now).unwrap();
        sessions.closed(&holder(1), 1, now);
        assert_eq!(sessions.snapshot()[&holder(1)].closed_at, None);
        sessions.closed(&holder(1), 2, now);
        assert_eq!(sessions.snapshot()[&holder(1)].closed_at, Some(now));
    }

    #[test]
    fn the_time_since_when_a_node_is_gone_is_kept() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let report = |node_connected| KeyReport {
            key: KeyId([1; 32]),
            fit: true,
            node_connected,
            asked: None,
            signed: None,
        };
        let gone_since = || sessions.snapshot()[&holder(1)].keys[&KeyId([1; 32])].node_gone_since;
        let later = start + Duration::from_secs(1);
        sessions.open(&holder(1), 1, start).unwrap();
        sessions.heard(&holder(1), 1, &[report(false)], start);
        sessions.heard(&holder(1), 1, &[report(false)], later);
        assert_eq!(gone_since(), Some(start));
        sessions.heard(&holder(1), 1, &[report(true)], later);
        assert_eq!(gone_since(), None);
    }

    #[test]
    fn one_signer_cannot_fill_the_table() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        for incarnation in 0..16 {
            sessions.open(&holder(incarnation), 1, now).unwrap();
        }
        assert!(sessions.open(&holder(99), 1, now).is_err());
        sessions.closed(&holder(3), 1, now);
        sessions.open(&holder(99), 1, now).unwrap();
        assert!(!sessions.snapshot().contains_key(&holder(3)));
    }
}
