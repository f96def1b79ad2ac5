//! The local watermark's rules as a table, and what disks and crashes do to it.

use super::*;
use interlock_core::cometbft::Step;
use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{Operation, SimDisk};

const KEY: KeyId = KeyId([4; 32]);
const FLOOR: u64 = 5;

const fn mark(height: u64, payload: u8) -> Mark {
    Mark { position: Position { height, round: 0, step: Step::Prevote }, payload: Digest([payload; 32]) }
}

fn name() -> KeyName {
    KeyName::parse("val").unwrap()
}

fn enrolled(approved: Option<Mark>) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/state")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let enrolment = Enrolment { cluster: ClusterId([1; 16]), key: KEY, floor_height: FLOOR, approved };
    Watermark::create(&disk, Path::new("/state"), &name(), enrolment).unwrap();
    disk
}

fn open(disk: &SimDisk) -> Watermark {
    Watermark::open(disk, Path::new("/state"), &name(), KEY).unwrap()
}

#[derive(Clone, Copy)]
enum End {
    Signed,
    Withdrawn,
    Kept,
}

fn run(watermark: &mut Watermark, mark: Mark, end: End) {
    let attempt = watermark.begin(mark).unwrap();
    match end {
        End::Signed => watermark.signed(attempt),
        End::Withdrawn => watermark.withdraw(attempt).unwrap(),
        End::Kept => {}
    }
}

#[derive(Debug, PartialEq)]
enum Says {
    Passes,
    Below,
    Conflict,
    Floor,
}

fn says(watermark: &Watermark, asked: Mark) -> Says {
    match watermark.check(asked) {
        Ok(()) => Says::Passes,
        Err(LocalRefusal::Below { .. }) => Says::Below,
        Err(LocalRefusal::Conflict { .. }) => Says::Conflict,
        Err(LocalRefusal::BelowFloor { .. }) => Says::Floor,
        Err(LocalRefusal::Failed { reason }) => panic!("{reason}"),
    }
}

use End::{Kept, Signed, Withdrawn};
use Says::{Below, Conflict, Floor, Passes};

type Row = (&'static [(Mark, End)], Mark, Says);

/// What happened, then what is asked for, then the answer.
const ROWS: [Row; 18] = [
    (&[], mark(FLOOR, 1), Floor),
    (&[], mark(FLOOR + 1, 1), Passes),
    (&[(mark(8, 1), Signed)], mark(7, 1), Below),
    (&[(mark(8, 1), Signed)], mark(8, 1), Passes),
    (&[(mark(8, 1), Signed)], mark(8, 2), Conflict),
    (&[(mark(8, 1), Signed)], mark(9, 2), Passes),
    (&[(mark(8, 1), Kept)], mark(7, 1), Below),
    (&[(mark(8, 1), Kept)], mark(8, 1), Passes),
    (&[(mark(8, 1), Kept)], mark(8, 2), Conflict),
    (&[(mark(8, 1), Withdrawn)], mark(7, 1), Passes),
    (&[(mark(8, 1), Withdrawn)], mark(8, 2), Passes),
    (&[(mark(7, 1), Signed), (mark(8, 1), Withdrawn)], mark(7, 2), Conflict),
    (&[(mark(7, 1), Signed), (mark(8, 1), Withdrawn)], mark(8, 2), Passes),
    // An unknown outcome outlives the withdrawal of a later one.
    (&[(mark(7, 1), Kept), (mark(8, 1), Withdrawn)], mark(7, 2), Conflict),
    (&[(mark(7, 1), Kept), (mark(8, 1), Withdrawn)], mark(6, 1), Below),
    // Asked again after an unknown outcome, a denial says nothing about the first time.
    (&[(mark(8, 1), Kept), (mark(8, 1), Withdrawn)], mark(8, 2), Conflict),
    (&[(mark(8, 1), Signed), (mark(8, 1), Withdrawn)], mark(8, 2), Conflict),
    (&[(mark(7, 1), Kept), (mark(8, 1), Signed), (mark(9, 1), Kept)], mark(8, 1), Below),
];

#[test]
fn the_table_holds_before_and_after_a_restart() {
    for (number, (history, asked, expected)) in ROWS.into_iter().enumerate() {
        let disk = enrolled(None);
        let mut watermark = open(&disk);
        history.iter().for_each(|(mark, end)| run(&mut watermark, *mark, *end));
        assert_eq!(says(&watermark, asked), expected, "row {number}");
        drop(watermark);
        disk.kill_process();
        assert_eq!(says(&open(&disk), asked), expected, "row {number} after a restart");
    }
}

#[test]
fn what_was_approved_before_enrolment_counts_as_signed() {
    let watermark = open(&enrolled(Some(mark(9, 1))));
    assert_eq!(says(&watermark, mark(8, 1)), Says::Below);
    assert_eq!(says(&watermark, mark(9, 2)), Says::Conflict);
    assert_eq!(says(&watermark, mark(9, 1)), Says::Passes);
}

#[test]
fn after_a_power_cut_pending_counts_as_signed() {
    for seed in 0..20 {
        let disk = enrolled(None);
        let mut watermark = open(&disk);
        let _attempt = watermark.begin(mark(8, 1)).unwrap();
        disk.power_cut(seed);
        let watermark = open(&disk);
        assert_eq!(says(&watermark, mark(8, 2)), Says::Conflict);
        assert_eq!(says(&watermark, mark(8, 1)), Says::Passes);
    }
}

#[test]
fn after_a_failed_write_nothing_passes_until_a_restart() {
    for operation in [Operation::Write, Operation::SyncData] {
        let disk = enrolled(None);
        let mut watermark = open(&disk);
        run(&mut watermark, mark(8, 1), End::Signed);
        disk.inject(Fault::from_now(operation, "watermark", FaultKind::Io));
        assert!(matches!(watermark.begin(mark(9, 1)), Err(LocalRefusal::Failed { .. })));
        disk.clear_faults();
        for asked in [mark(8, 1), mark(9, 1), mark(10, 1)] {
            assert!(matches!(watermark.begin(asked), Err(LocalRefusal::Failed { .. })));
        }
        drop(watermark);
        disk.kill_process();
        let watermark = open(&disk);
        assert_eq!(says(&watermark, mark(8, 2)), Says::Conflict);
        assert_eq!(says(&watermark, mark(10, 1)), Says::Passes);
    }
}

#[test]
fn missing_damaged_foreign_and_double_files_are_errors() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/state")).unwrap();
    let missing = Watermark::open(&disk, Path::new("/state"), &name(), KEY).unwrap_err();
    assert!(matches!(missing, WatermarkError::Missing { .. }));
    assert!(missing.to_string().contains("interlock signer enroll"), "{missing}");

    let disk = enrolled(None);
    let other = Watermark::open(&disk, Path::new("/state"), &name(), KeyId([9; 32])).unwrap_err();
    assert!(matches!(other, WatermarkError::OtherKey { .. }));

    let enrolment = Enrolment { cluster: ClusterId([1; 16]), key: KEY, floor_height: 0, approved: None };
    let twice = Watermark::create(&disk, Path::new("/state"), &name(), enrolment).unwrap_err();
    assert!(matches!(twice, WatermarkError::Exists { .. }));

    let path = path_of(Path::new("/state"), &name());
    let size = disk.contents(&path).unwrap().len();
    disk.damage(&path, 0, &vec![0x5a; size]);
    let damaged = Watermark::open(&disk, Path::new("/state"), &name(), KEY).unwrap_err();
    assert!(matches!(damaged, WatermarkError::Unusable { .. }));
    assert!(damaged.to_string().contains("interlock signer enroll"), "{damaged}");
}

/// A restored guard may know less than this signer; it may also know more.
#[test]
fn pinning_a_restored_guard_keeps_the_local_watermark_and_only_raises_it() {
    let repin = |approved, floor_height| {
        let disk = enrolled(None);
        let mut watermark = open(&disk);
        run(&mut watermark, mark(20, 1), End::Signed);
        run(&mut watermark, mark(21, 1), End::Kept);
        let cluster = ClusterId([2; 16]);
        watermark.repin(&name(), Enrolment { cluster, key: KEY, floor_height, approved }).unwrap();
        drop(watermark);
        let watermark = open(&disk);
        assert_eq!(watermark.cluster(), cluster);
        watermark
    };
    let less = repin(Some(mark(9, 1)), 3);
    assert_eq!((says(&less, mark(19, 1)), says(&less, mark(20, 2))), (Says::Below, Says::Conflict));
    assert_eq!(says(&less, mark(21, 2)), Says::Conflict, "what was asked for counts as signed");
    assert_eq!((says(&less, mark(21, 1)), says(&less, mark(22, 2))), (Says::Passes, Says::Passes));
    let more = repin(Some(mark(30, 1)), 25);
    assert_eq!((says(&more, mark(29, 1)), says(&more, mark(30, 2))), (Says::Below, Says::Conflict));
    let floor = repin(None, 25);
    assert_eq!((says(&floor, mark(25, 1)), says(&floor, mark(26, 1))), (Says::Floor, Says::Passes));

    let disk = enrolled(None);
    let low = Enrolment { cluster: ClusterId([2; 16]), key: KEY, floor_height: FLOOR - 2, approved: None };
    open(&disk).repin(&name(), low).unwrap();
    assert_eq!(says(&open(&disk), mark(FLOOR, 1)), Says::Floor, "a lower floor lowers nothing");
}

#[test]
fn a_watermark_is_read_with_what_was_asked_for() {
    let disk = enrolled(Some(mark(9, 1)));
    let path = path_of(Path::new("/state"), &name());
    let found = read_record(&disk, &path).unwrap();
    assert_eq!((found.floor_height, found.newest), (FLOOR, Some(mark(9, 1))));
    run(&mut open(&disk), mark(12, 1), End::Kept);
    assert_eq!(read_record(&disk, &path).unwrap().newest, Some(mark(12, 1)));
    let none = read_record(&disk, Path::new("/state/none"));
    assert!(matches!(none, Err(WatermarkError::Unreadable { .. })));
}
