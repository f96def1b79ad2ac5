//! The record file under power cuts, failed syncs and damage: an acknowledged update is never taken back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use interlock_disk::sim::{Fault, FaultKind, Lies, SplitMix};
use interlock_disk::{Disk as _, Operation, RealDisk, RecordError, RecordFile, SimDisk, read_record};

const PATH: &str = "/record";
const VERSION: u32 = 1;
/// Bytes of one copy for a record of at most 64 bytes: one page.
const COPY_BYTES: u64 = 4096;

fn create(disk: &SimDisk, content: &[u8]) -> RecordFile {
    RecordFile::create(disk, Path::new(PATH), VERSION, content, 64).unwrap()
}

fn open(disk: &SimDisk) -> Result<RecordFile, RecordError> {
    RecordFile::open(disk, Path::new(PATH), VERSION)
}

/// Runs `rounds` lives of a counter that is cut at random; returns how many lives lost an acknowledged update
/// or left a file that does not open.
fn lives_that_lost(seed: u64, rounds: u64, lies: Lies) -> u64 {
    let mut random = SplitMix::new(seed);
    let disk = SimDisk::new();
    drop(create(&disk, &0_u64.to_le_bytes()));
    disk.lie(lies);
    let (mut acknowledged, mut lost) = (0_u64, 0);
    for _ in 0..rounds {
        disk.cut_after(1 + random.below(24));
        if let Ok(mut record) = open(&disk) {
            for value in acknowledged + 1.. {
                match record.update(&value.to_le_bytes()) {
                    Ok(()) => acknowledged = value,
                    Err(_) => break,
                }
            }
        }
        disk.power_cut(random.next_u64());
        let Ok(record) = open(&disk) else { return lost + 1 };
        let found = u64::from_le_bytes(record.content().try_into().unwrap());
        lost += u64::from(found < acknowledged);
        acknowledged = found;
    }
    lost
}

#[test]
fn no_acknowledged_update_is_lost_in_2000_power_cuts() {
    let lost: u64 = (0..20).map(|seed| lives_that_lost(seed, 100, Lies::default())).sum();
    assert_eq!(lost, 0);
}

#[test]
fn the_harness_notices_a_disk_that_does_not_sync() {
    assert!(lives_that_lost(1, 100, Lies { sync_data: true, sync_dir: false }) > 0);
}

#[test]
fn a_cut_during_creation_leaves_no_half_record() {
    for cut in 1..40 {
        let disk = SimDisk::new();
        disk.cut_after(cut);
        let created = RecordFile::create(&disk, Path::new(PATH), VERSION, b"first", 64).is_ok();
        disk.power_cut(cut);
        match open(&disk) {
            Ok(record) => assert_eq!(record.content(), b"first"),
            Err(RecordError::Missing { .. }) => assert!(!created, "an acknowledged creation is durable"),
            Err(other) => panic!("after a cut at operation {cut}: {other}"),
        }
    }
}

#[test]
fn damage_to_one_copy_never_brings_back_an_older_record() {
    for copy in 0..4 {
        let disk = SimDisk::new();
        let mut record = create(&disk, b"one");
        for content in [b"two", b"six"] {
            record.update(content).unwrap();
        }
        drop(record);
        disk.damage(Path::new(PATH), copy * COPY_BYTES + 25, b"\xff");
        assert_eq!(open(&disk).unwrap().content(), b"six");
    }
}

#[test]
fn damage_to_every_copy_is_refused() {
    let disk = SimDisk::new();
    drop(create(&disk, b"one"));
    for copy in 0..4 {
        disk.damage(Path::new(PATH), copy * COPY_BYTES, &[0; 8]);
    }
    assert!(matches!(open(&disk), Err(RecordError::Damaged { .. })));
}

#[test]
fn a_failed_sync_poisons_the_record_and_the_next_start_makes_it_durable_again() {
    let disk = SimDisk::new();
    let mut record = create(&disk, b"one");
    disk.inject(Fault::from_now(Operation::SyncData, PATH, FaultKind::Io));
    assert!(matches!(record.update(b"two"), Err(RecordError::Disk(_))));
    disk.clear_faults();
    assert!(matches!(record.update(b"ten"), Err(RecordError::Poisoned { .. })));
    assert_eq!(record.content(), b"one");
    drop(record);

    disk.kill_process();
    let seen = open(&disk).unwrap().content().to_vec();
    disk.power_cut(7);
    assert_eq!(open(&disk).unwrap().content(), seen, "what a start read stays");
}

#[test]
fn every_way_to_be_absent_is_its_own_error() {
    let disk = SimDisk::new();
    assert!(matches!(open(&disk), Err(RecordError::Missing { .. })));
    drop(disk.create(Path::new(PATH)).unwrap());
    assert!(matches!(open(&disk), Err(RecordError::Empty { .. })));
    disk.remove(Path::new(PATH)).unwrap();
    drop(create(&disk, b"one"));
    let again = RecordFile::create(&disk, Path::new(PATH), VERSION, b"", 64);
    assert!(matches!(again, Err(RecordError::Exists { .. })));
    let older_program = RecordFile::open(&disk, Path::new(PATH), 0);
    assert!(matches!(older_program, Err(RecordError::NewerVersion { found: 1, known: 0, .. })));
    let mut record = open(&disk).unwrap();
    assert!(matches!(record.update(&[0; 8192]), Err(RecordError::TooLarge { .. })));
    record.update(b"still usable").unwrap();
}

#[test]
fn the_record_works_on_real_files() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("watermark");
    let mut record = RecordFile::create(&RealDisk, &path, VERSION, b"a", 200).unwrap();
    for number in 0..100_u32 {
        record.update(&number.to_le_bytes()).unwrap();
    }
    let sequence = record.sequence();
    drop(record);
    let record = RecordFile::open(&RealDisk, &path, VERSION).unwrap();
    assert_eq!((record.content(), record.sequence()), (&99_u32.to_le_bytes()[..], sequence + 1));
}

/// A copy of a signer's watermark is looked at, not used.
#[test]
fn reading_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    let mut record = RecordFile::create(&RealDisk, &path, 1, b"old", 64).unwrap();
    record.update(b"new").unwrap();
    drop(record);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(read_record(&RealDisk, &path, 1).unwrap(), b"new");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(matches!(read_record(&RealDisk, &path, 0), Err(RecordError::NewerVersion { .. })));
    let missing = read_record(&RealDisk, &directory.path().join("none"), 1);
    assert!(matches!(missing, Err(RecordError::Missing { .. })), "{missing:?}");
}
