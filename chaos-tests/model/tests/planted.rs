//! Each invariant bites: with a bug planted in a signer, the cluster or an operator, the whole of a small
//! world is explored, and exactly the one invariant that the bug is about breaks.

use interlock_model::{Plant, Setting, check_planted};

macro_rules! plants {
    ($($test:ident $plant:ident,)*) => {
        $(
            #[test]
            fn $test() {
                is_caught(Plant::$plant);
            }
        )*

        #[test]
        fn no_planted_bug_is_left_out() {
            assert_eq!(Plant::ALL, [$(Plant::$plant),*]);
        }
    };
}

plants! {
    planted_restores_without_floors RestoresWithoutFloors,
    planted_floors_forget_windows FloorsForgetWindows,
    planted_signs_own_timestamp SignsOwnTimestamp,
    planted_signs_on_unknown SignsOnUnknown,
    planted_takes_other_answer TakesOtherAnswer,
    planted_reopens_window ReopensWindow,
    planted_restart_keeps_window RestartKeepsWindow,
    planted_signs_beyond_window SignsBeyondWindow,
    planted_handover_keeps_epoch HandoverKeepsEpoch,
    planted_forwards_under_current_epoch ForwardsUnderCurrentEpoch,
    planted_import_sets ImportSets,
    planted_handover_forgets_window HandoverForgetsWindow,
    planted_local_assumed_zero LocalAssumedZero,
    planted_key_born_at_zero KeyBornAtZero,
    planted_waits_for_signature WaitsForSignature,
    planted_pending_blocks PendingBlocks,
    planted_misreads_record MisreadsRecord,
}

fn is_caught(plant: Plant) {
    let outcome = check_planted(Setting::planted(plant));
    let example = outcome.example.unwrap_or_default();
    assert_eq!(outcome.broken, [plant.breaks()], "{}\n{example}", plant.about());
}
