//! Sessions: one stream to each guard node, for ever.
//!
//! A session tells the node how well we are and learns of leases and progress. It decides nothing: a view only says
//! whom to ask and when. Keeps: a node of another cluster is never used.

use crate::channels::status_text;
use crate::leader::LeaderClient;
use crate::view::{KeyView, Merged};
use interlock_core::cometbft::Position;
use interlock_core::{ClusterId, Incarnation, KeyId};
use interlock_proto::v1::guard_client::GuardClient as Rpc;
use interlock_proto::v1::{self, session_event, session_request};
use interlock_proto::{ConversionError, position_to_wire};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// First pause before a lost session is dialled again; doubles up to [`REDIAL_MAX`].
const REDIAL_MIN: Duration = Duration::from_millis(50);
/// Longest pause before a lost session is dialled again.
const REDIAL_MAX: Duration = Duration::from_millis(1_000);
/// Heartbeats that may wait to be sent. When they do not leave, the session is stalled.
const OUTBOX_MESSAGES: usize = 16;
/// Changes of health leave at once, but not more often than this.
const SEND_SPACING: Duration = Duration::from_millis(10);

/// How often to say what, and when to give a node up.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// A heartbeat leaves this often.
    pub heartbeat_interval: Duration,
    /// A session without an acknowledgement for this long is dropped and dialled again.
    pub stall_timeout: Duration,
}

/// Who we are.
#[derive(Debug, Clone)]
pub struct SessionIdentity {
    /// The cluster that this process trusts.
    pub cluster: ClusterId,
    /// This process.
    pub incarnation: Incarnation,
    /// Keys that it can sign for.
    pub keys: Vec<KeyId>,
}

/// Our ability to sign for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHealth {
    /// The key.
    pub key: KeyId,
    /// Local disk and key backend work.
    pub fit: bool,
    /// A validator node is connected.
    pub node_connected: bool,
    /// Newest position that this process was asked for; `None` before the first request.
    pub asked: Option<Position>,
    /// Newest position that this process signed; `None` before the first signature.
    pub signed: Option<Position>,
}

impl KeyHealth {
    fn to_wire(&self) -> v1::KeyHealth {
        v1::KeyHealth {
            key_id: self.key.0.to_vec(),
            fit: self.fit,
            node_connected: self.node_connected,
            asked: self.asked.map(position_to_wire),
            signed: self.signed.map(position_to_wire),
        }
    }
}

/// Running sessions. Dropping them ends all.
#[derive(Debug)]
pub struct Sessions {
    views: BTreeMap<KeyId, watch::Receiver<Option<KeyView>>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    leader: LeaderClient,
    identity: SessionIdentity,
    settings: SessionSettings,
    views: BTreeMap<KeyId, watch::Sender<Option<KeyView>>>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("no acknowledgement for {silent_ms} ms")]
    Stalled { silent_ms: u128 },
    #[error("the node closed it")]
    Closed,
    #[error("it belongs to cluster {answered}, this signer is enrolled in cluster {pinned}")]
    WrongCluster { pinned: ClusterId, answered: ClusterId },
    #[error("it refuses this signer: {0}")]
    Refused(String),
    #[error("the node calls itself {answered}, the configuration says {configured}")]
    WrongNode { configured: u64, answered: u64 },
    #[error("the node sent something malformed: {0}")]
    Malformed(#[from] ConversionError),
    #[error("the node did not begin with a welcome")]
    NoWelcome,
    #[error("this process shuts down")]
    ShuttingDown,
}

impl Sessions {
    /// Starts one session for each configured node. `health` is what heartbeats carry.
    #[must_use]
    pub fn start(
        leader: LeaderClient,
        identity: SessionIdentity,
        settings: SessionSettings,
        health: watch::Receiver<Vec<KeyHealth>>,
    ) -> Self {
        let views: BTreeMap<_, _> = identity.keys.iter().map(|key| (*key, watch::channel(None).0)).collect();
        let receivers = views.iter().map(|(key, view)| (*key, view.subscribe())).collect();
        let node_ids: Vec<u64> = leader.channels().node_ids().collect();
        let shared = Arc::new(Shared { leader, identity, settings, views });
        let mut tasks = JoinSet::new();
        for node_id in node_ids {
            tasks.spawn(keep_session(Arc::clone(&shared), node_id, health.clone()));
        }
        Self { views: receivers, _tasks: tasks }
    }

    /// What is known of a key; `None` inside until a node described it. `None` for a key that was not named at start.
    #[must_use]
    pub fn view(&self, key: KeyId) -> Option<watch::Receiver<Option<KeyView>>> {
        self.views.get(&key).cloned()
    }
}

async fn keep_session(shared: Arc<Shared>, node_id: u64, health: watch::Receiver<Vec<KeyHealth>>) {
    let mut pause = REDIAL_MIN;
    let mut complained = false;
    loop {
        let mut session = Session::new(&shared, node_id, health.clone());
        let end = session.run().await;
        let channels = shared.leader.channels();
        if session.welcomed {
            (pause, complained) = (REDIAL_MIN, false);
        }
        match &end {
            SessionEnd::ShuttingDown => return,
            SessionEnd::WrongCluster { .. } | SessionEnd::WrongNode { .. } | SessionEnd::Refused(_) => {
                channels.set_barred(node_id, true);
                pause = REDIAL_MAX;
                if !complained {
                    tracing::error!(node = node_id, "guard node is not used: {end}");
                }
            }
            _ if complained => tracing::debug!(node = node_id, "session with guard node ended: {end}"),
            _ => tracing::warn!(node = node_id, "session with guard node ended: {end}"),
        }
        complained = true;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REDIAL_MAX);
    }
}

struct Session<'a> {
    shared: &'a Shared,
    node_id: u64,
    health: watch::Receiver<Vec<KeyHealth>>,
    sequence: u64,
    welcomed: bool,
    last_ack: Instant,
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, node_id: u64, health: watch::Receiver<Vec<KeyHealth>>) -> Self {
        Self { shared, node_id, health, sequence: 0, welcomed: false, last_ack: Instant::now() }
    }

    async fn run(&mut self) -> SessionEnd {
        let settings = self.shared.settings;
        let (outbox, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
        if outbox.try_send(self.hello()).is_err() {
            return SessionEnd::ShuttingDown;
        }
        let Some(channel) = self.shared.leader.channels().channel(self.node_id) else {
            return SessionEnd::ShuttingDown;
        };
        let mut rpc = Rpc::new(channel);
        let opening = rpc.session(ReceiverStream::new(outgoing));
        let mut events = match tokio::time::timeout(settings.stall_timeout, opening).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return ended_by(&status),
            Err(_) => return SessionEnd::Stalled { silent_ms: settings.stall_timeout.as_millis() },
        };
        match tokio::time::timeout(settings.stall_timeout, self.welcome(&mut events)).await {
            Ok(Ok(())) => self.exchange(&outbox, &mut events).await,
            Ok(Err(end)) => end,
            Err(_) => SessionEnd::Stalled { silent_ms: settings.stall_timeout.as_millis() },
        }
    }

    fn hello(&self) -> v1::SessionRequest {
        let identity = &self.shared.identity;
        let hello = v1::Hello {
            cluster_id: identity.cluster.0.to_vec(),
            incarnation: identity.incarnation.0.to_vec(),
            key_ids: identity.keys.iter().map(|key| key.0.to_vec()).collect(),
        };
        v1::SessionRequest { kind: Some(session_request::Kind::Hello(hello)) }
    }

    fn heartbeat(&mut self) -> v1::SessionRequest {
        self.sequence += 1;
        let keys = self.health.borrow_and_update().iter().map(KeyHealth::to_wire).collect();
        let heartbeat = v1::Heartbeat { sequence: self.sequence, keys };
        v1::SessionRequest { kind: Some(session_request::Kind::Heartbeat(heartbeat)) }
    }

    async fn welcome(&mut self, events: &mut Streaming<v1::SessionEvent>) -> Result<(), SessionEnd> {
        let Some(session_event::Kind::Welcome(welcome)) = next(events).await? else {
            return Err(SessionEnd::NoWelcome);
        };
        let pinned = self.shared.identity.cluster;
        let answered = interlock_proto::cluster_id(&welcome.cluster_id)?;
        if answered != pinned {
            return Err(SessionEnd::WrongCluster { pinned, answered });
        }
        if welcome.node_id != self.node_id {
            return Err(SessionEnd::WrongNode { configured: self.node_id, answered: welcome.node_id });
        }
        self.shared.leader.channels().set_barred(self.node_id, false);
        self.welcomed = true;
        self.last_ack = Instant::now();
        tracing::info!(node = self.node_id, "session with guard node is open");
        Ok(())
    }

    async fn exchange(
        &mut self,
        outbox: &mpsc::Sender<v1::SessionRequest>,
        events: &mut Streaming<v1::SessionEvent>,
    ) -> SessionEnd {
        let settings = self.shared.settings;
        let mut health = self.health.clone();
        let mut ticks = tokio::time::interval(settings.heartbeat_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut earliest = Instant::now();
        loop {
            // In this order: a change that was taken note of, but not sent yet, would be lost to the other branches.
            let changed = async {
                tokio::time::sleep_until(earliest).await;
                health.changed().await
            };
            tokio::select! {
                event = next(events) => {
                    if let Err(end) = event.and_then(|event| self.receive(event)) {
                        return end;
                    }
                    continue;
                }
                _ = ticks.tick() => {}
                changed = changed => {
                    if changed.is_err() {
                        return SessionEnd::ShuttingDown;
                    }
                }
            }
            let silent = self.last_ack.elapsed();
            if silent > settings.stall_timeout {
                return SessionEnd::Stalled { silent_ms: silent.as_millis() };
            }
            earliest = Instant::now() + SEND_SPACING;
            // A full outbox means that nothing leaves; the acknowledgements will then stop, which ends the session.
            if let Err(mpsc::error::TrySendError::Closed(_)) = outbox.try_send(self.heartbeat()) {
                return SessionEnd::Closed;
            }
        }
    }

    fn receive(&mut self, event: Option<session_event::Kind>) -> Result<(), SessionEnd> {
        match event {
            Some(session_event::Kind::HeartbeatAck(ack)) => {
                self.last_ack = Instant::now();
                // Only the leader's own word counts: followers may repeat what is no longer so.
                if ack.leader == Some(self.node_id) {
                    self.shared.leader.remember(self.node_id);
                }
            }
            Some(session_event::Kind::KeyUpdate(update)) => self.update(&update)?,
            // Of a newer server: nothing we know how to use.
            Some(session_event::Kind::Welcome(_)) | None => {}
        }
        Ok(())
    }

    fn update(&self, update: &v1::KeyUpdate) -> Result<(), SessionEnd> {
        let (key, update) = KeyView::from_wire(update)?;
        let Some(view) = self.shared.views.get(&key) else { return Ok(()) };
        view.send_if_modified(|current| {
            let log_index = update.log_index;
            let merged = KeyView::merge(current, update);
            if merged == Merged::Contradiction {
                tracing::error!(
                    node = self.node_id, %key, log_index,
                    "guard node reports an older lease or position at a newer log index; not used"
                );
            }
            merged == Merged::News
        });
        Ok(())
    }
}

async fn next(events: &mut Streaming<v1::SessionEvent>) -> Result<Option<session_event::Kind>, SessionEnd> {
    match events.message().await {
        Ok(Some(event)) => Ok(event.kind),
        Ok(None) => Err(SessionEnd::Closed),
        Err(status) => Err(ended_by(&status)),
    }
}

fn ended_by(status: &tonic::Status) -> SessionEnd {
    match status.code() {
        // The node's own word, about its cluster first of all; a transport says none of these.
        tonic::Code::FailedPrecondition | tonic::Code::InvalidArgument | tonic::Code::PermissionDenied => {
            SessionEnd::Refused(status.message().to_owned())
        }
        _ => SessionEnd::Unreachable(status_text(status)),
    }
}
