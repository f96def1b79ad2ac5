//! Enrolment, start, disk failure and shutdown.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod rig;

use ed25519_dalek::SigningKey;
use interlock_disk::sim::{Fault, FaultKind};
use interlock_disk::{LockError, Operation, SimDisk};
use interlock_proto::Role;
use interlock_signer::{
    EnrollError, KeyFileError, Signer, StartError, StateDirError, WatermarkError, enroll, enroll_on,
};
use rig::{FLOOR, Node, Rig, precommit, prevote, write_key_file};
use std::path::Path;

const NOWHERE: &str = "unix:///nonexistent/node.sock";

#[tokio::test]
async fn a_signer_that_was_never_enrolled_does_not_start() {
    let rig = Rig::new().await;
    let config = rig.config("alpha", NOWHERE);
    let error = Signer::start(&config, None).await.unwrap_err();
    assert!(matches!(error, StartError::StateDir(StateDirError::Missing { .. })));
    assert!(error.to_string().contains("interlock signer enroll"), "{error}");

    std::fs::create_dir(&config.state_dir).unwrap();
    let error = Signer::start(&config, None).await.unwrap_err();
    assert!(matches!(error, StartError::Watermark(WatermarkError::Missing { .. })));
}

#[tokio::test]
async fn enrolment_happens_once_and_takes_over_what_was_approved() {
    let rig = Rig::new().await;
    let (_alpha, mut node) = rig.start_holder("alpha").await;
    node.vote(precommit(7, 1, b"")).await.unwrap();

    let config = rig.config("beta", NOWHERE);
    let enrolled = enroll(&config).await.unwrap();
    assert_eq!(enrolled[0].floor_height, FLOOR);
    assert_eq!(enrolled[0].approved, rig.guard.approved(rig.key_id));
    assert_eq!(enrolled[0].cluster, interlock_client::fake_guard::CLUSTER);
    let error = enroll(&config).await.unwrap_err();
    assert!(matches!(error, EnrollError::Watermark(WatermarkError::Exists { .. })), "{error}");
    Signer::start(&config, None).await.unwrap();
}

#[tokio::test]
async fn enrolment_checks_the_key_against_the_guard_and_leaves_nothing_behind() {
    let rig = Rig::new().await;
    let config = rig.config("alpha", NOWHERE);

    let mut wrong = config.clone();
    wrong.keys[0].chain_id = "chain-2".parse().unwrap();
    let error = enroll(&wrong).await.unwrap_err();
    assert!(matches!(error, EnrollError::Differs { what: "chain id", .. }), "{error}");

    let mut wrong = config.clone();
    wrong.keys[0].key_file = rig.path("other.json");
    write_key_file(&wrong.keys[0].key_file, &SigningKey::from_bytes(&[43; 32]), 0o600);
    let error = enroll(&wrong).await.unwrap_err();
    assert!(matches!(error, EnrollError::Differs { what: "public key", .. }), "{error}");

    let mut wrong = config.clone();
    wrong.keys[0].name = "unknown".parse().unwrap();
    let error = enroll(&wrong).await.unwrap_err();
    assert!(matches!(error, EnrollError::Guard { .. }), "{error}");

    let stranger = rig.config("gamma", NOWHERE);
    let error = enroll(&stranger).await.unwrap_err();
    assert!(matches!(error, EnrollError::NotRegistered { .. }), "{error}");

    enroll(&config).await.unwrap();
}

#[tokio::test]
async fn bad_files_and_certificates_are_named() {
    let rig = Rig::new().await;
    let config = rig.config("alpha", NOWHERE);
    enroll(&config).await.unwrap();

    write_key_file(&config.keys[0].key_file, &rig.key, 0o644);
    let error = Signer::start(&config, None).await.unwrap_err();
    let StartError::KeyFile { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source, KeyFileError::Permissions { mode: 0o644, .. }));
    write_key_file(&config.keys[0].key_file, &rig.key, 0o600);

    let mut operator = config.clone();
    operator.tls = rig.guard.tls("root", Role::Operator);
    let error = Signer::start(&operator, None).await.unwrap_err();
    assert!(matches!(error, StartError::NotASigner { .. }), "{error}");

    let mut missing = config.clone();
    missing.tls.ca = rig.path("absent.pem");
    let error = Signer::start(&missing, None).await.unwrap_err();
    assert!(error.to_string().contains("absent.pem"), "{error}");

    let mut unknown_tap = config.clone();
    unknown_tap.timing.redial_ms = 5_000;
    assert!(matches!(Signer::start(&unknown_tap, None).await, Err(StartError::Config(_))));
    Signer::start(&config, None).await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let rig = Rig::new().await;
    let config = rig.config("alpha", NOWHERE);
    enroll(&config).await.unwrap();
    let first = Signer::start(&config, None).await.unwrap();
    let error = Signer::start(&config, None).await.unwrap_err();
    assert!(matches!(error, StartError::StateDir(StateDirError::Lock(LockError::Held { .. }))), "{error}");
    first.shutdown().await;
    Signer::start(&config, None).await.unwrap();
}

#[tokio::test]
async fn a_failed_write_signs_nothing_and_is_reported() {
    let rig = Rig::new().await;
    let disk = SimDisk::new();
    let mut node = Node::bind().await;
    let mut config = rig.config("alpha", &node.address());
    config.state_dir = Path::new("/state").to_owned();
    enroll_on(&disk, &config).await.unwrap();
    let signer = Signer::start_on(&disk, &config, Some(&rig.path("tap-alpha.jsonl"))).await.unwrap();
    rig.guard.wait_sessions("alpha").await;
    rig.grant("alpha", signer.holder().incarnation);
    node.accept().await;
    node.vote(prevote(5, 1)).await.unwrap();

    disk.inject(Fault::from_now(Operation::SyncData, "watermark", FaultKind::Io));
    let error = node.vote(prevote(6, 1)).await.unwrap_err();
    assert!(error.contains("S7 local watermark: it could not be written"), "{error}");
    // Even the repeat of what was signed, and even with a disk that works again.
    disk.clear_faults();
    for vote in [prevote(5, 1), prevote(7, 1)] {
        assert!(node.vote(vote).await.unwrap_err().contains("nothing is signed until"));
    }
    assert_eq!(rig.tap("alpha").len(), 1);
    rig.guard
        .wait("the report", |inner| {
            let unfit = |keys: &[interlock_proto::v1::KeyHealth]| keys.iter().all(|key| !key.fit);
            inner.sessions.values().all(|(_, keys)| unfit(keys)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn after_a_crash_the_watermark_still_holds() {
    let rig = Rig::new().await;
    let disk = SimDisk::new();
    let mut node = Node::bind().await;
    let mut config = rig.config("alpha", &node.address());
    config.state_dir = Path::new("/state").to_owned();
    enroll_on(&disk, &config).await.unwrap();
    let signer = Signer::start_on(&disk, &config, None).await.unwrap();
    rig.guard.wait_sessions("alpha").await;
    rig.grant("alpha", signer.holder().incarnation);
    node.accept().await;
    node.vote(prevote(5, 1)).await.unwrap();
    let before = signer.holder().incarnation;
    drop(signer);
    disk.power_cut(7);

    let signer = Signer::start_on(&disk, &config, None).await.unwrap();
    assert_ne!(signer.holder().incarnation, before, "a restarted signer is another holder");
    let after = signer.holder().incarnation;
    rig.guard
        .wait("the new sessions", |inner| {
            (inner.sessions.values().filter(|(incarnation, _)| *incarnation == after).count() == 3)
                .then_some(())
        })
        .await;
    rig.grant("alpha", after);
    node.accept().await;
    let error = node.vote(prevote(5, 2)).await.unwrap_err();
    assert!(error.starts_with("S7 local watermark: double sign"), "{error}");
    node.vote(prevote(5, 1)).await.unwrap();
}

#[tokio::test]
async fn shutdown_answers_first_and_gives_the_lease_back() {
    let rig = Rig::new().await;
    let (signer, mut node) = rig.start_holder("alpha").await;
    node.vote(prevote(5, 1)).await.unwrap();
    signer.shutdown().await;
    assert_eq!(rig.guard.holder(rig.key_id), None);
}
