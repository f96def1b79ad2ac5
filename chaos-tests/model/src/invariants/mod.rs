//! What must hold, one file each. A step is judged when it is taken, by the world before and after it; the
//! liveness invariant is judged in every state.
//!
//! | invariant | file | of `docs/spec/rules.md` |
//! |---|---|---|
//! | no two conflicting signatures | `no_conflict.rs` | S1 |
//! | approve before sign | `approve_before_sign.rs` | S2 |
//! | one holder, epochs rise | `one_holder.rs` | S3 |
//! | no record falls | `monotone.rs` | S4 |
//! | absent means refuse | `absent_refuses.rs` | S6 |
//! | an unsigned approval blocks nothing | `nothing_blocks.rs` | R14 |
//! | core breaks no invariant of its own | `nothing_broken.rs` | R50 |

mod absent_refuses;
mod approve_before_sign;
mod monotone;
mod no_conflict;
mod nothing_blocks;
mod nothing_broken;
mod one_holder;

use crate::behaviour::{GuardModel, kept};
use crate::memo::Page;
use crate::signer::Basis;
use crate::world::{Request, World};
use interlock_core::Verdict;
use stateright::Property;
use std::sync::Arc;

/// What must hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Invariant {
    /// S1: no two signatures of a key conflict.
    NoConflict,
    /// S2: a signature follows its approval, or lies in a window of the very process.
    ApproveBeforeSign,
    /// S3: one holder, epochs rise, no approval under another epoch.
    OneHolder,
    /// S4: no record falls.
    Monotone,
    /// S6: nothing for an unknown key, nothing without a local watermark.
    AbsentRefuses,
    /// An approved, never signed payload blocks nothing that follows.
    NothingBlocks,
    /// No verdict is R50.
    NothingBroken,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoConflict,
        Self::ApproveBeforeSign,
        Self::OneHolder,
        Self::Monotone,
        Self::AbsentRefuses,
        Self::NothingBlocks,
        Self::NothingBroken,
    ];

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoConflict => "S1 no conflict",
            Self::ApproveBeforeSign => "S2 approve before sign",
            Self::OneHolder => "S3 one holder",
            Self::Monotone => "S4 monotone",
            Self::AbsentRefuses => "S6 absent means refuse",
            Self::NothingBlocks => "L1 nothing blocks",
            Self::NothingBroken => "R50 never",
        }
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What happened in a step, as far as an invariant asks.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one exists at a time, and is not kept")]
pub(crate) enum Event {
    /// The cluster decided about a request; the book before it.
    Applied {
        request: Request,
        verdict: Verdict,
        before: Arc<Page>,
    },
    /// A signature came out.
    Signed {
        signer: u8,
        key: u8,
        payload: u8,
        basis: Basis,
    },
    /// A signer asked for an approval.
    Asked {
        signer: u8,
        key: u8,
    },
    /// A new cluster began with this backup.
    Restored {
        backup: Arc<Page>,
    },
    Other,
}

/// A step that was taken.
pub(crate) struct Taken<'a> {
    pub(crate) model: &'a GuardModel,
    pub(crate) before: &'a World,
    pub(crate) after: &'a World,
    pub(crate) event: &'a Event,
}

/// The invariants that a step breaks, as bits.
pub(crate) fn broken(taken: &Taken<'_>) -> u8 {
    let verdicts = [
        (Invariant::NoConflict, no_conflict::holds(taken)),
        (Invariant::ApproveBeforeSign, approve_before_sign::holds(taken)),
        (Invariant::OneHolder, one_holder::holds(taken)),
        (Invariant::Monotone, monotone::holds(taken)),
        (Invariant::AbsentRefuses, absent_refuses::holds(taken)),
        (Invariant::NothingBroken, nothing_broken::holds(taken)),
    ];
    verdicts.iter().filter(|(_, holds)| !holds).fold(0, |bits, (invariant, _)| bits | invariant.bit())
}

fn always(invariant: Invariant, condition: fn(&GuardModel, &World) -> bool) -> Property<GuardModel> {
    Property::always(invariant.name(), condition)
}

/// The same as the checker takes them.
pub(crate) fn properties() -> Vec<Property<GuardModel>> {
    vec![
        always(Invariant::NoConflict, |model, world| kept(model, Invariant::NoConflict, world.ghost.broken)),
        always(Invariant::ApproveBeforeSign, |model, world| {
            kept(model, Invariant::ApproveBeforeSign, world.ghost.broken)
        }),
        always(Invariant::OneHolder, |model, world| kept(model, Invariant::OneHolder, world.ghost.broken)),
        always(Invariant::Monotone, |model, world| kept(model, Invariant::Monotone, world.ghost.broken)),
        always(Invariant::AbsentRefuses, |model, world| {
            kept(model, Invariant::AbsentRefuses, world.ghost.broken)
        }),
        always(Invariant::NothingBroken, |model, world| {
            kept(model, Invariant::NothingBroken, world.ghost.broken)
        }),
        always(Invariant::NothingBlocks, nothing_blocks::holds),
    ]
}
