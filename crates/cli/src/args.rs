//! The commands and their arguments, and nothing that happens because of them.

use crate::backup_args::{BackupCommand, NodeRecoverArgs};
use crate::key_args::KeyCommand;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Keeps validator keys from double signing, across machines and failovers.
#[derive(Debug, Parser)]
#[command(name = "interlock", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Data goes to stdout, everything else to stderr.\n\
Exit codes: 0 done, 1 refused, 2 wrong usage or configuration, 3 not done (try again), 4 outcome unknown (look, then \
try again), 5 failed here, 70 stopped because this node's state differs from the others', 74 stopped because the \
disk failed, 76 stopped because the log needs a later release.\n\
Every error has a code; docs/errors has a page for each.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make certificates: everything that talks here proves who it is
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Run a guard node
    #[command(subcommand)]
    Node(NodeCommand),
    /// Run a signer beside a validator node
    #[command(subcommand)]
    Signer(SignerCommand),
    /// Add, look at and change keys; import and export what they signed
    #[command(subcommand)]
    Key(KeyCommand),
    /// Hand a key's lease to another signer
    Failover(FailoverArgs),
    /// Look at the guard cluster, and change its members
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Read and check the audit trail: what was asked, and how it was decided
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Save, check and restore the record of a cluster
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Show it all on this machine: a cluster, a chain, two signers, and what happens when they are killed
    Demo(DemoArgs),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// For programs: one line of JSON
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make a certificate authority: ca.pem and ca.key
    Init(PkiInitArgs),
    /// Issue a certificate: ROLE-NAME.pem and ROLE-NAME.key
    Issue(PkiIssueArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PkiInitArgs {
    /// Directory of the certificate authority; created when missing
    #[arg(long, value_name = "PKI")]
    pub(crate) dir: PathBuf,
    /// How long the authority is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) valid_days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PkiIssueArgs {
    /// Directory of the certificate authority
    #[arg(long, value_name = "PKI")]
    pub(crate) dir: PathBuf,
    /// What the owner may do: node, signer, operator or viewer
    #[arg(long)]
    pub(crate) role: String,
    /// Name of the owner; for a node, its id
    #[arg(long)]
    pub(crate) name: String,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) valid_days: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make an empty data directory, once; prints the cluster id. With --join, for a node that is added later
    Format(NodeFormatArgs),
    /// Run the node until it is told to stop
    Start(NodeStartArgs),
    /// Make the first node of a new cluster from a survivor, when a majority is lost; prints the new cluster id
    Recover(NodeRecoverArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NodeFormatArgs {
    /// The node's configuration, node.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Cluster to belong to, as the first node's format printed it; made at random when absent
    #[arg(long, value_name = "HEX")]
    pub(crate) cluster_id: Option<String>,
    /// For a node that joins a cluster which works already; needs the cluster id
    #[arg(long)]
    pub(crate) join: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeStartArgs {
    /// The node's configuration, node.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// End when stdin ends, so that this process does not outlive whoever started it
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignerCommand {
    /// Make the signer's own watermark from what the cluster knows, once
    Enroll(SignerEnrollArgs),
    /// Run the signer until it is told to stop
    Start(SignerStartArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SignerEnrollArgs {
    /// The signer's configuration, signer.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Trust the restored cluster that answers now; what this signer signed before stays and counts
    #[arg(long)]
    pub(crate) repin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignerStartArgs {
    /// The signer's configuration, signer.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Tests only: append every signature to this file before it leaves
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) signature_tap: Option<PathBuf>,
    /// End when stdin ends, so that this process does not outlive whoever started it
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Signer to hand the lease to; absent: the healthy one of highest priority that does not hold it
    #[arg(long, value_name = "SIGNER")]
    pub(crate) to: Option<String>,
    /// Hand it over even when that signer's health is not known to be good
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Ask every node how it is
    Status(ClusterStatusArgs),
    /// Show who is a member, in which role, and how far behind
    Members(ClusterStatusArgs),
    /// Make a node a voter; it was formatted with --join and runs
    Add(ClusterAddArgs),
    /// Make a node leave, for good
    Remove(ClusterRemoveArgs),
    /// Put a new node in the place of an old one, dead or alive
    Replace(ClusterReplaceArgs),
    /// Tell the cluster where a member is reached
    SetAddress(ClusterAddArgs),
    /// Bring the next rule version in force, when every voter knows it
    RaiseRules(ClusterRaiseRulesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterAddArgs {
    /// Its node id; for a new node, above all that were ever used
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) addresses: AddressArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterRemoveArgs {
    /// Its node id
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterReplaceArgs {
    /// Node id of the node that goes
    pub(crate) old_id: u64,
    /// Node id of the new node, above all that were ever used; it was formatted with --join and runs
    pub(crate) new_id: u64,
    #[command(flatten)]
    pub(crate) addresses: AddressArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddressArgs {
    /// Where the other nodes reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_address: String,
    /// Where signers and operators reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) client_address: String,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// How long a new node may take to catch up
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) timeout: u64,
    /// Take one step only, and say where it stands; the same command takes the next
    #[arg(long)]
    pub(crate) one_step: bool,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterStatusArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the newest records of one node
    Tail(AuditTailArgs),
    /// Check that each record follows from the one before it
    Verify(AuditVerifyArgs),
    /// Write all that is kept, oldest first, one line of JSON for each record
    Export(AuditExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AuditTailArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Node to ask; absent: the first that answers
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<u64>,
    /// Only records about this key: its name, or its id of 64 hex digits
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// How many records
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on with every new record until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
    /// Form of the answer; with JSON, each record is a line
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// Whose trail: that of a node that is asked, or that of a data directory on this machine.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("trail").required(true).args(["config", "data_dir"])))]
pub(crate) struct AuditSourceArgs {
    /// The operator's configuration, operator.toml: ask a node
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Node to ask; absent: the first that answers
    #[arg(long, value_name = "ID", conflicts_with = "data_dir")]
    pub(crate) node: Option<u64>,
    /// Data directory of a node on this machine, which may be running: ask nobody
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    #[command(flatten)]
    pub(crate) source: AuditSourceArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExportArgs {
    #[command(flatten)]
    pub(crate) source: AuditSourceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterRaiseRulesArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// The operator's configuration, operator.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
