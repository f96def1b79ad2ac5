//! Reads everything back at the end: every block of every node for evidence, every commit, every tap, the nodes' logs.

use std::collections::{BTreeMap, BTreeSet};

use interlock_testkit::cometbft::GUARDED_NODES;
use interlock_testkit::history::{Conflict, Entry, conflicts, read_tap};
use interlock_testkit::signbytes::Kind;

use super::world::World;
use crate::Outcome;

/// How a node's log shows that a precommit came back signed.
const SIGNED_VOTE: &str = "signed and pushed vote";
const PRECOMMIT: &str = "SIGNED_MSG_TYPE_PRECOMMIT";

/// What the chain and the taps say.
pub(super) struct Ledger {
    /// For each final height, whether its commit carries the guarded validator's signature.
    pub(super) signed: BTreeMap<u64, bool>,
    /// Evidence of a double sign, as `node height: item`.
    pub(super) evidence: Vec<String>,
    /// Signatures that must not both exist.
    pub(super) conflicts: Vec<Conflict>,
    /// Heights whose commit carries a signature of ours that no tap shows: the taps would then prove nothing.
    pub(super) untapped: Vec<u64>,
    /// Guarded nodes whose log shows no precommit of ours.
    pub(super) idle_nodes: Vec<String>,
}

pub(super) fn read(world: &World) -> Outcome<Ledger> {
    let identity = &world.network.layout().identity;
    let mut entries = Vec::new();
    for signer in world.cluster.signer_names() {
        entries.extend(read_tap(world.cluster.tap(signer)?, &identity.public_key)?);
    }
    let observer = world.observer()?;
    let newest = observer.status()?.height;
    let tapped = tapped_precommits(&entries);
    let (mut signed, mut untapped) = (BTreeMap::new(), Vec::new());
    for height in 1..newest {
        let votes = observer.commit(height)?;
        let ours = votes.iter().find(|vote| vote.address == identity.address);
        signed.insert(height, ours.is_some());
        if ours.is_some_and(|vote| !tapped.contains(vote.signature.as_slice())) {
            untapped.push(height);
        }
    }
    Ok(Ledger {
        signed,
        evidence: evidence(world)?,
        conflicts: conflicts(&entries),
        untapped,
        idle_nodes: idle_nodes(world)?,
    })
}

fn tapped_precommits(entries: &[Entry]) -> BTreeSet<&[u8]> {
    let precommits = entries.iter().filter(|entry| entry.signed.kind == Kind::Precommit);
    precommits.map(|entry| entry.signature.as_slice()).collect()
}

fn evidence(world: &World) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for home in world.network.layout().homes() {
        for height in 1..=home.rpc.status()?.height {
            let items = home.rpc.evidence(height)?;
            found.extend(items.iter().map(|item| format!("{} height {height}: {item}", home.name)));
        }
    }
    Ok(found)
}

/// Both guarded nodes carried the validator at some time, so both logs show its precommits.
fn idle_nodes(world: &World) -> Outcome<Vec<String>> {
    let mut idle = Vec::new();
    for name in GUARDED_NODES {
        let log = std::fs::read_to_string(world.network.log(name))?;
        if !log.lines().any(|line| line.contains(SIGNED_VOTE) && line.contains(PRECOMMIT)) {
            idle.push(name.to_owned());
        }
    }
    Ok(idle)
}
