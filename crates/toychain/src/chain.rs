//! The chain: advances heights, and lets somebody outside kill, cut and tempt its nodes.

use crate::config::ChainConfig;
use crate::error::{DoubleSignError, DoubleSignOutcome, NodeError, NotConnected, StartError};
use crate::event::Event;
use crate::ledger::{Report, SignatureRecord};
use crate::node::{Attempt, Node};
use crate::shared::Shared;
use interlock_privval::{Address, Listener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// A chain ends here: its ledger keeps every signature in memory.
const HEIGHTS_MAX: i64 = 100_000;

/// How long an attempted double sign may take: the node may be waiting for an answer, or for a signer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A chain with its nodes. Dropping it stops everything.
pub struct Chain {
    shared: Arc<Shared>,
    heights: Arc<watch::Sender<i64>>,
    /// `None` while a node is stopped.
    nodes: Mutex<Vec<Option<RunningNode>>>,
    addresses: Vec<Address>,
    clock: Mutex<Option<JoinHandle<()>>>,
    pace: Arc<watch::Sender<Pace>>,
}

/// Whether heights pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Going,
    /// No height begins any more; the current one goes to its end.
    Stopping,
    Standing,
}

struct RunningNode {
    task: JoinHandle<()>,
    attempts: mpsc::Sender<Attempt>,
    cut: watch::Sender<()>,
}

impl RunningNode {
    /// Ends the node and returns when its sockets are closed.
    async fn kill(mut self) {
        self.task.abort();
        // All that an aborted task can say is that it was aborted.
        let _aborted = (&mut self.task).await;
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Chain {
    /// Starts the nodes: they listen, and take their signers in. No height passes before [`Chain::begin`].
    ///
    /// # Errors
    /// When the configuration cannot work or a node cannot listen.
    pub async fn start(config: ChainConfig) -> Result<Self, StartError> {
        if config.listen.is_empty() {
            return Err(StartError::NoNodes);
        }
        if config.block_interval_ms == 0 {
            return Err(StartError::NoBlockInterval);
        }
        let heights = Arc::new(watch::Sender::new(config.first_height.saturating_sub(1)));
        let shared = Arc::new(Shared::new(config));
        let mut nodes = Vec::new();
        let mut addresses = Vec::new();
        for (index, address) in shared.config.listen.iter().enumerate() {
            let listener = Listener::bind(address).await?;
            addresses.push(listener.local_address());
            nodes.push(Some(spawn_node(index, &shared, listener, &heights)));
        }
        let pace = Arc::new(watch::Sender::new(Pace::Going));
        Ok(Self { shared, heights, nodes: Mutex::new(nodes), addresses, clock: Mutex::new(None), pace })
    }

    /// Where the nodes listen, in the order of the configuration, with the ports that were chosen.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Everything that happens from now on. A receiver that falls thousands of events behind loses the oldest and is
    /// told.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.subscribe()
    }

    /// Waits until every node has its signer and has seen the right key.
    ///
    /// # Errors
    /// When that is not so within `timeout`.
    pub async fn wait_until_connected(&self, timeout: Duration) -> Result<(), NotConnected> {
        let mut connected = self.shared.connected.subscribe();
        let all = connected.wait_for(|nodes| nodes.iter().all(|is_connected| *is_connected));
        if let Ok(Ok(_)) = tokio::time::timeout(timeout, all).await {
            return Ok(());
        }
        let nodes = self.shared.connected.borrow();
        let missing =
            nodes.iter().enumerate().filter(|(_, is_connected)| !**is_connected).map(|(index, _)| index);
        Err(NotConnected { nodes: missing.collect(), waited_ms: timeout.as_millis() })
    }

    /// Lets the heights pass, from the configured first one. A second call changes nothing.
    pub async fn begin(&self) {
        let mut clock = self.clock.lock().await;
        if clock.is_none() {
            let pace = self.pace.clone();
            *clock = Some(tokio::spawn(pass_heights(self.shared.clone(), self.heights.clone(), pace)));
        }
    }

    /// Lets no further height begin, and returns when the current one has ended. Nodes and signers stay connected.
    /// Without effect when no height passes.
    pub async fn pause(&self) {
        if self.clock.lock().await.as_ref().is_none_or(JoinHandle::is_finished) {
            return;
        }
        let mut pace = self.pace.subscribe();
        self.pace.send_replace(Pace::Stopping);
        // The sender is ours, so the wait cannot fail.
        let _standing = pace.wait_for(|pace| *pace != Pace::Stopping).await;
    }

    /// Lets heights pass again.
    pub fn resume(&self) {
        self.pace.send_replace(Pace::Going);
    }

    /// The current height; one less than the first before [`Chain::begin`].
    pub fn height(&self) -> i64 {
        *self.heights.borrow()
    }

    /// The account so far.
    pub fn report(&self) -> Report {
        self.shared.ledger().report()
    }

    /// Every signature so far, in order.
    pub fn signatures(&self) -> Vec<SignatureRecord> {
        self.shared.ledger().records().to_vec()
    }

    /// The newest signature that a node got.
    pub fn last_signature(&self, node: usize) -> Option<SignatureRecord> {
        self.shared.ledger().last_of(node).cloned()
    }

    /// Waits for the first signature after `after` that reaches another node than `node`: the end of a failover away
    /// from it. `None` when there is none within `timeout` from now.
    pub async fn first_signature_elsewhere(
        &self,
        node: usize,
        after: Instant,
        timeout: Duration,
    ) -> Option<SignatureRecord> {
        let mut signatures = self.shared.signatures.subscribe();
        let search = async {
            loop {
                signatures.mark_unchanged();
                let found = self.shared.ledger().first_of_others(node, after).cloned();
                if found.is_some() || signatures.changed().await.is_err() {
                    return found;
                }
            }
        };
        tokio::time::timeout(timeout, search).await.ok().flatten()
    }

    /// Asks a node's signer for a vote for another block at the position of the newest vote that any node got.
    ///
    /// # Errors
    /// When the node cannot ask or the answer is unusable; see [`DoubleSignError`].
    pub async fn attempt_double_sign(&self, node: usize) -> Result<DoubleSignOutcome, DoubleSignError> {
        let attempts = self.with_running(node, |running| running.attempts.clone()).await?;
        let (sender, outcome) = oneshot::channel();
        let no_answer = |reason: &str| DoubleSignError::NoAnswer { reason: reason.to_owned() };
        let attempt = async {
            attempts.send(sender).await.map_err(|_| no_answer("the node was stopped"))?;
            outcome.await.map_err(|_| no_answer("the node was stopped"))?
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(no_answer("the node was busy or without signer for too long")),
        }
    }

    /// Kills a node: it closes its sockets and asks no more.
    ///
    /// # Errors
    /// When there is no such node or it is stopped.
    pub async fn stop_node(&self, node: usize) -> Result<(), NodeError> {
        let mut nodes = self.nodes.lock().await;
        let count = nodes.len();
        let slot = nodes.get_mut(node).ok_or(NodeError::NoSuchNode { node, count })?;
        let running = slot.take().ok_or(NodeError::Stopped { node })?;
        running.kill().await;
        self.shared.set_connected(node, false);
        self.shared.emit(Event::NodeStopped { node });
        Ok(())
    }

    /// Starts a stopped node again, on the same address.
    ///
    /// # Errors
    /// When there is no such node, it runs, or its address is taken.
    pub async fn start_node(&self, node: usize) -> Result<(), NodeError> {
        let mut nodes = self.nodes.lock().await;
        let count = nodes.len();
        let slot = nodes.get_mut(node).ok_or(NodeError::NoSuchNode { node, count })?;
        if slot.is_some() {
            return Err(NodeError::Running { node });
        }
        let listener = Listener::bind(&self.addresses[node]).await?;
        *slot = Some(spawn_node(node, &self.shared, listener, &self.heights));
        self.shared.emit(Event::NodeStarted { node });
        Ok(())
    }

    /// Cuts a node's connection to its signer, also in the middle of a request. The signer may dial again.
    ///
    /// # Errors
    /// When there is no such node or it is stopped.
    pub async fn drop_connection(&self, node: usize) -> Result<(), NodeError> {
        self.with_running(node, |running| running.cut.send_replace(())).await
    }

    /// Stops everything and gives the final account.
    pub async fn stop(self) -> Report {
        if let Some(clock) = self.clock.lock().await.take() {
            clock.abort();
            let _aborted = clock.await;
        }
        for slot in self.nodes.lock().await.iter_mut() {
            if let Some(running) = slot.take() {
                running.kill().await;
            }
        }
        self.report()
    }

    async fn with_running<T>(
        &self,
        node: usize,
        act: impl FnOnce(&RunningNode) -> T,
    ) -> Result<T, NodeError> {
        let nodes = self.nodes.lock().await;
        let slot = nodes.get(node).ok_or(NodeError::NoSuchNode { node, count: nodes.len() })?;
        slot.as_ref().map(act).ok_or(NodeError::Stopped { node })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Some(clock) = self.clock.get_mut() {
            clock.abort();
        }
    }
}

fn spawn_node(
    index: usize,
    shared: &Arc<Shared>,
    listener: Listener,
    heights: &Arc<watch::Sender<i64>>,
) -> RunningNode {
    let (attempts, incoming) = mpsc::channel(1);
    let cut = watch::Sender::new(());
    let node = Node::new(index, shared.clone(), listener, heights.subscribe(), incoming, cut.subscribe());
    RunningNode { task: tokio::spawn(node.run()), attempts, cut }
}

async fn pass_heights(shared: Arc<Shared>, heights: Arc<watch::Sender<i64>>, pace: Arc<watch::Sender<Pace>>) {
    let mut going = pace.subscribe();
    let first = shared.config.first_height;
    let mut precommitted = shared.precommitted.subscribe();
    for height in first..first.saturating_add(HEIGHTS_MAX) {
        loop {
            pace.send_if_modified(|pace| {
                let is_stopping = *pace == Pace::Stopping;
                if is_stopping {
                    *pace = Pace::Standing;
                }
                is_stopping
            });
            // Not for `Going` alone: a pause that follows a resume at once may be all that is seen of the two.
            match going.wait_for(|pace| *pace != Pace::Standing).await.map(|pace| *pace) {
                Ok(Pace::Going) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let started_at = tokio::time::Instant::now();
        heights.send_replace(height);
        shared.emit(Event::HeightStarted { height });
        tokio::time::sleep_until(started_at + shared.config.block_interval()).await;
        let deadline = started_at + shared.config.precommit_wait();
        let ours = precommitted.wait_for(|highest| *highest >= height);
        let is_signed = matches!(tokio::time::timeout_at(deadline, ours).await, Ok(Ok(_)));
        shared.end_height(height, is_signed);
    }
}
