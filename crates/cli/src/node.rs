//! `interlock node`: formats and runs a guard node.

use crate::args::{NodeCommand, NodeFormatArgs, NodeStartArgs};
use crate::config::ConfigFile;
use crate::error::CliError;
use crate::leash::told_to_end;
use crate::operator::argument;
use crate::{logging, output, recover};
use interlock_core::ClusterId;
use interlock_node::NodeConfig;
use std::path::Path;

pub(crate) async fn run(command: &NodeCommand) -> Result<(), CliError> {
    match command {
        NodeCommand::Format(args) => format(args),
        NodeCommand::Start(args) => start(args).await,
        NodeCommand::Recover(args) => recover::run(args).await,
    }
}

fn format(args: &NodeFormatArgs) -> Result<(), CliError> {
    let asked = args.cluster_id.as_deref().map(parse_cluster_id).transpose()?;
    let (file, config) = read(&args.config)?;
    let fits = if args.join { config.check_joins() } else { config.check_members() };
    fits.map_err(|error| file.wrong(error.to_string()))?;
    let configured = config.expected_cluster().map_err(|error| file.wrong(error.to_string()))?;
    if let (Some(asked), Some(configured)) = (asked, configured)
        && asked != configured
    {
        return Err(file.wrong(format!("cluster_id is {configured}, --cluster-id is {asked}")).into());
    }
    if args.join {
        let cluster = asked.or(configured).ok_or(CliError::JoinsNothing)?;
        interlock_node::format_to_join(&config, cluster)?;
        output::note(&format!("formatted node {} in {}", config.node_id, config.data_dir.display()));
        output::note("start it, then add it with `interlock cluster add` or `replace`");
        return output::data(&format!("{cluster}\n"));
    }
    let cluster = interlock_node::format(&config, asked.or(configured))?;
    output::note(&format!("formatted node {} in {}", config.node_id, config.data_dir.display()));
    if asked.or(configured).is_none() {
        output::note("format the other founding members with --cluster-id and the id below");
    }
    output::data(&format!("{cluster}\n"))
}

async fn start(args: &NodeStartArgs) -> Result<(), CliError> {
    logging::start();
    let (_, config) = read(&args.config)?;
    let node_id = config.node_id;
    // Large, and built once.
    let mut node = Box::pin(interlock_node::start(config)).await?;
    output::note(&format!("node {node_id} runs: peers on {}, clients on {}", node.peers, node.clients));
    let reason = tokio::select! {
        Err(stopped) = node.stopped() => return Err(CliError::NodeStopped(stopped)),
        reason = told_to_end(args.end_with_stdin) => reason.map_err(CliError::Signals)?,
    };
    output::note(&format!("ending in order, because of {reason}"));
    node.shutdown().await;
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<(ConfigFile, NodeConfig), CliError> {
    let (file, mut config) = ConfigFile::read::<NodeConfig>(path)?;
    config.check().map_err(|error| file.wrong(error.to_string()))?;
    let tls = &mut config.tls;
    for (field, path) in [("tls.ca", &mut tls.ca), ("tls.cert", &mut tls.cert), ("tls.key", &mut tls.key)] {
        file.resolve(path);
        file.require_file(field, path)?;
    }
    file.resolve(&mut config.data_dir);
    file.require_parent("data_dir", &config.data_dir)?;
    Ok((file, config))
}

fn parse_cluster_id(text: &str) -> Result<ClusterId, CliError> {
    let mut id = [0; 16];
    argument("--cluster-id", text, hex::decode_to_slice(text, &mut id))?;
    Ok(ClusterId(id))
}
