//! What the nodes and the chain share: configuration, ledger, events, and what others wait for.

use crate::config::ChainConfig;
use crate::event::{Event, Step};
use crate::ledger::{Ledger, SignatureRecord};
use crate::request::{Answer, Request};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{broadcast, watch};

/// Events that a slow listener may be behind before it loses the oldest.
const EVENTS_MAX: usize = 4096;

pub(crate) struct Shared {
    pub(crate) config: ChainConfig,
    ledger: Mutex<Ledger>,
    events: broadcast::Sender<Event>,
    /// Highest height with a precommit of ours.
    pub(crate) precommitted: watch::Sender<i64>,
    /// Number of signatures; changes with each.
    pub(crate) signatures: watch::Sender<u64>,
    /// Which nodes have their signer.
    pub(crate) connected: watch::Sender<Vec<bool>>,
}

impl Shared {
    pub(crate) fn new(config: ChainConfig) -> Self {
        let node_count = config.listen.len();
        Self {
            precommitted: watch::Sender::new(config.first_height.saturating_sub(1)),
            config,
            ledger: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            signatures: watch::Sender::new(0),
            connected: watch::Sender::new(vec![false; node_count]),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .expect("nobody panics while holding the ledger, or the chain's word is worth nothing")
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn emit(&self, event: Event) {
        // No listener is no error: most runs have none.
        let _listeners = self.events.send(event);
    }

    pub(crate) fn set_connected(&self, node: usize, is_connected: bool) {
        self.connected.send_modify(|nodes| nodes[node] = is_connected);
    }

    /// Enters a verified signature into the ledger, then tells everybody.
    pub(crate) fn record(
        &self,
        node: usize,
        request: &Request,
        sign_bytes: Vec<u8>,
        signature: Vec<u8>,
        latency: Duration,
    ) {
        let (height, step) = (request.height(), request.step());
        let conflicts = {
            let mut ledger = self.ledger();
            // The clock is read under the lock, so that the ledger is in order of time.
            ledger.record(SignatureRecord {
                at: Instant::now(),
                wall_clock: SystemTime::now(),
                node,
                height,
                step,
                sign_bytes,
                signature,
            })
        };
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.emit(Event::Signed { node, height, step, latency_us });
        if conflicts {
            self.emit(Event::Conflict { height, step });
        }
        if step == Step::Precommit {
            self.precommitted.send_if_modified(|highest| {
                let is_higher = height > *highest;
                *highest = height.max(*highest);
                is_higher
            });
        }
        self.signatures.send_modify(|count| *count += 1);
    }

    /// Accounts for the answer to a step that the chain itself asked for.
    pub(crate) fn settle(&self, node: usize, request: &Request, answer: Answer, latency: Duration) {
        let (height, step) = (request.height(), request.step());
        match answer {
            Answer::Signed { sign_bytes, signature } => {
                self.record(node, request, sign_bytes, signature, latency)
            }
            Answer::Refused(error) => {
                self.ledger().count_refusal();
                self.emit(Event::Refused { node, height, step, description: error.description });
            }
            Answer::Invalid(fault) => {
                self.ledger().count_invalid();
                self.emit(Event::Invalid { node, height, step, reason: fault.to_string() });
            }
        }
    }

    pub(crate) fn end_height(&self, height: i64, is_signed: bool) {
        self.ledger().end_height(is_signed);
        self.emit(if is_signed { Event::HeightSigned { height } } else { Event::HeightMissed { height } });
    }
}
