//! Signer processes: the answers on their way to them, and what they keep in memory.

use super::describe;
use interlock_core::{
    Approved, ClusterId, Denial, Epoch, Holder, Intent, KeyId, Reserved, Watermark, Windows,
};
use std::collections::BTreeMap;

/// What one process knows of one key.
struct Process {
    windows: Windows,
    answers: BTreeMap<String, Reserved>,
    /// What the newest closing left to be given back.
    closed: Option<Watermark>,
}

pub(crate) struct Processes {
    /// The cluster that a process pins when it starts, which is when it is first named.
    cluster: ClusterId,
    by_holder: BTreeMap<(Holder, KeyId), Process>,
}

impl Processes {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        Self { cluster, by_holder: BTreeMap::new() }
    }

    /// Processes that start from now on pin another cluster.
    pub(crate) fn pin(&mut self, cluster: ClusterId) {
        self.cluster = cluster;
    }

    fn process(&mut self, holder: &Holder, key: KeyId) -> &mut Process {
        let cluster = self.cluster;
        self.by_holder.entry((holder.clone(), key)).or_insert_with(|| Process {
            windows: Windows::new(cluster, key, holder.clone()),
            answers: BTreeMap::new(),
            closed: None,
        })
    }

    /// The cluster has answered; the process hears it when it takes it.
    pub(crate) fn answer(&mut self, holder: &Holder, key: KeyId, name: &str, reserved: Reserved) {
        self.process(holder, key).answers.insert(name.to_owned(), reserved);
    }

    pub(crate) fn takes(&mut self, holder: &Holder, key: KeyId, name: &str) -> String {
        let process = self.process(holder, key);
        let answer = process.answers.get(name).unwrap_or_else(|| panic!("no answer is called {name}"));
        match process.windows.reserved(answer.clone()) {
            Ok(()) => {
                let up_to = process.windows.up_to_height().unwrap();
                format!("open up to height {up_to} under epoch {}", process.windows.epoch().unwrap())
            }
            Err(refused) => format!("refused: {refused}"),
        }
    }

    /// What the process says from memory; `None` without a window.
    pub(crate) fn signs(
        &mut self,
        holder: &Holder,
        key: KeyId,
        intent: &Intent,
    ) -> Option<Result<Approved, Denial>> {
        self.process(holder, key).windows.approve(intent)
    }

    pub(crate) fn closes(&mut self, holder: &Holder, key: KeyId, epoch: Epoch) -> String {
        let process = self.process(holder, key);
        process.closed = process.windows.close(epoch);
        let left = process.closed.as_ref().map_or_else(|| "nothing".into(), describe::watermark);
        format!("closed for good up to epoch {epoch}; to give back: {left}")
    }

    /// What the process gives back with its lease, if its last closing left anything.
    pub(crate) fn closed(&mut self, holder: &Holder, key: KeyId) -> Option<Watermark> {
        self.process(holder, key).closed.clone()
    }
}
