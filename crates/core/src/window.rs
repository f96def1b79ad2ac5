//! Reserve-ahead: what one signer process keeps in memory of the windows that the cluster reserved for it.
//!
//! Inside a window no message crosses the network: the holder judges each payload here, by the rules and from the
//! record that the cluster committed with the window. While it is open the cluster approves nothing for the key, and
//! this process nothing beyond the end, so for every height one place decides.
//!
//! Keeps: at most one window per lease epoch, ever ([`Windows::close`] is for good), so that a late or repeated answer
//! of the cluster cannot begin again from a record that this process has left behind. Not on disk: a new process is
//! another holder, and the cluster excludes the heights of a window whose holder it replaced.

use crate::denial::Denial;
use crate::ids::{ClusterId, Epoch, Holder, KeyId};
use crate::intent::{Intent, Watermark};
use crate::signing::{self, Asked};
use crate::verdict::{Approved, Reserved};

/// The windows of one key in one signer process, from its start to its end, in the one cluster that it has pinned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Windows {
    cluster: ClusterId,
    key: KeyId,
    me: Holder,
    /// Newest epoch that a window was opened or closed in. Invariant: never falls.
    newest_epoch: Option<Epoch>,
    open: Option<Reserved>,
}

/// Why a reservation is not used. Nothing is changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WindowRefused {
    /// It belongs to a lease in which this process has closed its window, or to one before.
    #[error("the window of epoch {reserved} is not used: this process had its window in epoch {closed}")]
    Closed {
        /// The epoch of the reservation.
        reserved: Epoch,
        /// The newest epoch that was closed or opened here.
        closed: Epoch,
    },
    /// It belongs to another process, key or cluster.
    #[error("the window belongs to {holder} for key {key} in cluster {cluster}, not to this process")]
    Foreign {
        /// Whose it is.
        holder: Holder,
        /// For which key.
        key: KeyId,
        /// In which cluster.
        cluster: ClusterId,
    },
}

impl Windows {
    /// The memory of a process that has just started: no window is open.
    #[must_use]
    pub fn new(cluster: ClusterId, key: KeyId, me: Holder) -> Self {
        Self { cluster, key, me, newest_epoch: None, open: None }
    }

    /// Takes a reservation from the cluster: opens the window, or extends the one that is open in the same epoch. An
    /// extension keeps what this process has approved since.
    ///
    /// # Errors
    /// When the reservation is not this process's, or of an epoch that it has closed or left.
    pub fn reserved(&mut self, reserved: Reserved) -> Result<(), WindowRefused> {
        if (reserved.cluster, reserved.key, &reserved.holder) != (self.cluster, self.key, &self.me) {
            let Reserved { cluster, key, holder, .. } = reserved;
            return Err(WindowRefused::Foreign { holder, key, cluster });
        }
        if let Some(open) = &mut self.open
            && open.epoch == reserved.epoch
        {
            if reserved.up_to_height > open.up_to_height {
                (open.up_to_height, open.at) = (reserved.up_to_height, reserved.at);
            }
            return Ok(());
        }
        if let Some(closed) = self.newest_epoch.filter(|newest| reserved.epoch <= *newest) {
            return Err(WindowRefused::Closed { reserved: reserved.epoch, closed });
        }
        self.newest_epoch = Some(reserved.epoch);
        self.open = Some(reserved);
        Ok(())
    }

    /// Last height of the open window.
    #[must_use]
    pub fn up_to_height(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.up_to_height)
    }

    /// Epoch of the open window.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.open.as_ref().map(|open| open.epoch)
    }

    /// Approves one payload from memory; `None` when no window is open, and the cluster has to be asked. Also when the
    /// lease has moved meanwhile: the heights of a window stay excluded for everybody else.
    ///
    /// # Errors
    /// When the payload lies beyond the window, or a rule for signing refuses it.
    pub fn approve(&mut self, intent: &Intent) -> Option<Result<Approved, Denial>> {
        self.open.as_mut().map(|open| approve(open, intent))
    }

    /// Ends the window of an epoch for good, before its lease is released, and says what the cluster shall be given
    /// back. Also without a window, so that none can be opened by an answer that is still under way.
    pub fn close(&mut self, epoch: Epoch) -> Option<Watermark> {
        self.newest_epoch = self.newest_epoch.max(Some(epoch));
        if self.open.as_ref().is_some_and(|open| open.epoch <= epoch) {
            return self.open.take().filter(|open| open.epoch == epoch).map(|open| open.watermark);
        }
        None
    }
}

fn approve(open: &mut Reserved, intent: &Intent) -> Result<Approved, Denial> {
    let asked = intent.position();
    if asked.height() > open.up_to_height {
        return Err(Denial::BeyondWindow { up_to_height: open.up_to_height, asked });
    }
    let lease = Asked { cluster: open.cluster, key: open.key, epoch: open.epoch, at: open.at };
    signing::judge_and_advance(&mut open.watermark, open.policy, lease, intent)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
