//! Lease transitions at the ends of their numbers, and what a holder may give back.

use super::*;
use crate::cometbft::CometbftClaim;
use crate::intent::Claim;
use crate::invariant::tests::{holder, precommit, record, record_with_window};

/// No machine reaches this epoch. It is refused as a broken invariant, and not by a panic that the log would repeat.
#[test]
fn the_last_epoch_is_followed_by_none() {
    let last = Epoch(u64::MAX);
    let mut record = KeyRecord { epoch: last, holder: None, ..record() };
    let before = record.clone();
    let refused = Err(Denial::Broken { invariant: Invariant::EpochRises });
    assert_eq!(acquire(&mut record, &holder(2), last), refused);
    assert_eq!(record, before);
    record.holder = Some(holder(1));
    assert_eq!(handover(&mut record, &holder(2), last), refused);
}

/// The sender chooses the epoch it expects, and may choose the largest number there is.
#[test]
fn an_expected_epoch_without_a_successor_is_only_another_epoch() {
    let mut record = record();
    let expected = Epoch(u64::MAX);
    let refused = Err(Denial::EpochMoved { current: Epoch(3), expected });
    assert_eq!(acquire(&mut record, &holder(1), expected), refused);
    assert_eq!(handover(&mut record, &holder(1), expected), refused);
    record.epoch = Epoch(0);
    assert_eq!(
        acquire(&mut record, &holder(1), expected),
        Err(Denial::EpochMoved { current: Epoch(0), expected })
    );
}

#[test]
fn a_grant_raises_the_epoch_by_one_and_names_who_lost_it() {
    let mut record = record_with_window();
    let verdict = handover(&mut record, &holder(2), Epoch(3)).unwrap();
    let grant = Grant { holder: holder(2), epoch: Epoch(4), previous: Some(holder(1)) };
    assert_eq!(verdict, Verdict::Granted(grant));
    assert_eq!((record.epoch, record.window_height), (Epoch(4), None));
    assert_eq!(record.watermark.floor_height(), Some(109));
}

fn given(change: impl FnOnce(&mut Watermark)) -> Watermark {
    let mut watermark = record().watermark;
    change(&mut watermark);
    watermark
}

#[test]
fn a_give_back_continues_the_record_inside_the_window() {
    for last_height in [106, 109] {
        let mut record = record_with_window();
        let given = given(|mark| mark.advance(&precommit(last_height, 2), Epoch(3)).unwrap());
        let verdict = release(&mut record, &holder(1), Epoch(3), Some(&given));
        assert_eq!(verdict, Ok(Verdict::Released { epoch: Epoch(3) }));
        assert_eq!(record.watermark, given);
        assert_eq!((record.holder, record.window_height), (None, None));
    }
}

#[test]
fn a_give_back_that_leaves_the_window_or_the_record_is_refused() {
    let below = Watermark::Cometbft(crate::cometbft::CometbftRecord::new(100));
    let raised = |floor| given(|mark| mark.raise(&Claim::Cometbft(CometbftClaim::floor(floor))).unwrap());
    let torn = given(|mark| {
        let Watermark::Cometbft(record) = mark else { unreachable!("the sample is of CometBFT") };
        record.lock.as_mut().unwrap().height = 106;
    });
    let unsound = [
        ("with a lock newer than the newest approval", torn),
        ("beyond the window", given(|mark| mark.advance(&precommit(110, 2), Epoch(3)).unwrap())),
        ("below the record", below),
        ("with a floor of its own", raised(101)),
        ("of another protocol", Watermark::Generic(crate::generic::GenericRecord::default())),
    ];
    for (name, given) in unsound {
        let mut record = record_with_window();
        let verdict = release(&mut record, &holder(1), Epoch(3), Some(&given));
        assert!(matches!(verdict, Err(Denial::GiveBackUnsound { up_to_height: Some(109), .. })), "{name}");
        assert_eq!(record, record_with_window(), "{name}");
    }
}

#[test]
fn without_a_window_only_the_record_itself_comes_back() {
    let mut unchanged = record();
    let own = unchanged.watermark.clone();
    assert!(release(&mut unchanged, &holder(1), Epoch(3), Some(&own)).is_ok());
    let more = given(|mark| mark.advance(&precommit(106, 2), Epoch(3)).unwrap());
    let refused = release(&mut record(), &holder(1), Epoch(3), Some(&more));
    assert!(matches!(refused, Err(Denial::GiveBackUnsound { up_to_height: None, .. })));
}
