//! A new cluster from the record of an old one: from a backup, or from what one surviving node knew.
//!
//! Keeps S4 and S6: the new cluster has an id of its own, every key is quarantined and held by nobody, every
//! watermark is what it was or higher, and without a word on what was signed since nothing is made.

mod floors;

pub use floors::{FloorError, FloorSource, HEAD_MARGIN_HEIGHTS};

use crate::config::{ConfigError, NodeConfig};
use crate::format::random;
use interlock_core::text::TextError;
use interlock_core::{Action, Claim, ClusterId, Command, KeyId, LogPosition, Reason, State, Verdict};
use interlock_disk::RealDisk;
use interlock_store::{FIRST_INDEX, FoundingMember, Survivor, SurvivorError, WalOptions, read_survivor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a restored cluster begins with.
#[derive(Debug)]
pub struct Restored {
    /// The new cluster.
    pub cluster: ClusterId,
    /// The record before, under the old cluster's id.
    pub before: State,
    /// The record as the new cluster begins.
    pub after: State,
}

/// Why no cluster was restored. Nothing was made, and nothing that was there is changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration names a cluster, which cannot be the new one.
    #[error(
        "the configuration names cluster {0}; a restored cluster gets an id of its own: remove cluster_id"
    )]
    ClusterNamed(String),
    /// Nothing says what was signed since, or what says it does not fit.
    #[error(transparent)]
    Floors(#[from] FloorError),
    /// The rule book refused a floor.
    #[error("key {key}: the floor is refused by {denial}")]
    Refused {
        /// Which key.
        key: KeyId,
        /// By which rule.
        denial: Box<interlock_core::Denial>,
    },
    /// The reason is too long, or empty.
    #[error(transparent)]
    Reason(#[from] TextError),
    /// No randomness for the identities.
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    /// What is left of the old node does not read.
    #[error("{}: {source}", path.display())]
    Survivor {
        /// Its data directory.
        path: PathBuf,
        /// What is wrong.
        source: Box<SurvivorError>,
    },
    /// The working copy of an earlier attempt was left behind.
    #[error("{} is left from an interrupted attempt; remove it", path.display())]
    CopyLeft {
        /// Where.
        path: PathBuf,
    },
    /// The new data directory does not fit.
    #[error(transparent)]
    Directory(#[from] interlock_store::RestoreError),
}

/// Makes the data directory of the first node of a new cluster that continues this record.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    config: &NodeConfig,
    record: &State,
    sources: &[FloorSource],
    reason: &str,
) -> Result<Restored, RestoreError> {
    config.check()?;
    if let Some(named) = &config.cluster_id {
        return Err(RestoreError::ClusterNamed(named.clone()));
    }
    let me = this_member(config)?;
    let claims = floors::floors(record, sources)?;
    let cluster = ClusterId(random().map_err(|error| RestoreError::Random(error.to_string()))?);
    let incarnation = u128::from_be_bytes(random().map_err(|error| RestoreError::Random(error.to_string()))?);
    let after = continued(record, cluster, &claims, &Reason::parse(reason)?)?;
    interlock_store::restore(&RealDisk, &config.data_dir, me, incarnation, &after, &WalOptions::default())?;
    Ok(Restored { cluster, before: record.clone(), after })
}

/// What the data directory of a dead node holds. It is copied beside `data_dir` and not changed.
///
/// # Errors
/// When the node still runs, or its data does not read.
pub async fn survivor(data_dir: &Path, from: &Path) -> Result<Survivor, RestoreError> {
    let mut copy = data_dir.as_os_str().to_owned();
    copy.push(".recovering");
    let copy = PathBuf::from(copy);
    if copy.exists() {
        return Err(RestoreError::CopyLeft { path: copy });
    }
    let read = read_survivor(Arc::new(RealDisk), from, &copy).await;
    if let Err(error) = std::fs::remove_dir_all(&copy)
        && copy.exists()
    {
        tracing::warn!(%error, copy = %copy.display(), "the working copy could not be removed");
    }
    read.map_err(|source| RestoreError::Survivor { path: from.to_owned(), source: Box::new(source) })
}

fn this_member(config: &NodeConfig) -> Result<FoundingMember, ConfigError> {
    let me = config.member.iter().find(|member| member.id == config.node_id).ok_or_else(|| {
        let members = config.member.iter().map(|member| member.id).collect();
        ConfigError::NotAMember { node_id: config.node_id, members }
    })?;
    Ok(FoundingMember {
        id: me.id,
        peer_address: me.peer_address.clone(),
        client_address: me.client_address.clone(),
    })
}

/// The record of the new cluster: quarantined, and raised by each claim through the rule book itself.
fn continued(
    record: &State,
    cluster: ClusterId,
    claims: &[(KeyId, Claim)],
    reason: &Reason,
) -> Result<State, RestoreError> {
    let mut state = record.restored_as(cluster, reason);
    for (item, (key, claim)) in (0_u32..).zip(claims) {
        let action = Action::Import {
            expected_version: state.key(*key).map_or(0, |record| record.version),
            claim: claim.clone(),
            jump_confirmed: true,
            reason: reason.clone(),
        };
        let at = LogPosition { log_index: FIRST_INDEX, item };
        if let Verdict::Denied(denial) = state.apply(at, &Command { cluster, key: *key, action }) {
            return Err(RestoreError::Refused { key: *key, denial: Box::new(denial) });
        }
    }
    Ok(state)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
