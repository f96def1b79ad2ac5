//! Signers that are not what they were: one that lost its disk, and one that runs twice.

use std::path::PathBuf;
use std::process::Command;

use interlock_testkit::cluster::KEY_NAME;
use interlock_testkit::history::Entry;
use interlock_testkit::process::{Process, ProcessSpec, run_to_end};
use interlock_testkit::wait::{Seen, wait_until};

use crate::program::interlock;
use crate::world::{DEADLINE, SIGNERS, World, node_of};

/// Index of the validator node of the clone.
const CLONE_NODE: usize = SIGNERS.len();

impl World {
    fn state_of(&self, signer: &str) -> PathBuf {
        self.directory().join(signer).join("state")
    }

    /// Deletes what a signer remembers, as a new disk would.
    pub(crate) fn lose_state(&self, signer: &str) {
        let state = self.state_of(signer);
        let mut watermarks = 0;
        for file in std::fs::read_dir(&state).unwrap() {
            let path = file.unwrap().path();
            watermarks += usize::from(path.extension().is_some_and(|extension| extension == "watermark"));
            std::fs::remove_file(path).unwrap();
        }
        assert_eq!(watermarks, 1, "{signer} had a local watermark to lose");
    }
}

/// Staked 2021 in small: a signer without local state. It must not begin at zero (S6).
#[test]
fn a_signer_that_lost_its_watermark_does_not_start_until_it_is_enrolled_again() {
    let mut world = World::running();
    let (lost, _) = world.lease();
    let successor = world.takeover_from(&lost, |world| world.cluster.kill_signer(&lost).unwrap());
    world.lose_state(&lost);
    let signed_before = world.tap(&lost).len();

    world.cluster.start_signer(&lost).unwrap();
    let refusal = world.wait_for_the_end_of(&lost);
    assert!(refusal.contains("interlock signer enroll"), "{refusal}");
    assert_eq!(world.tap(&lost).len(), signed_before);
    world.sign_on(2);
    assert_eq!(world.lease().0, successor);

    world.cluster.enroll_signer(&lost).unwrap();
    world.cluster.start_signer(&lost).unwrap();
    world.wait_until_healthy(&lost);
    world.hand_over_to(&lost);
    world.wait_until_refused(node_of(&lost), &["S7 ", "R10 ", "R11 "]);
    world.wait(&format!("{lost} to sign again"), |world| match world.tap(&lost).len() {
        signed if signed > signed_before => Ok(()),
        signed => Err(format!("{signed} signatures, as before")),
    });
    world.finish();
}

impl World {
    /// Waits until a signer that must not start has ended with a failure; returns the end of its log.
    fn wait_for_the_end_of(&mut self, signer: &str) -> String {
        let ended = wait_until("its end", DEADLINE, || {
            match self.cluster.signer_process(signer).unwrap().exit_status().unwrap() {
                Some(status) => Seen::Done(status),
                None => Seen::Pending("it runs".to_owned()),
            }
        });
        assert!(!ended.unwrap().success());
        let log = self.cluster.signer_process(signer).unwrap().log_tail();
        // Forgets the process; an error says that it had ended by itself, which is what is wanted.
        self.cluster.kill_signer(signer).unwrap_err();
        log
    }

    /// A planned failover, repeated while the candidate is not ready yet.
    fn hand_over_to(&mut self, signer: &str) {
        self.wait(&format!("a handover to {signer}"), |world| {
            let arguments = ["failover", KEY_NAME, "--to", signer, "--reason", "test"];
            let answer = world.cluster.operate(&arguments).map(drop).map_err(|error| error.to_string());
            match world.cluster.key().map(|key| key.holder) {
                Ok(Some(holder)) if holder == signer => Ok(()),
                other => Err(format!("{answer:?}; {other:?}")),
            }
        });
    }

    /// A second process of alpha: the same certificate and key file, its own state and its own validator node.
    fn start_clone_of_alpha(&mut self) -> (Process, PathBuf) {
        let home = self.directory().join("clone");
        std::fs::create_dir_all(&home).unwrap();
        let original = std::fs::read_to_string(self.directory().join("alpha/signer.toml")).unwrap();
        let replaced = |text: String, from: &str, to: &str| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replace(from, to)
        };
        let state = home.join("state");
        let text = replaced(original, &self.state_of("alpha").display().to_string(), state.to_str().unwrap());
        let text = replaced(text, &self.address(0).to_string(), &self.address(CLONE_NODE).to_string());
        let text = replaced(text, "node-of-alpha", "node-of-clone");
        let config = home.join("signer.toml");
        std::fs::write(&config, text).unwrap();
        run_to_end(Command::new(interlock()).args(["signer", "enroll", "--config"]).arg(&config)).unwrap();
        let tap = self.directory().join("clone.tap");
        let spec = ProcessSpec::new("clone", interlock(), self.directory().join("logs/clone.log"))
            .argument("signer")
            .argument("start")
            .argument("--config")
            .argument(&config)
            .argument("--signature-tap")
            .argument(&tap);
        let process = spec.start().unwrap();
        self.add_tap(tap.clone());
        (process, tap)
    }
}

/// Launchnodes 2023 in small: two environments with one identity. A lease belongs to a process, not to a name.
#[test]
fn a_cloned_signer_stands_by_like_any_other_process() {
    let mut world = World::created(CLONE_NODE + 1);
    world.cluster.start_all().unwrap();
    world.wait_until_healthy("alpha");
    let (mut clone, clone_tap) = world.start_clone_of_alpha();
    world.begin();
    world.sign_on(5);
    assert_eq!(world.lease().0, "alpha");
    assert!(world.read_tap(&clone_tap).is_empty(), "both processes sign");
    assert!(!world.tap("alpha").is_empty());

    world.cluster.kill_signer("alpha").unwrap();
    let before_kill = world.tap("alpha").len();
    world.wait("the clone signs", |world| match world.read_tap(&clone_tap).len() {
        0 => Err(format!("{:?}", world.cluster.key())),
        _ => Ok(()),
    });
    world.cluster.start_signer("alpha").unwrap();
    world.wait("two processes of alpha", |world| {
        let view = world.cluster.view().map_err(|error| error.to_string())?;
        let processes = view.signers.iter().filter(|signer| signer.name == "alpha" && signer.healthy).count();
        if processes == 2 { Ok(()) } else { Err(format!("{view:?}")) }
    });
    world.sign_on(5);
    assert_eq!(
        world.tap("alpha").len(),
        before_kill,
        "the restarted process signs although the clone holds the lease"
    );
    assert_eq!(changes_of_signer(&[world.tap("alpha"), world.read_tap(&clone_tap), world.tap("beta")]), 1);
    clone.must_run().unwrap();
    world.finish();
}

/// How often, over time, another process signs than before.
fn changes_of_signer(taps: &[Vec<Entry>]) -> usize {
    let of_all = taps.iter().enumerate();
    let signed = of_all.flat_map(|(tap, entries)| entries.iter().map(move |entry| (entry.time_unix_ns, tap)));
    let mut signed: Vec<(u64, usize)> = signed.collect();
    signed.sort_unstable();
    signed.windows(2).filter(|pair| pair[0].1 != pair[1].1).count()
}
