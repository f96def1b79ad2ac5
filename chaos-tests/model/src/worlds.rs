//! The worlds that are explored. Small ones run with the tests, large ones by hand; what is in each is
//! printed with its result.

use crate::plant::Plant;
use crate::protocol::{Chain, Payload, attestation, block, generic, vote};
use crate::setting::{Budget, Setting};
use interlock_core::cometbft::Step::{Precommit, Prevote};

/// The worlds by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum World {
    /// Two signers, one key, every payload approved by the cluster.
    Approve,
    /// The same, with crashes that keep or lose the local watermark.
    Crash,
    /// Windows, with give-back.
    Window,
    /// Windows and crashes, handovers and an operator's changes.
    WindowFaults,
    /// A backup, the loss of the cluster, a restore, old signers alive.
    Restore,
    /// Three signers.
    ThreeSigners,
    /// Two keys, one of them added later.
    TwoKeys,
    /// An operator freezes, unfreezes and imports.
    Operator,
    /// Blocks and attestations.
    Ethereum,
    /// Numbers.
    Generic,
}

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Size {
    /// Seconds.
    Small,
    /// Minutes.
    Large,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Approve,
        Self::Crash,
        Self::Window,
        Self::WindowFaults,
        Self::Restore,
        Self::ThreeSigners,
        Self::TwoKeys,
        Self::Operator,
        Self::Ethereum,
        Self::Generic,
    ];
}

const NONE: Budget = Budget {
    asks: 0,
    acquires: 0,
    releases: 0,
    reserves: 0,
    handovers: 0,
    crashes: 0,
    losses: 0,
    presumptions: 0,
    freezes: 0,
    imports: 0,
    adds: 0,
    restores: 0,
};

/// Two blocks at two steps of height 1 and one of height 2.
fn votes() -> Vec<Payload> {
    vec![
        vote(1, 0, Prevote, 0),
        vote(1, 0, Prevote, 1),
        vote(1, 0, Precommit, 0),
        vote(1, 0, Precommit, 1),
        vote(2, 0, Prevote, 0),
        vote(2, 0, Prevote, 1),
    ]
}

/// Two contents at each of these heights.
fn numbers(heights: std::ops::RangeInclusive<u64>) -> Vec<Payload> {
    heights.flat_map(|height| [generic(height, 0, 0), generic(height, 0, 1)]).collect()
}

fn duties() -> Vec<Payload> {
    vec![
        block(1, 0),
        block(1, 1),
        attestation(0, 1, 0),
        attestation(0, 1, 1),
        attestation(1, 2, 0),
        attestation(0, 3, 0),
    ]
}

fn base(name: &'static str, about: &'static str, payloads: Vec<Payload>, budget: Budget) -> Setting {
    Setting {
        name,
        about,
        chain: Chain::Cometbft,
        payloads,
        signers: 2,
        keys: 1,
        keys_later: 0,
        window_heights: 0,
        import_height: 1,
        late_orders: false,
        budget,
        plant: None,
    }
}

/// A world in one of its sizes.
#[must_use]
pub fn setting(world: World, size: Size) -> Setting {
    let more = u8::from(size == Size::Large);
    match world {
        World::Approve | World::Crash | World::Operator | World::ThreeSigners => approving(world, more),
        World::Window | World::WindowFaults => windows(world, more),
        World::Restore | World::TwoKeys => clusters(world, more),
        World::Ethereum => Setting {
            chain: Chain::Ethereum,
            ..base(
                "ethereum",
                "blocks and attestations, surround votes among them",
                duties(),
                Budget { asks: 3 + more, handovers: 1, imports: 1, ..NONE },
            )
        },
        World::Generic => Setting {
            chain: Chain::Generic,
            window_heights: 1,
            ..base(
                "generic",
                "numbers instead of votes, with a window",
                numbers(0..=2),
                Budget { asks: 2 + more, reserves: 1, releases: 1, handovers: 1, crashes: 1, ..NONE },
            )
        },
    }
}

fn approving(world: World, more: u8) -> Setting {
    match world {
        World::Crash => base(
            "crash",
            "processes die and start again, with and without their local watermark",
            votes(),
            Budget { asks: 2 + more, handovers: 1, crashes: 1, losses: 1, presumptions: 1, ..NONE },
        ),
        World::Operator => Setting {
            late_orders: true,
            ..base(
                "operator",
                "a key is frozen, unfrozen and given a floor while requests are under way",
                votes(),
                Budget { asks: 2 + more, handovers: 1, freezes: 1, imports: 1, ..NONE },
            )
        },
        World::ThreeSigners => Setting {
            signers: 3,
            ..base(
                "three signers",
                "three signers, handovers among them, right and wrong",
                vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1), vote(2, 0, Prevote, 0)],
                Budget { asks: 3 + more, handovers: 2, ..NONE },
            )
        },
        _ => base(
            "approve",
            "every payload approved by the cluster; leases handed over, released and taken",
            votes(),
            Budget { asks: 3 + more, acquires: 1, releases: 1, handovers: 1, ..NONE },
        ),
    }
}

fn windows(world: World, more: u8) -> Setting {
    let votes = vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1), vote(2, 0, Prevote, 1)];
    let reserve_ahead =
        |name, about, budget| Setting { window_heights: 1, ..base(name, about, votes, budget) };
    match world {
        World::Window => reserve_ahead(
            "window",
            "heights reserved ahead, extended, given back and abandoned",
            Budget { asks: 2, reserves: 2, releases: 1, acquires: 1, handovers: more, ..NONE },
        ),
        _ => reserve_ahead(
            "window faults",
            "windows under crashes, handovers and an operator's floor",
            Budget { asks: 2, reserves: 1, releases: more, handovers: 1, crashes: 1, imports: 1, ..NONE },
        ),
    }
}

fn clusters(world: World, more: u8) -> Setting {
    match world {
        World::Restore => Setting {
            window_heights: 1,
            ..base(
                "restore",
                "the cluster is lost and restored from an older backup, while its signers live on",
                vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1)],
                Budget { asks: 2 + more, reserves: 1, handovers: 1, restores: 1, ..NONE },
            )
        },
        _ => Setting {
            keys_later: 1,
            ..base(
                "two keys",
                "a second key, unknown until it is added",
                vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1)],
                Budget { asks: 2 + more, acquires: 1, handovers: 1, adds: 1, losses: 1, ..NONE },
            )
        },
    }
}

impl Setting {
    /// The world in which a planted bug shows: just enough for it, so that all of it is explored, with the
    /// bug, in a moment.
    #[must_use]
    pub fn planted(plant: Plant) -> Self {
        let budget = planted_budget(plant);
        let votes = match plant {
            Plant::RestoresWithoutFloors | Plant::FloorsForgetWindows => {
                vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1)]
            }
            Plant::SignsBeyondWindow => vec![vote(1, 0, Prevote, 0), vote(3, 0, Prevote, 1)],
            _ => vec![vote(1, 0, Prevote, 0), vote(1, 0, Prevote, 1), vote(2, 0, Prevote, 1)],
        };
        Self {
            plant: Some(plant),
            window_heights: u64::from(budget.reserves),
            keys_later: budget.adds,
            ..base("planted", plant.about(), votes, budget)
        }
    }
}

fn planted_budget(plant: Plant) -> Budget {
    let restore = Budget { asks: 2, acquires: 1, restores: 1, ..NONE };
    match plant {
        Plant::RestoresWithoutFloors => restore,
        Plant::FloorsForgetWindows => Budget { reserves: 1, ..restore },
        Plant::SignsOwnTimestamp => Budget { asks: 2, handovers: 1, ..NONE },
        Plant::SignsOnUnknown | Plant::TakesOtherAnswer => Budget { asks: 2, ..NONE },
        Plant::ReopensWindow => Budget { asks: 1, reserves: 1, releases: 1, ..NONE },
        Plant::RestartKeepsWindow => Budget { asks: 2, reserves: 1, crashes: 1, ..NONE },
        Plant::SignsBeyondWindow => Budget { asks: 1, reserves: 1, ..NONE },
        Plant::HandoverKeepsEpoch => Budget { asks: 2, handovers: 2, ..NONE },
        Plant::ForwardsUnderCurrentEpoch => Budget { asks: 1, releases: 1, acquires: 1, ..NONE },
        Plant::ImportSets => Budget { asks: 2, imports: 1, handovers: 1, ..NONE },
        Plant::HandoverForgetsWindow => Budget { asks: 2, reserves: 1, handovers: 1, ..NONE },
        Plant::LocalAssumedZero => Budget { asks: 2, handovers: 1, losses: 1, ..NONE },
        Plant::KeyBornAtZero => Budget { asks: 1, acquires: 1, adds: 1, ..NONE },
        Plant::WaitsForSignature | Plant::PendingBlocks => Budget { asks: 2, handovers: 1, ..NONE },
        Plant::MisreadsRecord => Budget { asks: 1, releases: 1, acquires: 1, ..NONE },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Kind, expected};
    use crate::invariants::Invariant;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_of_step_is_expected_of_some_world() {
        let all = World::ALL.into_iter().flat_map(|world| expected(&setting(world, Size::Small)));
        let missing: Vec<&Kind> = {
            let all: BTreeSet<Kind> = all.collect();
            Kind::ALL.iter().filter(|kind| !all.contains(kind)).collect()
        };
        assert_eq!(missing, [&Kind::SignUnknown], "a planted bug alone takes this step");
    }

    #[test]
    fn every_invariant_has_a_planted_bug() {
        let caught: BTreeSet<Invariant> = Plant::ALL.iter().map(|plant| plant.breaks()).collect();
        assert_eq!(caught, Invariant::ALL.into_iter().collect());
    }
}
