//! Floors of a restored cluster: what each key may have signed after the record that is restored was saved.
//!
//! Nothing here lowers anything: floors are claims, and claims only raise (S4). Every key that may still sign needs a
//! word about what came after the backup; a key that nobody speaks for is refused by name (S6).

use interlock_core::cometbft::CometbftClaim;
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim};
use interlock_core::generic::GenericClaim;
use interlock_core::key::WINDOW_HEIGHTS_MAX;
use interlock_core::tezos::TezosClaim;
use interlock_core::{ChainIdentity, Claim, KeyId, KeyName, KeyRecord, KeyState, Protocol, State, Watermark};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Heights above a chain's head and the largest window that a floor from that head excludes besides: what the chain may
/// do between the look at its head and the fencing of the last old signer.
pub const HEAD_MARGIN_HEIGHTS: u64 = 16;
/// Slots of an Ethereum epoch, to move epochs along with slots.
const SLOTS_PER_EPOCH: u64 = 32;

/// Somebody's word on what keys may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloorSource {
    /// An operator's claim about one key.
    Claim {
        /// Name of the key.
        key: KeyName,
        /// What it may have signed.
        claim: Claim,
    },
    /// The local watermark of one signer.
    Watermark {
        /// The key it is of.
        key: KeyId,
        /// What that signer may have signed.
        claim: Claim,
        /// Which file, with all links resolved: two of one file are one.
        file: PathBuf,
    },
    /// The head of a CometBFT chain, as a node that is not catching up tells it.
    Head {
        /// The chain.
        chain_id: String,
        /// Its newest height.
        height: u64,
    },
    /// The operator's estimate for every key: it signed at most so many heights beyond the record.
    Bump {
        /// How many.
        heights: u64,
    },
}

/// Why the floors are not enough, or not right. Nothing was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// Nobody speaks for a key.
    #[error(
        "key {name}: nothing says what it signed after this record was saved; give its chain's head, a claim, the local \
         watermarks of all its {signers} signers (found: {watermarks}), or --bump-heights"
    )]
    Uncovered {
        /// The key.
        name: KeyName,
        /// Watermark files that were given for it.
        watermarks: usize,
        /// Signers that may have signed with it.
        signers: usize,
    },
    /// A claim about a key that is not in the record.
    #[error("there is no key {0} in this record")]
    UnknownKey(String),
    /// The head of a chain that no key is for.
    #[error("no CometBFT key in this record signs for chain {0:?}")]
    UnknownChain(String),
    /// The claim is for another protocol.
    #[error("key {name} is a {protocol} key, the claim is for another protocol")]
    OtherProtocol {
        /// The key.
        name: KeyName,
        /// Its protocol.
        protocol: Protocol,
    },
    /// A bump by nothing says nothing.
    #[error("--bump-heights 0 says that no key signed anything since: leave nothing out and give at least 1")]
    NoBump,
    /// Beyond what the protocol can express.
    #[error("key {name}: height {height} is beyond what its protocol can express")]
    TooHigh {
        /// The key.
        name: KeyName,
        /// The height.
        height: u64,
    },
}

/// The claims to import, by key.
///
/// # Errors
/// See [`FloorError`].
pub(super) fn floors(state: &State, sources: &[FloorSource]) -> Result<Vec<(KeyId, Claim)>, FloorError> {
    check_sources(state, sources)?;
    let mut found = Vec::new();
    for (key, record) in state.keys().filter(|(_, record)| !matches!(record.state, KeyState::Retired { .. }))
    {
        let mut covered = false;
        let mut watermarks = BTreeMap::new();
        for source in sources {
            let claim = match source {
                FloorSource::Claim { key: name, claim } if *name == record.name => claim.clone(),
                FloorSource::Head { chain_id, height } if is_of_chain(record, chain_id) => {
                    let margin = WINDOW_HEIGHTS_MAX + HEAD_MARGIN_HEIGHTS;
                    Claim::Cometbft(CometbftClaim::floor(height.saturating_add(margin)))
                }
                FloorSource::Bump { heights } => bumped(record, *heights)?,
                FloorSource::Watermark { key: of, claim, file } if *of == key => {
                    watermarks.insert(file, ());
                    found.push((key, claim.clone()));
                    continue;
                }
                _ => continue,
            };
            covered = true;
            found.push((key, claim));
        }
        // One signer's watermark says nothing about what another signed.
        let signers = record.signers.len();
        if !covered && watermarks.len() < signers {
            let (name, watermarks) = (record.name.clone(), watermarks.len());
            return Err(FloorError::Uncovered { name, watermarks, signers });
        }
    }
    Ok(found)
}

fn is_of_chain(record: &KeyRecord, chain_id: &str) -> bool {
    matches!(&*record.chain, ChainIdentity::Cometbft(id) if id.as_str() == chain_id)
}

fn check_sources(state: &State, sources: &[FloorSource]) -> Result<(), FloorError> {
    for source in sources {
        match source {
            FloorSource::Claim { key, claim } => {
                let (_, record) =
                    state.key_named(key).ok_or_else(|| FloorError::UnknownKey(key.to_string()))?;
                check_protocol(record, claim)?;
            }
            FloorSource::Watermark { key, claim, .. } => {
                let record = state.key(*key).ok_or_else(|| FloorError::UnknownKey(key.to_string()))?;
                check_protocol(record, claim)?;
            }
            FloorSource::Head { chain_id, .. } => {
                if !state.keys().any(|(_, record)| is_of_chain(record, chain_id)) {
                    return Err(FloorError::UnknownChain(chain_id.clone()));
                }
            }
            FloorSource::Bump { heights: 0 } => return Err(FloorError::NoBump),
            FloorSource::Bump { .. } => {}
        }
    }
    Ok(())
}

fn check_protocol(record: &KeyRecord, claim: &Claim) -> Result<(), FloorError> {
    let claimed = match claim {
        Claim::Cometbft(_) => Protocol::Cometbft,
        Claim::Ethereum(_) => Protocol::Ethereum,
        Claim::Tezos(_) => Protocol::Tezos,
        Claim::Generic(_) => Protocol::Generic,
    };
    let (name, protocol) = (record.name.clone(), record.chain.protocol());
    if claimed == protocol { Ok(()) } else { Err(FloorError::OtherProtocol { name, protocol }) }
}

/// Everything up to so many heights beyond the record may have been signed.
fn bumped(record: &KeyRecord, heights: u64) -> Result<Claim, FloorError> {
    let height = record.reach_height().saturating_add(heights);
    let too_high = || FloorError::TooHigh { name: record.name.clone(), height };
    if height == u64::MAX {
        return Err(too_high());
    }
    Ok(match &record.watermark {
        Watermark::Cometbft(_) => Claim::Cometbft(CometbftClaim::floor(height)),
        Watermark::Ethereum(_) => {
            let target_epoch = height.div_ceil(SLOTS_PER_EPOCH);
            // The highest source that an attestation with such a target can have: a lower one could be surrounded.
            let source_epoch = target_epoch.saturating_sub(1);
            let epochs = Some(ClaimedEpochs { source_epoch, target_epoch });
            Claim::Ethereum(EthereumClaim { slot: Some(height), epochs })
        }
        Watermark::Tezos(_) => {
            let floor_level = Some(u32::try_from(height).map_err(|_| too_high())?);
            Claim::Tezos(TezosClaim { floor_level, ..TezosClaim::default() })
        }
        Watermark::Generic(_) => Claim::Generic(GenericClaim { floor_height: Some(height), newest: None }),
    })
}

#[cfg(test)]
#[path = "floors_tests.rs"]
mod tests;
