//! Compares this node's state with that of the others, all the time: the audit chain at one log index.
//!
//! Every node asks every other member for its value where it stood itself a moment ago, and judges for itself. A node
//! whose value a majority of the voters contradicts stops for good; where no value has a majority all stop, and serve
//! nobody until a majority confirms them. Invariant: silence proves nothing. Only answers count, only from members
//! whose certificate, cluster and data are known, and only at the same log index.

mod heard;
mod judge;

use crate::raft::ChainAsker;
pub(crate) use heard::Heard;
use interlock_core::AuditChain;
use interlock_disk::DiskError;
use interlock_store::{DivergenceMark, Membership, StateHandle};
use judge::{Judgement, Values};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, error, info};

/// Pause between two comparisons. The index that is compared is that of the comparison before, which healthy peers have
/// applied by then.
const INTERVAL: Duration = Duration::from_millis(1000);
/// Rounds in a row in which nodes differ and those who could decide are silent, after which nobody can be trusted.
const UNDECIDED_ROUNDS_MAX: u32 = 10;
/// Rounds between two alarms about the same peers.
const ALARM_ROUNDS: u32 = 30;

/// Why this node has stopped, once it has. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    text: Arc<OnceLock<String>>,
    /// Becomes true when the mark is on disk, or is known not to be.
    marked: watch::Sender<bool>,
}

impl Finding {
    fn new() -> Self {
        Self { text: Arc::default(), marked: watch::Sender::new(false) }
    }

    /// What was found, as soon as it was.
    pub(crate) fn get(&self) -> Option<&str> {
        self.text.get().map(String::as_str)
    }

    /// Waits until the process may end without losing the mark.
    pub(crate) async fn marked(&self) {
        let mut marked = self.marked.subscribe();
        // The sender lives as long as this handle.
        let _ = marked.wait_for(|marked| *marked).await;
    }
}

/// What the comparison needs.
pub(crate) struct Comparison {
    node_id: u64,
    state: StateHandle,
    asker: ChainAsker,
    heard: Heard,
    mark: DivergenceMark,
    finding: Finding,
    /// Becomes true, and stays so, once this node's state is not in doubt: until then it serves nobody.
    trusted: watch::Sender<bool>,
}

/// What the rest of the node hears from the comparison, and tells it.
pub(crate) struct Outlook {
    pub(crate) heard: Heard,
    /// Becomes true once this node may serve.
    pub(crate) trusted: watch::Receiver<bool>,
    pub(crate) finding: Finding,
}

impl Comparison {
    pub(crate) fn new(
        node_id: u64,
        state: StateHandle,
        asker: ChainAsker,
        mark: DivergenceMark,
    ) -> (Self, Outlook) {
        let (trusted, may_serve) = watch::channel(mark.doubt().is_none());
        let (heard, finding) = (Heard::default(), Finding::new());
        let outlook = Outlook { heard: heard.clone(), trusted: may_serve, finding: finding.clone() };
        (Self { node_id, state, asker, heard, mark, finding, trusted }, outlook)
    }
}

/// One value to compare, and what others have.
struct Round {
    log_index: u64,
    chain: AuditChain,
    membership: Membership,
    reports: BTreeMap<u64, AuditChain>,
}

/// What is remembered from one comparison to the next.
#[derive(Default)]
struct Progress {
    /// Where this node stood at the comparison before.
    stood_at: Option<u64>,
    undecided_rounds: u32,
    rounds_since_alarm: Option<u32>,
}

/// Compares until this node has to stop; returns what was found.
pub(crate) async fn run(mut comparison: Comparison) -> String {
    if let Some(doubt) = comparison.mark.doubt() {
        error!(
            alarm = "state-divergence",
            doubt, "this node serves nobody until a majority confirms its state"
        );
    }
    let mut progress = Progress::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let rounds = comparison.compare(&mut progress).await;
        let judged = rounds.iter().map(|round| (round.values(comparison.node_id).judge(), round));
        let Some((judgement, round)) = judged.max_by_key(|(judgement, _)| *judgement) else { continue };
        let values = || round.describe(comparison.node_id);
        progress.count(judgement);
        match judgement {
            Judgement::Agreed => {}
            Judgement::Contradicted => {
                let finding = format!("the majority contradicts this node: {}", values());
                return comparison.stop(finding, DivergenceMark::stop).await;
            }
            Judgement::OthersDiffer | Judgement::Undecided
                if progress.undecided_rounds < UNDECIDED_ROUNDS_MAX =>
            {
                if progress.alarm_is_due() {
                    let values = values();
                    error!(alarm = "state-divergence", %values, "nodes of this cluster have different states");
                }
            }
            Judgement::OthersDiffer | Judgement::Undecided | Judgement::NoMajority => {
                let finding = format!("no value has a majority: {}", values());
                return comparison.stop(finding, DivergenceMark::stop_in_doubt).await;
            }
        }
    }
}

impl Progress {
    fn count(&mut self, judgement: Judgement) {
        self.undecided_rounds = if judgement == Judgement::Undecided { self.undecided_rounds + 1 } else { 0 };
        self.rounds_since_alarm = self.rounds_since_alarm.map(|rounds| rounds + 1);
    }

    fn alarm_is_due(&mut self) -> bool {
        let due = self.rounds_since_alarm.is_none_or(|rounds| rounds >= ALARM_ROUNDS);
        if due {
            self.rounds_since_alarm = Some(0);
        }
        due
    }
}

impl Comparison {
    /// Asks everybody once. Returns what there is to judge.
    async fn compare(&mut self, progress: &mut Progress) -> Vec<Round> {
        let (round, newest) = self.next_round(progress.stood_at);
        progress.stood_at = newest;
        let mut rounds = Vec::new();
        if let Some(mut round) = round {
            round.reports = self.ask_all(&round).await;
            if round.values(self.node_id).confirmed() {
                self.heard.settle(round.log_index);
                self.confirmed().await;
            }
            rounds.push(round);
        }
        rounds.extend(self.heard_rounds());
        rounds
    }

    /// What to compare now, and where this node stands.
    fn next_round(&self, stood_at: Option<u64>) -> (Option<Round>, Option<u64>) {
        self.state.read(|applied| {
            let newest = applied.chains.newest().map(|(log_index, _)| log_index);
            let round = stood_at.and_then(|log_index| {
                let chain = applied.chains.at(log_index)?;
                let membership = applied.membership.membership().clone();
                Some(Round { log_index, chain, membership, reports: BTreeMap::new() })
            });
            (round, newest)
        })
    }

    /// Where somebody who asked has another value than this node, whether or not it still answers.
    fn heard_rounds(&self) -> Vec<Round> {
        let heard = self.heard.all();
        self.state.read(|applied| {
            let membership = applied.membership.membership();
            let differing = heard.into_iter().filter_map(|(log_index, mut reports)| {
                let chain = applied.chains.at(log_index)?;
                reports.retain(|id, _| *id != self.node_id && membership.get_node(id).is_some());
                let differs = reports.values().any(|theirs| *theirs != chain);
                differs.then(|| Round { log_index, chain, membership: membership.clone(), reports })
            });
            differing.collect()
        })
    }

    async fn ask_all(&self, round: &Round) -> BTreeMap<u64, AuditChain> {
        let others = round.membership.nodes().filter(|(id, _)| **id != self.node_id);
        let asked = others.map(|(id, node)| async move {
            match self.asker.ask(*id, node, round.log_index, round.chain).await {
                Ok(chain) => chain.map(|chain| (*id, chain)),
                // A peer that is down or behind is no news, and says nothing about anybody's state.
                Err(status) => {
                    debug!(peer = id, %status, "no audit chain to compare");
                    None
                }
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn confirmed(&mut self) {
        if self.mark.doubt().is_none() {
            return;
        }
        let mut mark = self.mark.clone();
        let removed = tokio::task::spawn_blocking(move || mark.confirmed().map(|()| mark)).await;
        match removed {
            Ok(Ok(mark)) => {
                self.mark = mark;
                self.trusted.send_replace(true);
                info!("a majority has the state of this node: it serves again");
            }
            Ok(Err(error)) => error!(%error, "the mark of doubt is still on disk"),
            Err(error) => error!(%error, "the mark of doubt is still on disk"),
        }
    }

    async fn stop(
        self,
        finding: String,
        leave: impl FnOnce(&DivergenceMark, &str) -> Result<(), DiskError> + Send + 'static,
    ) -> String {
        error!(alarm = "state-divergence", %finding, "this node stops");
        // Before the store refuses everything, so that whoever meets that knows why.
        let _first = self.finding.text.set(finding.clone());
        let (mark, text) = (self.mark, finding.clone());
        match tokio::task::spawn_blocking(move || leave(&mark, &text)).await {
            Ok(Ok(())) => info!("the finding is on disk"),
            Ok(Err(error)) => error!(%error, "the finding is not on disk: do not start this node again"),
            Err(error) => error!(%error, "the finding is not on disk: do not start this node again"),
        }
        self.finding.marked.send_replace(true);
        finding
    }
}

impl Round {
    fn values(&self, own_id: u64) -> Values<'_> {
        let configs = self.membership.get_joint_config();
        Values { own_id, own: self.chain, reports: &self.reports, configs }
    }

    fn describe(&self, own_id: u64) -> String {
        let own = (own_id, self.chain);
        let all = std::iter::once(own).chain(self.reports.iter().map(|(id, chain)| (*id, *chain)));
        let values: Vec<String> = all.map(|(id, chain)| format!("node {id} has {chain}")).collect();
        format!("at log index {} {}", self.log_index, values.join(", "))
    }
}
