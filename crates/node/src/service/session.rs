//! One session: heartbeats in, changes of lease and progress out.
//!
//! A signer that does not read its stream stops being read itself, and so counts as silent: nothing is buffered
//! without bound.

use crate::service::Shared;
use crate::sessions::KeyReport;
use interlock_core::{Holder, KeyId, KeyRecord, KeyState, SignerId};
use interlock_proto::{
    ConversionError, cluster_id, incarnation, key_id, lease_to_wire, position_from_wire, position_to_wire, v1,
};
use interlock_store::AppliedEntry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{debug, info};

/// Longest wait for the first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Events that may wait for a slow reader.
const EVENTS_WAITING_MAX: usize = 256;
/// Keys of one session.
const KEYS_MAX: usize = 100_000;

/// The stream of events to one signer.
pub(super) type SessionStream = ReceiverStream<Result<v1::SessionEvent, Status>>;

type Requests = Streaming<v1::SessionRequest>;
type Events = mpsc::Sender<Result<v1::SessionEvent, Status>>;

static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);

/// Accepts a session and serves it until either side ends it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    signer: SignerId,
    mut requests: Requests,
) -> Result<SessionStream, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, requests.message())
        .await
        .map_err(|_| Status::deadline_exceeded("a session begins with Hello"))??;
    let Some(v1::session_request::Kind::Hello(hello)) = first.and_then(|request| request.kind) else {
        return Err(Status::invalid_argument("a session begins with Hello"));
    };
    let (incarnation, keys) = parse_hello(&shared, &hello)?;
    let holder = Holder { signer, incarnation };
    let stream = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
    shared
        .sessions
        .open(&holder, stream, Instant::now())
        .map_err(|error| Status::resource_exhausted(error.to_string()))?;
    info!(%holder, keys = keys.len(), "session opened");
    let (events, out) = mpsc::channel(EVENTS_WAITING_MAX);
    let sent = keys.into_iter().map(|key| (key, None)).collect();
    let applied = shared.state.subscribe();
    let session = Session { shared, holder, stream, events, sent };
    tokio::spawn(session.run(requests, applied));
    Ok(ReceiverStream::new(out))
}

fn parse_hello(
    shared: &Shared,
    hello: &v1::Hello,
) -> Result<(interlock_core::Incarnation, Vec<KeyId>), Status> {
    let parse = || -> Result<_, ConversionError> {
        let keys: Result<Vec<KeyId>, _> = hello.key_ids.iter().map(|bytes| key_id(bytes)).collect();
        Ok((cluster_id(&hello.cluster_id)?, incarnation(&hello.incarnation)?, keys?))
    };
    let (cluster, incarnation, keys) =
        parse().map_err(|error| Status::invalid_argument(error.to_string()))?;
    let ours = shared.local.cluster;
    if cluster != ours {
        return Err(Status::failed_precondition(format!(
            "this is cluster {ours}, the signer expects {cluster}"
        )));
    }
    if keys.len() > KEYS_MAX {
        let count = keys.len();
        return Err(Status::invalid_argument(format!("{count} keys in one session: at most {KEYS_MAX}")));
    }
    Ok((incarnation, keys))
}

/// What was last sent about a key.
#[derive(Clone, PartialEq)]
struct Sent {
    lease: v1::Lease,
    active: bool,
    approved: Option<v1::CometbftPosition>,
}

struct Session {
    shared: Arc<Shared>,
    holder: Holder,
    stream: u64,
    events: Events,
    sent: BTreeMap<KeyId, Option<Sent>>,
}

/// The other side has gone.
struct Gone;

impl Session {
    async fn run(mut self, mut requests: Requests, mut applied: broadcast::Receiver<Arc<AppliedEntry>>) {
        let reason = match self.serve(&mut requests, &mut applied).await {
            Ok(()) => "ended by the signer".to_owned(),
            Err(reason) => reason,
        };
        self.shared.sessions.closed(&self.holder, self.stream, Instant::now());
        info!(holder = %self.holder, reason, "session closed");
    }

    async fn serve(
        &mut self,
        requests: &mut Requests,
        applied: &mut broadcast::Receiver<Arc<AppliedEntry>>,
    ) -> Result<(), String> {
        let gone = |Gone| "the signer stopped reading".to_owned();
        self.welcome().await.map_err(gone)?;
        self.update_all().await.map_err(gone)?;
        let mut stopping = self.shared.stopping.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stopping) => return Err("the node stops".to_owned()),
                request = requests.message() => match request {
                    Ok(Some(request)) => self.heartbeat(request).await?,
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(status.message().to_owned()),
                },
                event = applied.recv() => match event {
                    Ok(entry) => self.update_changed(&entry).await.map_err(gone)?,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        debug!(holder = %self.holder, missed, "session fell behind; sending all keys");
                        self.update_all().await.map_err(gone)?;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Err("the node stops".to_owned()),
                },
            }
        }
    }

    async fn send(&self, kind: v1::session_event::Kind) -> Result<(), Gone> {
        self.events.send(Ok(v1::SessionEvent { kind: Some(kind) })).await.map_err(|_| Gone)
    }

    async fn welcome(&self) -> Result<(), Gone> {
        let local = self.shared.local;
        let welcome = v1::Welcome { cluster_id: local.cluster.0.to_vec(), node_id: local.node_id };
        self.send(v1::session_event::Kind::Welcome(welcome)).await
    }

    async fn heartbeat(&mut self, request: v1::SessionRequest) -> Result<(), String> {
        let Some(v1::session_request::Kind::Heartbeat(heartbeat)) = request.kind else {
            return Err("only heartbeats follow Hello".to_owned());
        };
        let reports: Result<Vec<KeyReport>, ConversionError> = heartbeat.keys.iter().map(report).collect();
        let mut reports = reports.map_err(|error| error.to_string())?;
        reports.retain(|report| self.sent.contains_key(&report.key));
        self.shared.sessions.heard(&self.holder, self.stream, &reports, Instant::now());
        let ack = v1::HeartbeatAck { sequence: heartbeat.sequence, leader: self.shared.leader() };
        let sent = self.send(v1::session_event::Kind::HeartbeatAck(ack)).await;
        sent.map_err(|Gone| "the signer stopped reading".to_owned())
    }

    async fn update_all(&mut self) -> Result<(), Gone> {
        let keys: Vec<KeyId> = self.sent.keys().copied().collect();
        for key in keys {
            self.update(key).await?;
        }
        Ok(())
    }

    async fn update_changed(&mut self, entry: &AppliedEntry) -> Result<(), Gone> {
        for command in entry.batch.commands() {
            self.update(command.key).await?;
        }
        Ok(())
    }

    /// Sends the key's lease and progress, when they differ from what was sent before.
    async fn update(&mut self, key: KeyId) -> Result<(), Gone> {
        let Some(sent) = self.sent.get_mut(&key) else { return Ok(()) };
        let signer = &self.holder.signer;
        let Some((now, log_index)) = self.shared.state.read(|applied| {
            let record = applied.state.key(key).filter(|record| record.is_registered(signer))?;
            let log_index = applied.state.applied().map_or(0, |at| at.log_index);
            Some((describe(record), log_index))
        }) else {
            return Ok(());
        };
        if sent.as_ref() == Some(&now) {
            return Ok(());
        }
        *sent = Some(now.clone());
        let update = v1::KeyUpdate {
            key_id: key.0.to_vec(),
            lease: Some(now.lease),
            active: now.active,
            approved: now.approved,
            log_index,
        };
        self.send(v1::session_event::Kind::KeyUpdate(update)).await
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Also when the sender has gone: then the node has stopped already.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn describe(record: &KeyRecord) -> Sent {
    let last = record.watermark.cometbft().and_then(|watermark| watermark.last);
    Sent {
        lease: lease_to_wire(record.holder.as_ref(), record.epoch),
        active: matches!(record.state, KeyState::Active),
        approved: last.map(|last| position_to_wire(last.position)),
    }
}

fn report(wire: &v1::KeyHealth) -> Result<KeyReport, ConversionError> {
    Ok(KeyReport {
        key: key_id(&wire.key_id)?,
        fit: wire.fit,
        node_connected: wire.node_connected,
        asked: wire.asked.as_ref().map(position_from_wire).transpose()?,
        signed: wire.signed.as_ref().map(position_from_wire).transpose()?,
    })
}
