//! Arguments of `interlock backup` and of recovery.

use crate::args::{OperatorArgs, OutputFormat};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Save the record of the whole cluster to a file, while it works
    Save(BackupSaveArgs),
    /// Check a backup and say what is in it
    Verify(BackupVerifyArgs),
    /// Make the first node of a new cluster from a backup; prints the new cluster id
    Restore(BackupRestoreArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BackupSaveArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct BackupVerifyArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// What the keys signed after the record was saved. At least one word on each key is needed.
#[derive(Debug, Args)]
#[command(next_help_heading = "What was signed since; each key needs one of these")]
pub(crate) struct FloorFlags {
    /// Local watermark of a signer, KEY.watermark of its state directory; repeat for every signer
    #[arg(long = "watermark", value_name = "FILE")]
    pub(crate) watermarks: Vec<PathBuf>,
    /// Claims, one line of JSON per key, as `key export` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) claims: Option<PathBuf>,
    /// RPC of a CometBFT node that is not catching up; repeat for every chain
    #[arg(long = "comet-rpc", value_name = "URL")]
    pub(crate) comet_rpc: Vec<String>,
    /// Every key signed at most so many heights beyond the record
    #[arg(long, value_name = "HEIGHTS")]
    pub(crate) bump_heights: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupRestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// Configuration of the new cluster's first node, node.toml, with a new data_dir
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Why, for the quarantine and the audit trail
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) floors: FloorFlags,
}

#[derive(Debug, Args)]
pub(crate) struct NodeRecoverArgs {
    /// Configuration of the new cluster's first node, node.toml, with a new data_dir
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Data directory of the surviving node, which must not run; it is copied, not changed
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Only say what the directory holds, to compare survivors
    #[arg(long)]
    pub(crate) look: bool,
    /// Why, for the quarantine and the audit trail
    #[arg(long, required_unless_present = "look")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) floors: FloorFlags,
}
