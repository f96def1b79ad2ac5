//! A signer process's memory of its windows, call by call. Whole stories are in `tests/scenarios/`.

use super::*;
use crate::ids::{ClusterId, LogPosition};
use crate::invariant::tests::{holder, precommit, record};
use crate::rule::Rule;

const CLUSTER: ClusterId = ClusterId([1; 16]);
const OTHER_CLUSTER: ClusterId = ClusterId([2; 16]);

/// What the cluster answers: the sample record stands at height 105.
fn reserved(cluster: ClusterId, epoch: u64, up_to_height: u64) -> Reserved {
    let record = record();
    Reserved {
        cluster,
        key: record.id(),
        holder: holder(1),
        epoch: Epoch(epoch),
        up_to_height,
        watermark: record.watermark,
        policy: record.policy,
        at: LogPosition { log_index: 1, item: 0 },
        repeat: false,
    }
}

fn started() -> Windows {
    Windows::new(CLUSTER, record().id(), holder(1))
}

fn open(epoch: u64, up_to_height: u64) -> Windows {
    let mut windows = started();
    windows.reserved(reserved(CLUSTER, epoch, up_to_height)).unwrap();
    windows
}

fn rule(windows: &mut Windows, intent: &Intent) -> Option<Rule> {
    windows.approve(intent).map(|said| match said {
        Ok(approved) => crate::Verdict::Approved(approved).rule(),
        Err(denial) => denial.rule(),
    })
}

#[test]
fn without_a_window_nothing_is_approved() {
    let mut windows = started();
    assert_eq!(windows.approve(&precommit(106, 1)), None);
    assert_eq!((windows.epoch(), windows.up_to_height()), (None, None));
}

#[test]
fn the_window_ends_with_its_last_height() {
    let mut windows = open(3, 107);
    assert_eq!(rule(&mut windows, &precommit(108, 1)), Some(Rule::WindowRespected));
    assert_eq!(rule(&mut windows, &precommit(107, 1)), Some(Rule::Advance));
    assert_eq!(rule(&mut windows, &precommit(107, 2)), Some(Rule::NoConflict));
}

#[test]
fn an_extension_keeps_what_was_approved_since() {
    let mut windows = open(3, 107);
    assert_eq!(rule(&mut windows, &precommit(107, 1)), Some(Rule::Advance));
    windows.reserved(reserved(CLUSTER, 3, 109)).unwrap();
    assert_eq!(windows.up_to_height(), Some(109));
    assert_eq!(rule(&mut windows, &precommit(107, 2)), Some(Rule::NoConflict));
    assert_eq!(rule(&mut windows, &precommit(106, 2)), Some(Rule::NoRegression));
}

#[test]
fn an_older_answer_does_not_shorten_the_window() {
    let mut windows = open(3, 109);
    windows.reserved(reserved(CLUSTER, 3, 107)).unwrap();
    assert_eq!(windows.up_to_height(), Some(109));
}

#[test]
fn a_later_epoch_begins_from_its_own_record() {
    let mut windows = open(3, 107);
    windows.reserved(reserved(CLUSTER, 4, 109)).unwrap();
    assert_eq!((windows.epoch(), windows.up_to_height()), (Some(Epoch(4)), Some(109)));
    assert_eq!(windows.reserved(reserved(CLUSTER, 3, 120)), Err(closed(3, 4)));
    assert_eq!(windows.up_to_height(), Some(109));
}

/// Epochs of two clusters cannot be compared, and a process that is cloned or restarted is another one.
#[test]
fn a_window_of_another_cluster_key_or_process_is_not_taken() {
    let own = reserved(CLUSTER, 3, 125);
    let foreign = [
        reserved(OTHER_CLUSTER, 3, 125),
        Reserved { key: KeyId([9; 32]), ..own.clone() },
        Reserved { holder: holder(2), ..own },
    ];
    for answer in foreign {
        for mut windows in [started(), open(3, 107), open(2, 107)] {
            let before = windows.clone();
            let refused = windows.reserved(answer.clone());
            assert!(matches!(refused, Err(WindowRefused::Foreign { .. })), "{answer:?}: {refused:?}");
            assert_eq!(windows, before);
        }
    }
}

fn closed(reserved: u64, closed: u64) -> WindowRefused {
    WindowRefused::Closed { reserved: Epoch(reserved), closed: Epoch(closed) }
}

#[test]
fn closing_is_for_good() {
    let mut windows = open(3, 107);
    assert_eq!(rule(&mut windows, &precommit(106, 1)), Some(Rule::Advance));
    let given = windows.close(Epoch(3)).unwrap();
    assert_eq!(given.height(), 106);
    assert_eq!(windows.approve(&precommit(106, 1)), None);
    assert_eq!(windows.reserved(reserved(CLUSTER, 3, 109)), Err(closed(3, 3)));
    assert_eq!(windows.close(Epoch(3)), None);
}

#[test]
fn closing_without_a_window_keeps_a_late_answer_out() {
    let mut windows = started();
    assert_eq!(windows.close(Epoch(3)), None);
    assert_eq!(windows.reserved(reserved(CLUSTER, 3, 107)), Err(closed(3, 3)));
    assert_eq!(windows.approve(&precommit(106, 1)), None);
}

#[test]
fn closing_an_earlier_epoch_leaves_the_window_and_closing_a_later_one_gives_nothing_back() {
    let mut windows = open(3, 107);
    assert_eq!(windows.close(Epoch(2)), None);
    assert_eq!(windows.epoch(), Some(Epoch(3)));
    assert_eq!(windows.close(Epoch(4)), None);
    assert_eq!(windows.epoch(), None);
    assert_eq!(windows.reserved(reserved(CLUSTER, 4, 109)), Err(closed(4, 4)));
}

#[test]
fn the_approval_names_the_reservation_that_it_rests_on() {
    let mut windows = open(3, 107);
    let at = |log_index| LogPosition { log_index, item: 0 };
    let approved = windows.approve(&precommit(106, 1)).unwrap().unwrap();
    assert_eq!((approved.cluster, approved.epoch), (CLUSTER, Epoch(3)));
    assert_eq!((approved.key, approved.at), (record().id(), at(1)));
    windows.reserved(Reserved { at: at(2), ..reserved(CLUSTER, 3, 109) }).unwrap();
    windows.reserved(Reserved { at: at(3), ..reserved(CLUSTER, 3, 109) }).unwrap();
    assert_eq!(windows.approve(&precommit(109, 1)).unwrap().unwrap().at, at(2));
}
