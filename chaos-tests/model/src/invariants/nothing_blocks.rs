//! Liveness: whatever was approved and never signed, asked and never answered, reserved and abandoned: in
//! every state, each enrolled process that is handed the lease afresh gets a later height approved, and its
//! own watermark lets it ask.

use super::Invariant;
use crate::behaviour::{GuardModel, kept};
use crate::probe;
use crate::world::World;

pub(super) fn holds(model: &GuardModel, world: &World) -> bool {
    if world.ghost.broken != 0 || probe::nothing_blocks(model, world) {
        return true;
    }
    kept(model, Invariant::NothingBlocks, Invariant::NothingBlocks.bit())
}
