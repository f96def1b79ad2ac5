//! The real disk: modes, the lock across processes, and errors that tell cases apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;

use interlock_disk::{
    Disk as _, LockError, ReadFileError, RealDisk, checksummed, read_checked, replace_file,
};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn directories_and_files_are_for_their_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let (directory, file) = (root.path().join("data"), root.path().join("data/file"));
    RealDisk.create_dir(&directory).unwrap();
    RealDisk.create(&file).unwrap();
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    assert!(RealDisk.create(&file).unwrap_err().is_already_exists());
}

#[test]
fn a_second_lock_on_the_same_directory_names_its_holder() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("lock");
    let held = RealDisk.lock(&path).unwrap();
    match RealDisk.lock(&path).unwrap_err() {
        LockError::Held { holder, .. } => assert_eq!(holder, format!("process {}", std::process::id())),
        other => panic!("expected Held, got {other}"),
    }
    drop(held);
    RealDisk.lock(&path).unwrap();
}

#[test]
fn a_checked_file_tells_missing_empty_and_damaged_apart() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("identity");
    let read = || read_checked(&RealDisk, &path, 1024);
    assert!(matches!(read(), Err(ReadFileError::Missing { .. })));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(read(), Err(ReadFileError::Empty { .. })));
    std::fs::write(&path, b"ab").unwrap();
    assert!(matches!(read(), Err(ReadFileError::Damaged { .. })));
    replace_file(&RealDisk, &path, &checksummed(b"contents".to_vec())).unwrap();
    assert_eq!(read().unwrap(), b"contents");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(read(), Err(ReadFileError::Damaged { .. })));
    assert_eq!(RealDisk.list(root.path()).unwrap(), ["identity"]);
}
