//! The conformance suite of EIP-3076 through the rule book: every import, block and attestation of every file.
//!
//! The files are not part of this project: `INTERLOCK_EIP3076_DIR` names their folder, `../shared/data/eip3076`
//! beside the workspace is the default. Without them the test says that it did not run, and fails where it must run.

use interlock_chains::ethereum::interchange::{Interchange, InterchangeError};
use interlock_core::command::AddKey;
use interlock_core::ethereum::{EthereumClaim, EthereumIntent};
use interlock_core::{
    Action, ChainIdentity, Claim, ClusterId, Command, Digest, Epoch, Holder, Incarnation, Intent, KeyId,
    KeyName, LogPosition, Policy, PublicKey, Reason, Rule, SignerId, State,
};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const FOLDER: &str = "INTERLOCK_EIP3076_DIR";
/// Set where a missing folder is a failure.
const REQUIRED: &str = "INTERLOCK_REQUIRE_CHAINS";

const CLUSTER: ClusterId = ClusterId([1; 16]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    name: String,
    genesis_validators_root: String,
    steps: Vec<TestStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestStep {
    /// Of the import.
    should_succeed: bool,
    /// An implementation may refuse these; ours takes the maxima.
    #[serde(rename = "contains_slashable_data")]
    _contains_slashable_data: bool,
    interchange: serde_json::Value,
    blocks: Vec<Block>,
    attestations: Vec<Attestation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    pubkey: String,
    slot: String,
    #[serde(default)]
    signing_root: Option<String>,
    should_succeed: bool,
    #[serde(rename = "should_succeed_complete")]
    _should_succeed_complete: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attestation {
    pubkey: String,
    source_epoch: String,
    target_epoch: String,
    #[serde(default)]
    signing_root: Option<String>,
    should_succeed: bool,
    #[serde(rename = "should_succeed_complete")]
    _should_succeed_complete: bool,
}

#[derive(Default, Debug)]
struct Counts {
    files: usize,
    steps: usize,
    imports_refused: usize,
    block_checks: usize,
    attestation_checks: usize,
}

/// One file's state: a cluster whose keys this test alone holds.
struct World {
    state: State,
    next_index: u64,
    network: Digest,
    keys: BTreeSet<KeyId>,
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap().try_into().unwrap()
}

fn holder() -> Holder {
    Holder { signer: SignerId::parse("alpha").unwrap(), incarnation: Incarnation([1; 16]) }
}

impl World {
    fn new(network: Digest) -> Self {
        Self { state: State::genesis(CLUSTER), next_index: 1, network, keys: BTreeSet::new() }
    }

    fn act(&mut self, command: &Command) -> Rule {
        let at = LogPosition { log_index: self.next_index, item: 0 };
        self.next_index += 1;
        self.state.apply(at, command).rule()
    }

    /// Adds a key that this file has not named before, and takes its lease.
    fn key(&mut self, public_key: &PublicKey) -> KeyId {
        let chain = ChainIdentity::Ethereum { genesis_validators_root: self.network };
        let key = KeyId::of(&chain, public_key);
        if self.keys.insert(key) {
            let add = AddKey {
                name: KeyName::parse(&format!("key-{}", self.keys.len())).unwrap(),
                chain,
                public_key: public_key.clone(),
                signers: vec![holder().signer],
                claim: Claim::Ethereum(EthereumClaim::default()),
                policy: Policy { max_jump_heights: u64::MAX, ..Policy::default() },
            };
            assert_eq!(self.act(&add.into_command(CLUSTER)), Rule::KeyChanged);
            let acquire = Action::Acquire { holder: holder(), expected_epoch: Epoch(0) };
            assert_eq!(self.act(&Command { cluster: CLUSTER, key, action: acquire }), Rule::LeaseGranted);
        }
        key
    }

    fn import(&mut self, interchange: &str) -> Result<(), InterchangeError> {
        for (public_key, claim) in Interchange::parse(interchange, self.network)?.claims() {
            let key = self.key(&public_key);
            let import = Action::Import {
                expected_version: self.state.key(key).unwrap().version,
                claim: Claim::Ethereum(claim),
                jump_confirmed: false,
                reason: Reason::parse("EIP-3076").unwrap(),
            };
            assert_eq!(self.act(&Command { cluster: CLUSTER, key, action: import }), Rule::KeyChanged);
        }
        Ok(())
    }

    fn approve(&mut self, pubkey: &str, intent: EthereumIntent) -> Rule {
        let key = self.key(&PublicKey::new(&bytes::<48>(pubkey)).unwrap());
        let intent = Intent::Ethereum(intent);
        let action = Action::Approve { holder: holder(), epoch: Epoch(1), intent };
        self.act(&Command { cluster: CLUSTER, key, action })
    }
}

fn is_signed(rule: Rule) -> bool {
    match rule {
        Rule::Advance | Rule::Repeat => true,
        Rule::IntentSound | Rule::AboveFloor | Rule::NoRegression | Rule::NoConflict => false,
        other => panic!("{other} has nothing to do with slashing"),
    }
}

fn signing_root(text: Option<&String>) -> Digest {
    text.map_or(Digest([0; 32]), |root| Digest(bytes(root)))
}

fn run_step(world: &mut World, name: &str, step: &TestStep, counts: &mut Counts) {
    let imported = world.import(&step.interchange.to_string());
    assert_eq!(imported.is_ok(), step.should_succeed, "{name}: import {imported:?}");
    counts.imports_refused += usize::from(imported.is_err());
    for block in &step.blocks {
        let slot = block.slot.parse().unwrap();
        let signing_root = signing_root(block.signing_root.as_ref());
        let rule = world.approve(&block.pubkey, EthereumIntent::Block { slot, signing_root });
        assert_eq!(is_signed(rule), block.should_succeed, "{name}: block at slot {slot}: {rule}");
        counts.block_checks += 1;
    }
    for attestation in &step.attestations {
        let source_epoch = attestation.source_epoch.parse().unwrap();
        let target_epoch = attestation.target_epoch.parse().unwrap();
        let signing_root = signing_root(attestation.signing_root.as_ref());
        let intent = EthereumIntent::Attestation { source_epoch, target_epoch, signing_root };
        let rule = world.approve(&attestation.pubkey, intent);
        let what = format!("{name}: attestation {source_epoch} to {target_epoch}: {rule}");
        assert_eq!(is_signed(rule), attestation.should_succeed, "{what}");
        counts.attestation_checks += 1;
    }
    counts.steps += 1;
}

fn folder() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/eip3076");
    std::env::var_os(FOLDER).map_or(default, PathBuf::from)
}

/// Past the capture of the test harness: a test that did not run must not look like one that passed.
fn say(text: &str) {
    let mut past_the_capture = std::io::stderr();
    writeln!(past_the_capture, "{text}").unwrap();
}

#[test]
fn eip3076_interchange() {
    let folder = folder();
    if !folder.is_dir() {
        let text = format!("NOT RUN: eip3076_interchange: no folder {}; set {FOLDER}", folder.display());
        assert!(std::env::var_os(REQUIRED).is_none(), "{text}");
        return say(&text);
    }
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut counts = Counts::default();
    for path in &paths {
        let file: TestFile = serde_json::from_slice(&std::fs::read(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut world = World::new(Digest(bytes(&file.genesis_validators_root)));
        for step in &file.steps {
            run_step(&mut world, &file.name, step, &mut counts);
        }
        counts.files += 1;
    }
    assert!(counts.steps > 0 && counts.block_checks > 0 && counts.attestation_checks > 0, "{counts:?}");
    say(&format!("eip3076_interchange: {counts:?}"));
}
