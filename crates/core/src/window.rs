//! Reserve-ahead: what one signer process keeps in memory of the windows that the cluster reserved for it.
//!
//! Inside a window no message crosses the network: the holder judges each payload here, by the rules and from the record
//! that the cluster committed with the window. Whoever may approve a height is therefore always one: the cluster below
//! the window and above it, this process inside.
//!
//! Keeps: at most one window per lease epoch, ever ([`Windows::close`] is for good), so that a late or repeated answer of the
//! cluster can not begin again from a record that this process has left behind. Not on disk: a new process is
//! another holder, and the cluster excludes the heights of a window whose holder it replaced.

use crate::denial::Denial;
use crate::ids::Epoch;
use crate::intent::{Intent, Judgement, Watermark};
use crate::verdict::{Approval, Approved, Reserved};

/// The windows of one key in one signer process, from its start to its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Windows {
    /// Newest epoch that a window was opened or closed in. Invariant: never falls.
    newest_epoch: Option<Epoch>,
    open: Option<Reserved>,
}

/// Why a reservation is not used. Nothing is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WindowRefused {
    /// It belongs to a lease in which this process has closed its window, or to one before.
    #[error("the window of epoch {reserved} is not used: epoch {closed} was closed here")]
    Closed {
        /// The epoch of the reservation.
        reserved: Epoch,
        /// The newest epoch that was closed or opened here.
        closed: Epoch,
    },
}

impl Windows {
    /// Takes a reservation from the cluster: opens the window, or extends the one that is open in the same epoch. An extension
    /// keeps what this process has approved since.
    ///
    /// # Errors
    /// When the reservation is of an epoch that this process has closed or left.
    pub fn reserved(&mut self, reserved: Reserved) -> Result<(), WindowRefused> {
        if let Some(open) = &mut self.open
            && open.epoch == reserved.epoch
        {
            open.up_to_height = open.up_to_height.max(reserved.up_to_height);
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

    /// Approves one payload from memory; `None` when no window is open, and the cluster has to be asked.
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
    let (approval, timestamp) = match open.watermark.judge(intent, open.epoch, open.policy)? {
        Judgement::Repeat(timestamp) => (Approval::Repeat, timestamp),
        Judgement::Advance => {
            let advanced = open.watermark.advance(intent, open.epoch);
            advanced.map_err(|invariant| Denial::Broken { invariant })?;
            (Approval::Fresh, intent.timestamp())
        }
    };
    Ok(Approved {
        approval,
        cluster: open.cluster,
        key: open.key,
        position: asked,
        payload: intent.payload(),
        timestamp,
        epoch: open.epoch,
        at: open.at,
    })
}
