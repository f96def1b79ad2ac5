//! Runs the detector on the leader, and proposes what it decides.

use crate::config::Failover;
use crate::failover::detector::{Cause, Decision, View};
use crate::failover::watch::Watch;
use crate::proposer::{ProposeError, Proposer};
use crate::sessions::Sessions;
use interlock_core::{Action, Command, Epoch, Holder, KeyId, Reason, Verdict};
use interlock_store::{StateHandle, StateMachine, TypeConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Longest pause between two looks.
const TICK: Duration = Duration::from_millis(20);

/// What the driver works with.
pub(crate) struct Driver {
    pub(crate) raft: openraft::Raft<TypeConfig, StateMachine>,
    pub(crate) state: StateHandle,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) proposer: Proposer,
    pub(crate) settings: Failover,
}

/// Keys whose handover is on its way: each is proposed once, and its epoch makes a repeat harmless anyway.
type InFlight = Arc<Mutex<BTreeSet<KeyId>>>;

/// Runs until its task is aborted.
pub(crate) async fn run(driver: Driver) {
    let in_flight = InFlight::default();
    let mut watch = Watch::new(Instant::now());
    let mut alarmed: BTreeMap<KeyId, Cause> = BTreeMap::new();
    loop {
        let _ = tokio::time::timeout(TICK, driver.sessions.changed()).await;
        let now = Instant::now();
        match watch.look(driver.raft.is_leader(), now) {
            Some(watching_since) => look(&driver, &in_flight, &mut alarmed, now, watching_since),
            None => alarmed.clear(),
        }
    }
}

struct Step {
    key: KeyId,
    epoch: Epoch,
    to: Holder,
    cause: Cause,
}

fn look(
    driver: &Driver,
    in_flight: &InFlight,
    alarmed: &mut BTreeMap<KeyId, Cause>,
    now: Instant,
    watching_since: Instant,
) {
    let sessions = driver.sessions.snapshot();
    let view = View { sessions: &sessions, settings: &driver.settings, now, watching_since };
    let mut steps = Vec::new();
    driver.state.read(|applied| {
        for (key, record) in applied.state.keys() {
            match view.decide(key, record) {
                Decision::Keep => {
                    alarmed.remove(&key);
                }
                Decision::Move { to, cause } => {
                    alarmed.remove(&key);
                    steps.push(Step { key, epoch: record.epoch, to, cause });
                }
                Decision::NoCandidate { cause } => {
                    if alarmed.insert(key, cause) != Some(cause) {
                        warn!(key = %record.name, %cause, "no healthy candidate can take the lease over");
                    }
                }
            }
        }
    });
    for step in steps {
        if in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(step.key) {
            tokio::spawn(act(driver.proposer.clone(), driver.state.clone(), Arc::clone(in_flight), step));
        }
    }
}

async fn act(proposer: Proposer, state: StateHandle, in_flight: InFlight, step: Step) {
    let Step { key, epoch, to, cause } = step;
    let cluster = state.read(|applied| applied.state.cluster());
    let reason = Reason::parse(&format!("automatic: {cause}")).expect("a short printable text");
    let action = Action::Handover { expected_epoch: epoch, to: to.clone(), reason };
    match proposer.propose(Command { cluster, key, action }).await {
        Ok(Verdict::Granted(grant)) => {
            let previous = grant.previous.map_or_else(|| "nobody".to_owned(), |holder| holder.to_string());
            info!(%key, from = %previous, to = %grant.holder, epoch = %grant.epoch, %cause, "lease moved");
        }
        Ok(verdict) => info!(%key, rule = %verdict.rule(), "lease had moved already"),
        // Not committed, or unknown: the next look decides anew, and the expected epoch makes a repeat harmless.
        Err(error @ (ProposeError::NotCommitted { .. } | ProposeError::Unknown(_))) => {
            warn!(%key, to = %to, %cause, %error, "lease not moved yet");
        }
    }
    in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
}
