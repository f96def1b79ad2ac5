//! `interlock node recover`: a new cluster from what one surviving node knew, when a majority is lost for good.

use crate::backup;
use crate::backup_args::NodeRecoverArgs;
use crate::error::CliError;
use crate::{node, output};

pub(crate) async fn run(args: &NodeRecoverArgs) -> Result<(), CliError> {
    let (_, config) = node::read(&args.config)?;
    if !args.look && args.floors.is_empty() {
        return Err(CliError::FloorsMissing);
    }
    let survivor = interlock_node::survivor(&config.data_dir, &args.from).await?;
    let last = survivor.last.map_or_else(
        || "an empty log".to_owned(),
        |last| format!("a log up to entry {} of term {}", last.index, last.leader_id.term),
    );
    output::note(&format!(
        "{} is the data of node {} of cluster {}: {} keys, {last}",
        args.from.display(),
        survivor.identity.node_id,
        survivor.identity.cluster_id,
        survivor.state.keys().len()
    ));
    if args.look {
        return Ok(());
    }
    let sources = args.floors.gather()?;
    let reason = args.reason.as_deref().unwrap_or_default();
    backup::tell(&interlock_node::restore(&config, &survivor.state, &sources, reason)?)
}
