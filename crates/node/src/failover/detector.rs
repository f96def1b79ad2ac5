//! The failure detector and the choice of a successor: pure, with time as data.

use crate::config::Failover;
use crate::sessions::{KeyHealth, Session};
use interlock_core::{Holder, KeyId, KeyRecord, KeyState, SignerId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Why the holder cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody holds the lease.
    NoHolder,
    /// The holder's process closed its session and did not come back.
    SessionClosed,
    /// The holder is silent.
    HeartbeatsMissed,
    /// The holder's disk or key backend does not work.
    Unfit,
    /// The holder's validator node is gone.
    NodeGone,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHolder => "nobody holds the lease",
            Self::SessionClosed => "session closed",
            Self::HeartbeatsMissed => "heartbeats missed",
            Self::Unfit => "signer unfit",
            Self::NodeGone => "validator node gone",
        })
    }
}

/// What should happen to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing.
    Keep,
    /// Grant it to `to`.
    Move { to: Holder, cause: Cause },
    /// It should move, but there is nobody to take it.
    NoCandidate { cause: Cause },
}

/// One look at the sessions.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) sessions: &'a BTreeMap<Holder, Session>,
    pub(crate) settings: &'a Failover,
    pub(crate) now: Instant,
    /// Since when this node watches as leader: what was silent before then is not held against anybody.
    pub(crate) watching_since: Instant,
}

impl View<'_> {
    /// Decides about one key.
    pub(crate) fn decide(&self, key: KeyId, record: &KeyRecord) -> Decision {
        if !matches!(record.state, KeyState::Active) {
            return Decision::Keep;
        }
        let Some(cause) = self.trouble(key, record.holder.as_ref()) else { return Decision::Keep };
        match self.successor(key, record) {
            Some(to) => Decision::Move { to, cause },
            None => Decision::NoCandidate { cause },
        }
    }

    /// What is wrong with the holder, once it has lasted long enough.
    fn trouble(&self, key: KeyId, holder: Option<&Holder>) -> Option<Cause> {
        let Some(holder) = holder else { return Some(Cause::NoHolder) };
        let heartbeat_timeout = Duration::from_millis(self.settings.heartbeat_timeout_ms);
        let Some(session) = self.sessions.get(holder) else {
            // Never seen by this node. It may be connecting, so it gets what a silent one gets.
            return self.lasted(self.watching_since, heartbeat_timeout).then_some(Cause::SessionClosed);
        };
        if let Some(closed_at) = session.closed_at {
            let grace = Duration::from_millis(self.settings.session_grace_ms);
            return self.lasted(closed_at, grace).then_some(Cause::SessionClosed);
        }
        if self.lasted(session.heard_at.max(self.watching_since), heartbeat_timeout) {
            return Some(Cause::HeartbeatsMissed);
        }
        let health = session.keys.get(&key)?;
        if !health.fit {
            return Some(Cause::Unfit);
        }
        let node_grace = Duration::from_millis(self.settings.node_grace_ms);
        health.node_gone_since.is_some_and(|since| self.lasted(since, node_grace)).then_some(Cause::NodeGone)
    }

    fn lasted(&self, since: Instant, long_enough: Duration) -> bool {
        self.now.saturating_duration_since(since) >= long_enough
    }

    /// The registered signer of highest priority that is fit for it now.
    pub(crate) fn successor(&self, key: KeyId, record: &KeyRecord) -> Option<Holder> {
        record.signers.iter().find_map(|signer| self.fit_process(key, record, signer))
    }

    /// The process of a signer that can take the key over: the one heard of last, when there are several.
    pub(crate) fn fit_process(&self, key: KeyId, record: &KeyRecord, signer: &SignerId) -> Option<Holder> {
        self.processes(signer)
            .filter(|(holder, _)| record.holder.as_ref() != Some(*holder))
            .filter(|(_, session)| session.keys.get(&key).is_some_and(|health| self.is_ready(health, record)))
            .max_by_key(|(_, session)| session.heard_at)
            .map(|(holder, _)| holder.clone())
    }

    /// Any live process of a signer that serves the key, whatever its health.
    pub(crate) fn live_process(&self, key: KeyId, signer: &SignerId) -> Option<Holder> {
        self.processes(signer)
            .filter(|(_, session)| session.keys.contains_key(&key))
            .max_by_key(|(_, session)| session.heard_at)
            .map(|(holder, _)| holder.clone())
    }

    fn processes(&self, signer: &SignerId) -> impl Iterator<Item = (&Holder, &Session)> {
        let timeout = Duration::from_millis(self.settings.heartbeat_timeout_ms);
        self.sessions.iter().filter(move |(holder, session)| {
            holder.signer == *signer && session.closed_at.is_none() && !self.lasted(session.heard_at, timeout)
        })
    }

    fn is_ready(&self, health: &KeyHealth, record: &KeyRecord) -> bool {
        health.fit && health.node_gone_since.is_none() && is_caught_up(health, record)
    }
}

/// Whether the candidate's own node has reached the height of the newest approval. A node asks for signatures only when
/// it has caught up with the chain; before the first approval of a key there is nothing to have caught up with.
fn is_caught_up(health: &KeyHealth, record: &KeyRecord) -> bool {
    let Some(last) = record.watermark.cometbft().and_then(|watermark| watermark.last) else { return true };
    health.asked.is_some_and(|asked| asked.height.saturating_add(1) >= last.position.height)
}
