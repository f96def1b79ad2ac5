//! The load: all keys of one signer process, each in a task of its own, and what they count together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::key::KeyUnderLoad;

/// What the tasks share with the one who kills.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Acknowledged approvals so far.
    pub(crate) acknowledged: watch::Sender<u64>,
    /// Checks after kills so far.
    pub(crate) checks: AtomicU64,
    /// Grows with each round of kills; each key then checks once.
    pub(crate) round: watch::Sender<u64>,
    stopped: AtomicBool,
}

/// What a task reports: the key has checked for this round, or found a broken promise.
pub(crate) type Checked = Result<u64, String>;

pub(crate) struct Load {
    pub(crate) shared: Arc<Shared>,
    pub(crate) checked: mpsc::UnboundedReceiver<Checked>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts asking with all keys.
    pub(crate) fn start(keys: Vec<KeyUnderLoad>) -> Load {
        let shared = Arc::new(Shared {
            acknowledged: watch::Sender::new(0),
            checks: AtomicU64::new(0),
            round: watch::Sender::new(0),
            stopped: AtomicBool::new(false),
        });
        let (sender, checked) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for key in keys {
            tasks.spawn(ask_for_ever(key, Arc::clone(&shared), sender.clone()));
        }
        Load { shared, checked, tasks }
    }

    pub(crate) async fn stop(mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.tasks.shutdown().await;
    }
}

async fn ask_for_ever(mut key: KeyUnderLoad, shared: Arc<Shared>, checked: mpsc::UnboundedSender<Checked>) {
    let mut round = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        let found = key.advance().await;
        if found.is_ok() {
            shared.acknowledged.send_modify(|count| *count += 1);
        }
        let wanted = *shared.round.borrow();
        let found = if found.is_ok() && wanted > round { key.check().await } else { found };
        let failed = found.is_err();
        if wanted > round || failed {
            round = wanted;
            shared.checks.fetch_add(1, Ordering::SeqCst);
            // The receiver is gone only when the run is over.
            let _ = checked.send(found.map(|()| round));
        }
        if failed {
            return;
        }
    }
}
