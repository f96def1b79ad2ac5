//! `node format`: the one act that makes a data directory, and with it this node's membership (S6).

use crate::config::{ConfigError, NodeConfig};
use interlock_core::ClusterId;
use interlock_disk::RealDisk;
use interlock_store::{FormatSpec, FoundingMember, WalOptions};

/// Why a data directory was not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No randomness for the identities.
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    /// The data directory does not fit.
    #[error(transparent)]
    Directory(#[from] interlock_store::FormatError),
}

/// Makes the data directory of a founding member.
///
/// The first founder is formatted without a cluster id and makes one; the others are given it.
///
/// # Errors
/// When the configuration contradicts itself, or the directory is not empty.
pub fn format(config: &NodeConfig, cluster: Option<ClusterId>) -> Result<ClusterId, FormatError> {
    config.check()?;
    config.check_members()?;
    let cluster = cluster.map_or_else(|| random().map(ClusterId), Ok)?;
    let members = config
        .member
        .iter()
        .map(|member| FoundingMember {
            id: member.id,
            peer_address: member.peer_address.clone(),
            client_address: member.client_address.clone(),
        })
        .collect();
    make(config, cluster, members)?;
    Ok(cluster)
}

/// Makes the data directory of a node that joins a cluster which works already. It does nothing by itself until an
/// operator adds it.
///
/// # Errors
/// When the configuration contradicts itself, or the directory is not empty.
pub fn format_to_join(config: &NodeConfig, cluster: ClusterId) -> Result<(), FormatError> {
    config.check()?;
    config.check_joins()?;
    make(config, cluster, Vec::new())
}

fn make(config: &NodeConfig, cluster_id: ClusterId, members: Vec<FoundingMember>) -> Result<(), FormatError> {
    let incarnation = u128::from_be_bytes(random()?);
    let spec = FormatSpec { cluster_id, node_id: config.node_id, incarnation, members };
    interlock_store::format(&RealDisk, &config.data_dir, &spec, &WalOptions::default())?;
    Ok(())
}

pub(crate) fn random() -> Result<[u8; 16], FormatError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| FormatError::Random(error.to_string()))?;
    Ok(bytes)
}
