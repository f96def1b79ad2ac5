//! The signer's own watermark (S7), after `crates/signer/src/watermark.rs`: one mark signed and one pending
//! per kind of message, a floor, and for a window its last height.
//!
//! A mark that was signed is written lazily there; until then it stands on disk as pending, which counts the
//! same. So one copy is enough here, and a crash either keeps it or loses the pending mark of the request
//! under way.

use interlock_core::cometbft::Position as CometbftPosition;
use interlock_core::{Digest, Position, Watermark};

/// A position with what was signed there, or perhaps was; `None` when that is not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    pub(crate) payload: Option<Digest>,
}

/// The marks of one kind of message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Marks {
    signed: Option<Mark>,
    pending: Option<Mark>,
}

/// The watermark of one key on one signer's disk.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Local {
    floor_height: u64,
    /// Last height of a window that was opened; after a crash nobody knows what was signed in it.
    window_height: Option<u64>,
    kinds: [Marks; 2],
}

/// A mark made durable, until its outcome is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Attempt {
    pub(crate) mark: Mark,
    replaced: Option<Option<Mark>>,
}

#[derive(PartialEq, Eq)]
enum Place {
    Above,
    Same,
    Taken,
}

fn kind(position: Position) -> usize {
    usize::from(matches!(position, Position::EthereumAttestation { .. }))
}

/// Where a request stands against a mark of its kind.
fn place(asked: Mark, mark: Mark) -> Place {
    if asked == mark && mark.payload.is_some() {
        return Place::Same;
    }
    let above = match (asked.position, mark.position) {
        (
            Position::EthereumAttestation { source_epoch, target_epoch },
            Position::EthereumAttestation { source_epoch: source, target_epoch: target },
        ) => target_epoch > target && source_epoch >= source,
        (asked, mark) => asked > mark,
    };
    if above { Place::Above } else { Place::Taken }
}

impl Local {
    /// What enrolment writes: everything that the guard had settled counts as signed.
    pub(crate) fn enrolled(watermark: &Watermark) -> Self {
        let floor_height = watermark.floor_height().unwrap_or(0);
        let mut local = Self { floor_height, ..Self::default() };
        for (position, payload) in watermark.marks() {
            local.kinds[kind(position)].signed = Some(Mark { position, payload });
        }
        local
    }

    /// Whether this signer may ask for, and sign, this payload.
    pub(crate) fn allows(&self, asked: Mark) -> bool {
        let Marks { signed, pending } = self.kinds[kind(asked.position)];
        let places: Vec<Place> = signed.iter().chain(&pending).map(|mark| place(asked, *mark)).collect();
        if places.contains(&Place::Taken) {
            return false;
        }
        let floored = has_floor(asked.position) && asked.position.height() <= self.floor_height;
        places.contains(&Place::Same) || !floored
    }

    /// Makes a mark durable as pending; `None` when it is refused.
    pub(crate) fn begin(&mut self, mark: Mark) -> Option<Attempt> {
        if !self.allows(mark) {
            return None;
        }
        let marks = &mut self.kinds[kind(mark.position)];
        if marks.signed == Some(mark) || marks.pending == Some(mark) {
            return Some(Attempt { mark, replaced: None });
        }
        let replaced = marks.pending.replace(mark);
        Some(Attempt { mark, replaced: Some(replaced) })
    }

    pub(crate) fn signed(&mut self, mark: Mark) {
        let marks = &mut self.kinds[kind(mark.position)];
        marks.signed = Some(mark);
        marks.pending = None;
    }

    /// The mark was certainly not approved, or never reached the disk.
    pub(crate) fn withdraw(&mut self, attempt: Attempt) {
        if let Some(before) = attempt.replaced {
            self.kinds[kind(attempt.mark.position)].pending = before;
        }
    }

    /// Whether something is pending: asked for, and perhaps approved.
    pub(crate) fn is_pending(&self) -> bool {
        self.kinds.iter().any(|marks| marks.pending.is_some())
    }

    pub(crate) fn open_window(&mut self, up_to_height: u64) {
        self.window_height = self.window_height.max(Some(up_to_height));
    }

    pub(crate) fn close_window(&mut self) {
        self.window_height = None;
    }

    /// After a restart the signatures of an open window are forgotten, and its heights excluded.
    pub(crate) fn restarted(&mut self) {
        self.floor_height = self.floor_height.max(self.window_height.take().unwrap_or(0));
    }

    /// Highest height that this signer signed or may have signed.
    pub(crate) fn height(&self) -> u64 {
        let marks = self.kinds.iter().flat_map(|marks| marks.signed.iter().chain(&marks.pending));
        let highest = marks.map(|mark| mark.position.height()).max().unwrap_or(0);
        highest.max(self.floor_height).max(self.window_height.unwrap_or(0))
    }
}

fn has_floor(position: Position) -> bool {
    matches!(position, Position::Cometbft(CometbftPosition { .. }) | Position::Generic(_))
}
