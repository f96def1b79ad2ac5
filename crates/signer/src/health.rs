//! What heartbeats tell the guard about each key.

use interlock_client::KeyHealth;
use interlock_core::KeyId;
use interlock_core::cometbft::Position;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// The health of one key; writes into the list that all sessions send.
#[derive(Debug, Clone)]
pub(crate) struct KeyBoard {
    board: Arc<watch::Sender<Vec<KeyHealth>>>,
    index: usize,
    connections: Arc<AtomicUsize>,
}

/// A board for each key, in order, and the list that sessions watch.
pub(crate) fn boards(keys: &[KeyId]) -> (Vec<KeyBoard>, watch::Receiver<Vec<KeyHealth>>) {
    let initial =
        |key: &KeyId| KeyHealth { key: *key, fit: true, node_connected: false, asked: None, signed: None };
    let (sender, receiver) = watch::channel(keys.iter().map(initial).collect());
    let board = Arc::new(sender);
    let of = |index| KeyBoard { board: Arc::clone(&board), index, connections: Arc::default() };
    ((0..keys.len()).map(of).collect(), receiver)
}

impl KeyBoard {
    fn change(&self, change: impl FnOnce(&mut KeyHealth)) {
        self.board.send_if_modified(|keys| {
            let Some(health) = keys.get_mut(self.index) else { return false };
            let before = health.clone();
            change(health);
            *health != before
        });
    }

    /// This key cannot be used any more by this process.
    pub(crate) fn unfit(&self) {
        self.change(|health| health.fit = false);
    }

    /// A node asked for this position. The newest request counts, not the highest: a wrong one must not stick.
    pub(crate) fn asked(&self, position: Position) {
        self.change(|health| health.asked = Some(position));
    }

    /// A signature left.
    pub(crate) fn signed(&self, position: Position) {
        self.change(|health| health.signed = health.signed.max(Some(position)));
    }

    /// A node is connected for as long as the value lives.
    pub(crate) fn connected(&self) -> Connected {
        self.connections.fetch_add(1, Ordering::AcqRel);
        self.change(|health| health.node_connected = true);
        Connected { board: self.clone() }
    }
}

/// A connected node.
#[derive(Debug)]
pub(crate) struct Connected {
    board: KeyBoard,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.board.connections.fetch_sub(1, Ordering::AcqRel);
        // Read inside the change, which excludes others: the last word is then never an outdated one.
        let connections = Arc::clone(&self.board.connections);
        self.board.change(|health| health.node_connected = connections.load(Ordering::Acquire) > 0);
    }
}
