//! Format and open: every way in which a data directory is not the right one has its own error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CLUSTER, directory, expected, options, spec};
use interlock_core::ClusterId;
use interlock_disk::{LockError, SimDisk, checksummed};
use interlock_store::wal::WalOpenError;
use interlock_store::{Expected, FormatError, IdentityError, Store, StoreOpenError, format};
use std::path::Path;
use std::sync::Arc;

fn identity_error(result: Result<Store, StoreOpenError>) -> IdentityError {
    match result {
        Err(StoreOpenError::Identity(error)) => error,
        other => panic!("expected an identity error, got {other:?}"),
    }
}

#[test]
fn a_formatted_directory_opens_as_what_it_was_formatted() {
    let data = directory();
    data.format();
    let identity = data.open().unwrap().identity;
    assert_eq!((identity.cluster_id, identity.node_id, identity.incarnation), (CLUSTER, 1, 0x1234));
    assert_eq!(identity.founding_members, spec(CLUSTER).members);
}

#[test]
fn format_refuses_a_directory_that_holds_anything() {
    let data = directory();
    data.format();
    let again = format(data.disk.as_ref(), &data.path, &spec(CLUSTER), &options().wal).unwrap_err();
    assert!(matches!(again, FormatError::NotEmpty { .. }), "{again}");
    data.open().unwrap();
    let other = directory();
    std::fs::create_dir(&other.path).unwrap();
    std::fs::write(other.path.join("notes.txt"), "mine").unwrap();
    let refused = format(other.disk.as_ref(), &other.path, &spec(CLUSTER), &options().wal).unwrap_err();
    assert!(refused.to_string().contains("notes.txt"), "{refused}");
}

#[test]
fn format_refuses_unsound_members() {
    let data = directory();
    let mut stranger = spec(CLUSTER);
    stranger.node_id = 9;
    let refused = format(data.disk.as_ref(), &data.path, &stranger, &options().wal).unwrap_err();
    assert!(matches!(refused, FormatError::NotAMember { node_id: 9, .. }), "{refused}");
    let mut doubled = spec(CLUSTER);
    doubled.members[1].id = 1;
    let refused = format(data.disk.as_ref(), &data.path, &doubled, &options().wal).unwrap_err();
    assert!(matches!(refused, FormatError::UnsoundMembers { count: 3, .. }), "{refused}");
    assert!(!data.path.exists(), "nothing is left behind");
}

#[test]
fn an_absent_or_empty_directory_is_not_formatted_and_stays_as_it_is() {
    let data = directory();
    assert!(matches!(identity_error(data.open()), IdentityError::NotFormatted { .. }));
    assert!(!data.path.exists());
    std::fs::create_dir(&data.path).unwrap();
    assert!(matches!(identity_error(data.open()), IdentityError::NotFormatted { .. }));
    assert_eq!(std::fs::read_dir(&data.path).unwrap().count(), 0);
}

#[test]
fn a_lost_or_damaged_identity_is_refused() {
    let data = directory();
    data.format();
    let file = data.path.join("identity");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..10]).unwrap();
    assert!(matches!(identity_error(data.open()), IdentityError::Unreadable { .. }));
    std::fs::write(&file, []).unwrap();
    assert!(identity_error(data.open()).to_string().contains("empty"));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(identity_error(data.open()), IdentityError::Incomplete { .. }));
}

#[test]
fn data_of_another_node_cluster_or_release_is_refused() {
    let data = directory();
    data.format();
    let open = |expected: Expected| Store::open(Arc::clone(&data.disk), &data.path, expected, &options());
    let other_node = identity_error(open(Expected { node_id: 2, cluster_id: None }));
    assert!(matches!(other_node, IdentityError::OtherNode { found: 1, expected: 2, .. }), "{other_node}");
    let other_cluster = identity_error(open(Expected { node_id: 1, cluster_id: Some(ClusterId([8; 16])) }));
    assert!(matches!(other_cluster, IdentityError::OtherCluster { .. }), "{other_cluster}");
    open(Expected { node_id: 1, cluster_id: None }).unwrap();

    let file = data.path.join("identity");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() - 4);
    bytes[0] = 9;
    std::fs::write(&file, checksummed(bytes)).unwrap();
    let newer = identity_error(open(expected()));
    assert!(matches!(newer, IdentityError::NewerFormat { found: 9, known: 1, .. }), "{newer}");
}

#[test]
fn a_second_process_on_the_directory_is_refused_until_the_first_ends() {
    let data = directory();
    data.format();
    let first = data.open().unwrap();
    let second = identity_error(data.open());
    match second {
        IdentityError::Lock(LockError::Held { holder, .. }) => {
            assert_eq!(holder, format!("process {}", std::process::id()));
        }
        other => panic!("expected a held lock, got {other}"),
    }
    let reader = first.state.clone();
    drop(first);
    assert!(data.open().is_err(), "a handle that is still used keeps the directory locked");
    drop(reader);
    data.open().unwrap();
}

#[test]
fn a_wiped_or_foreign_log_is_refused() {
    let data = directory();
    data.format();
    let segment = data.path.join("log/00000000000000000001.wal");
    let other = directory();
    let mut other_spec = spec(CLUSTER);
    other_spec.incarnation = 0x9999;
    format(other.disk.as_ref(), &other.path, &other_spec, &options().wal).unwrap();
    std::fs::copy(other.path.join("log/00000000000000000001.wal"), &segment).unwrap();
    let foreign = data.open().unwrap_err();
    assert!(matches!(foreign, StoreOpenError::Log(WalOpenError::Foreign { .. })), "{foreign}");
    std::fs::remove_file(&segment).unwrap();
    let wiped = data.open().unwrap_err();
    assert!(matches!(wiped, StoreOpenError::Log(WalOpenError::Missing { .. })), "{wiped}");
}

#[test]
fn a_format_that_was_cut_never_opens_as_a_node() {
    for cut in 1..200 {
        let disk = SimDisk::new();
        disk.cut_after(cut);
        let path = Path::new("/data");
        let mut small = options();
        small.wal.segment_bytes = 8192;
        let formatted = format(&disk, path, &spec(CLUSTER), &small.wal).is_ok();
        disk.power_cut(cut);
        small.audit.index = false;
        let opened = Store::open(Arc::new(disk), path, expected(), &small);
        assert!(opened.is_ok() || !formatted, "cut {cut}: {opened:?}");
        if formatted {
            return;
        }
    }
    panic!("format never completed");
}
