//! Every state of each small world: no invariant breaks, and every kind of step that the world is there for
//! was taken.
#![allow(clippy::print_stdout, reason = "bounds and counts belong to the result; `--nocapture` shows them")]

use interlock_model::{Size, WorldName, check, setting};

macro_rules! worlds {
    ($($test:ident $world:ident,)*) => {
        $(
            #[test]
            fn $test() {
                explore(WorldName::$world);
            }
        )*

        #[test]
        fn no_world_is_left_out() {
            assert_eq!(WorldName::ALL, [$(WorldName::$world),*]);
        }
    };
}

worlds! {
    world_approve Approve,
    world_crash Crash,
    world_window Window,
    world_window_faults WindowFaults,
    world_restore Restore,
    world_three_signers ThreeSigners,
    world_two_keys TwoKeys,
    world_operator Operator,
    world_ethereum Ethereum,
    world_generic Generic,
}

fn explore(world: WorldName) {
    let setting = setting(world, Size::Small);
    let outcome = check(setting.clone());
    println!(
        "{}: {}\ndepth {}, {} states, reached {} times, {:?}",
        setting.name,
        setting.bounds(),
        outcome.depth,
        outcome.unique_states,
        outcome.total_states,
        outcome.took
    );
    let example = outcome.example.unwrap_or_default();
    assert_eq!(outcome.broken, [], "in world {}, after\n{example}", setting.name);
    assert_eq!(outcome.never_taken, [""; 0], "world {} proves nothing about these", setting.name);
}
