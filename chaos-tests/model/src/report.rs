//! The page of results, for people and for `docs/spec/results/model.md`.

use crate::plant::Plant;
use crate::run::{Outcome, check, check_planted};
use crate::setting::Setting;
use crate::worlds::{Size, World, setting};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
Every state within the bounds was visited: nothing is sampled. What the worlds are made of, and what is merged in
them, stands in `chaos-tests/model/src/lib.rs`. The bounds say how often each thing may happen; losses, delays,
repetitions and reorderings of messages, and pauses, are not bounded. A step that changes nothing is counted among
the steps, not among the states reached.

With each planted bug the whole of a world is explored, short of what lies behind a broken invariant.
";

fn names(invariants: &[crate::Invariant]) -> String {
    let names: Vec<&str> = invariants.iter().map(|invariant| invariant.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn world_lines(setting: &Setting, outcome: &Outcome) -> String {
    let steps: Vec<String> = outcome
        .taken
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(kind, number)| format!("{kind} {number}"))
        .collect();
    let rules: Vec<String> = outcome.rules.iter().map(|rule| format!("R{rule}")).collect();
    format!(
        "### {}\n\n{}.\n\n- Bounds: {}.\n- Depth {}, {} states, reached {} times, in {:.1} s.\n\
         - Steps: {}.\n- Rules that decided: {}.\n- Broken: {}. Never taken: {}.\n\n",
        setting.name,
        setting.about,
        setting.bounds(),
        outcome.depth,
        outcome.unique_states,
        outcome.total_states,
        outcome.took.as_secs_f64(),
        steps.join(", "),
        rules.join(", "),
        names(&outcome.broken),
        if outcome.never_taken.is_empty() { "none".to_owned() } else { outcome.never_taken.join(", ") },
    )
}

/// Explores everything of a size and describes it. The second value says whether all is as it must be.
#[must_use]
pub fn page(size: Size, mut progress: impl FnMut(&str)) -> (String, bool) {
    let mut good = true;
    let mut text = String::new();
    let mut states = 0;
    for world in World::ALL {
        let setting = setting(world, size);
        let outcome = check(setting.clone());
        let lines = world_lines(&setting, &outcome);
        progress(&lines);
        good &= outcome.broken.is_empty() && outcome.never_taken.is_empty();
        states += outcome.unique_states;
        text.push_str(&lines);
    }
    let mut planted =
        String::from("| planted bug | world | states | broken in any state |\n|---|---|---|---|\n");
    for plant in Plant::ALL {
        let setting = Setting::planted(*plant);
        let outcome = check_planted(setting.clone());
        let (states, caught) = (outcome.unique_states, names(&outcome.broken));
        let line = format!("| {plant:?}: {} | {} | {states} | {caught} |\n", plant.about(), setting.bounds());
        progress(&line);
        good &= outcome.broken == [plant.breaks()];
        planted.push_str(&line);
    }
    let mut page = String::new();
    let total = format!("{states} states in all worlds together.");
    let Ok(()) = write!(page, "{INTRODUCTION}\n{total}\n\n## Worlds\n\n{text}## Planted bugs\n\n{planted}")
    else {
        unreachable!("a string takes all")
    };
    (page, good)
}
