//! Explores one world to its end and says what was found.

use crate::actions::{Kind, expected};
use crate::behaviour::GuardModel;
use crate::invariants::Invariant;
use crate::setting::Setting;
use stateright::{Checker, HasDiscoveries, Model};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Different states.
    pub unique_states: usize,
    /// States reached, each as often as it was reached.
    pub total_states: usize,
    /// Most steps from the start to any state.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// How often each kind of step was taken.
    pub taken: Vec<(&'static str, u64)>,
    /// Kinds of step that this world is there to take, and that were never taken.
    pub never_taken: Vec<&'static str>,
    /// The rules that decided a verdict, by number.
    pub rules: Vec<u32>,
    /// Invariants that were broken in any state.
    pub broken: Vec<Invariant>,
    /// Invariants that were broken in the first such state, the one with the fewest steps.
    pub broken_first: Vec<Invariant>,
    /// The steps to a broken invariant, one a line.
    pub example: Option<String>,
}

/// Explores a world until an invariant breaks, or to its end. On one thread, so that states come in the order
/// of their depth.
#[must_use]
pub fn check(setting: Setting) -> Outcome {
    explore(setting, HasDiscoveries::Any)
}

/// Explores a world with a planted bug to its end; what lies behind a broken invariant is not explored.
#[must_use]
pub fn check_planted(setting: Setting) -> Outcome {
    explore(setting, HasDiscoveries::All)
}

fn explore(setting: Setting, until: HasDiscoveries) -> Outcome {
    let started = Instant::now();
    let checker = GuardModel::new(setting).checker().threads(1).finish_when(until).spawn_bfs().join();
    let model = checker.model();
    let discoveries = checker.discoveries();
    let found = |invariant: &Invariant| discoveries.contains_key(invariant.name());
    let taken = |kind: Kind| model.taken[kind as usize].load(Ordering::Relaxed);
    let never_taken = expected(&model.setting).into_iter().filter(|kind| taken(*kind) == 0);
    let rules = (0..).zip(&model.rules).filter(|(_, number)| number.load(Ordering::Relaxed) > 0);
    let first = model.first.get().copied().unwrap_or(0);
    Outcome {
        unique_states: checker.unique_state_count(),
        total_states: checker.state_count(),
        depth: checker.max_depth(),
        took: started.elapsed(),
        taken: Kind::ALL.iter().map(|kind| (kind.text(), taken(*kind))).collect(),
        never_taken: never_taken.map(Kind::text).collect(),
        rules: rules.map(|(rule, _)| rule).collect(),
        broken: Invariant::ALL.into_iter().filter(found).collect(),
        broken_first: Invariant::ALL.into_iter().filter(|one| first & one.bit() != 0).collect(),
        example: discoveries.values().next().map(|path| {
            path.clone().into_actions().into_iter().fold(String::new(), |mut lines, step| {
                let Ok(()) = writeln!(lines, "  {step:?}") else { unreachable!("a string takes all") };
                lines
            })
        }),
    }
}
