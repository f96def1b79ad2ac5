//! The faults: each hits whoever holds the lease at that moment, is timed to the next signature, and is mended.

use std::time::Duration;

use interlock_testkit::history::Entry;
use interlock_testkit::wait::{Seen, wait_until};

use super::world::{Healthy, World, node_of, now_unix_ns};
use crate::Outcome;

/// How long a failover may take before it counts as one that did not happen. Far above every budget: the measured gap
/// is reported, this only ends the wait.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is done to the running system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    HolderKilled,
    HolderNodeKilled,
    LeaderKilled,
    HolderCutOff,
    LeaderAndHolderKilled,
}

/// In the order in which they strike.
pub(super) const FAULTS: [Fault; 5] = [
    Fault::HolderKilled,
    Fault::HolderNodeKilled,
    Fault::LeaderKilled,
    Fault::HolderCutOff,
    Fault::LeaderAndHolderKilled,
];

impl Fault {
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::HolderKilled => "signer killed",
            Self::HolderNodeKilled => "validator node killed",
            Self::LeaderKilled => "guard leader killed",
            Self::HolderCutOff => "signer cut off from the guard",
            Self::LeaderAndHolderKilled => "guard leader and signer killed",
        }
    }

    /// The lease stays where it is when only a guard node dies.
    fn moves_the_lease(self) -> bool {
        self != Self::LeaderKilled
    }
}

/// A fault that has struck.
pub(super) struct Struck {
    fault: Fault,
    holder: String,
    leader: u64,
    height: u64,
    time_unix_ns: u64,
}

/// A fault and the signature that ended it.
pub(super) struct Recovery {
    pub(super) fault: Fault,
    /// Who signs now.
    pub(super) signer: String,
    /// Whether that is another signer than before.
    pub(super) moved: bool,
    /// From the fault to the signature.
    pub(super) gap_ms: u64,
    /// Newest height of the chain when the fault struck.
    pub(super) height_before: u64,
    /// Height of the signature.
    pub(super) height_after: u64,
    holder_before: String,
    leader_before: u64,
}

/// Strikes. The time is taken before the first signal, so that a gap is never measured too short.
pub(super) fn strike(fault: Fault, world: &mut World, healthy: &Healthy) -> Outcome<Struck> {
    let Healthy { holder, leader, .. } = healthy;
    let height = world.observer()?.status()?.height;
    let time_unix_ns = now_unix_ns();
    match fault {
        Fault::HolderKilled => world.cluster.kill_signer(holder)?,
        Fault::HolderNodeKilled => world.network.kill(node_of(holder))?,
        Fault::LeaderKilled => world.cluster.kill_node(*leader)?,
        Fault::HolderCutOff => world.cluster.cut_off(holder)?,
        Fault::LeaderAndHolderKilled => {
            world.cluster.kill_node(*leader)?;
            world.cluster.kill_signer(holder)?;
        }
    }
    Ok(Struck { fault, holder: holder.clone(), leader: *leader, height, time_unix_ns })
}

/// Waits for the signature that ends the fault, and for the chain to carry our vote again.
pub(super) fn await_recovery(world: &mut World, struck: Struck) -> Outcome<Recovery> {
    let signature = if struck.fault.moves_the_lease() {
        next_of_another(world, &struck)
    } else {
        next_under_new_leader(world, &struck)
    };
    let signature =
        signature.map_err(|error| format!("no failover after {}: {error}", struck.fault.cause()))?;
    let height_after = u64::try_from(signature.signed.height)?;
    wait_until("our vote on chain again", FAILOVER_TIMEOUT, || {
        if let Err(error) = world.must_run() {
            return Seen::Hopeless(error.to_string());
        }
        let newest = world.observer().and_then(|rpc| Ok(rpc.status()?.height));
        let seen = newest.and_then(|newest| {
            // A height can be checked once the next block has made its commit final.
            for height in height_after..newest {
                if world.is_on_chain(height)? {
                    return Ok(Ok(height));
                }
            }
            Ok(Err(newest))
        });
        match seen {
            Ok(Ok(height)) => Seen::Done(height),
            Ok(Err(newest)) => {
                Seen::Pending(format!("the chain is at {newest}, none since {height_after} is signed"))
            }
            Err(error) => Seen::Pending(error.to_string()),
        }
    })?;
    let Struck { fault, holder, leader, height, time_unix_ns } = struck;
    Ok(Recovery {
        fault,
        moved: signature.signer != holder,
        gap_ms: (signature.time_unix_ns - time_unix_ns).div_ceil(1_000_000),
        signer: signature.signer,
        height_before: height,
        height_after,
        holder_before: holder,
        leader_before: leader,
    })
}

/// The first signature of another signer than the one that was hit.
fn next_of_another(world: &mut World, struck: &Struck) -> Outcome<Entry> {
    wait_for_signature(world, |entries| {
        entries
            .iter()
            .find(|entry| entry.time_unix_ns > struck.time_unix_ns && entry.signer != struck.holder)
            .cloned()
    })
}

/// The signature that ends the pause while the guard elects a leader. Signatures approved just before the fault may
/// still leave after it, so the first one proves nothing. Of all signatures from the fault until one is seen after a
/// new leader is known, the one after the longest silence is the first that the new leader approved.
fn next_under_new_leader(world: &mut World, struck: &Struck) -> Outcome<Entry> {
    world.cluster.wait_for_leader(Some(struck.leader))?;
    let new_leader_ns = now_unix_ns();
    wait_for_signature(world, |entries| {
        entries.iter().find(|entry| entry.time_unix_ns > new_leader_ns).cloned()
    })?;
    let entries = world.signatures()?;
    let after = entries.iter().filter(|entry| entry.time_unix_ns > struck.time_unix_ns);
    let mut previous_ns = struck.time_unix_ns;
    let mut longest: Option<(u64, &Entry)> = None;
    for entry in after {
        let silence_ns = entry.time_unix_ns - previous_ns;
        previous_ns = entry.time_unix_ns;
        if longest.is_none_or(|(silence, _)| silence_ns > silence) {
            longest = Some((silence_ns, entry));
        }
        if entry.time_unix_ns > new_leader_ns {
            break;
        }
    }
    let (_, entry) = longest.ok_or("a signature that was seen before is gone from the tap")?;
    Ok(entry.clone())
}

fn wait_for_signature(world: &mut World, find: impl Fn(&[Entry]) -> Option<Entry>) -> Outcome<Entry> {
    let found = wait_until("the next signature", FAILOVER_TIMEOUT, || {
        if let Err(error) = world.must_run() {
            return Seen::Hopeless(error.to_string());
        }
        match world.signatures() {
            Err(error) => Seen::Hopeless(error.to_string()),
            Ok(entries) => match find(&entries) {
                Some(entry) => Seen::Done(entry),
                None => Seen::Pending(format!("{} signatures, none that counts", entries.len())),
            },
        }
    });
    Ok(found?)
}

/// Undoes the fault: what was killed is started again as it was, what was cut is healed.
pub(super) fn mend(world: &mut World, recovery: &Recovery) -> Outcome<()> {
    let Recovery { fault, holder_before, leader_before, .. } = recovery;
    match fault {
        Fault::HolderKilled => world.cluster.start_signer(holder_before)?,
        Fault::HolderNodeKilled => world.network.start(node_of(holder_before))?,
        Fault::LeaderKilled => world.cluster.start_node(*leader_before)?,
        Fault::HolderCutOff => world.cluster.heal(holder_before)?,
        Fault::LeaderAndHolderKilled => {
            world.cluster.start_node(*leader_before)?;
            world.cluster.start_signer(holder_before)?;
        }
    }
    Ok(())
}
