//! Arguments of `interlock key`.

use crate::args::{OperatorArgs, OutputFormat};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Put a key under guard
    Add(KeyAddArgs),
    /// List all keys
    List(KeyListArgs),
    /// Show one key
    Show(KeyShowArgs),
    /// Change the settings of a key
    Policy(KeyPolicyArgs),
    /// Set the signers that may hold a key's lease
    Signers(KeySignersArgs),
    /// Stop all signing with a key, until it is unfrozen
    Freeze(KeyReasonArgs),
    /// Allow signing with a frozen key again
    Unfreeze(KeyReasonArgs),
    /// Stop all signing with a key, for ever
    Retire(KeyReasonArgs),
    /// Allow signing with a key again after a restore
    LiftQuarantine(KeyLiftArgs),
    /// Raise a key's record to what it signed elsewhere
    Import(KeyImportArgs),
    /// Print what a key may have signed, for another guard or signer
    Export(KeyExportArgs),
}

/// The rules that a key's messages follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    /// Proposals, prevotes, precommits
    Cometbft,
    /// Blocks and attestations
    Ethereum,
    /// Blocks, preattestations, attestations
    Tezos,
    /// Up to three numbers, compared in order
    Generic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// What a key may have signed. Nothing is assumed: what is not said is asked for.
#[derive(Debug, Clone, Default, Args)]
#[command(
    next_help_heading = "What the key may have signed before; nothing up to and including it will be signed"
)]
pub(crate) struct ClaimFlags {
    /// CometBFT and generic keys: newest height
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) at_height: Option<u64>,
    /// Ethereum keys: highest slot of a block, or `none` if it never proposed one
    #[arg(long, value_name = "SLOT")]
    pub(crate) at_slot: Option<String>,
    /// Ethereum keys: highest source and highest target epoch of attestations, or `none` if it never attested
    #[arg(long, value_name = "SOURCE/TARGET")]
    pub(crate) at_epochs: Option<String>,
    /// Tezos keys: newest level
    #[arg(long, value_name = "LEVEL")]
    pub(crate) at_level: Option<u32>,
    /// Generic keys: newest position, up to three numbers
    #[arg(long, value_name = "A/B/C")]
    pub(crate) at_position: Option<String>,
    /// It never signed anything, anywhere
    #[arg(long)]
    pub(crate) never_signed: bool,
}

/// Settings; what is not given keeps its value, or the default of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub(crate) struct PolicyFlags {
    /// Furthest that one approval or import may move the height
    #[arg(long, value_name = "HEIGHTS")]
    pub(crate) max_jump: Option<u64>,
    /// CometBFT keys: whether a change of signer or node keeps what the key has locked
    #[arg(long, value_enum)]
    pub(crate) lock_rule: Option<OnOff>,
    /// How many heights a signer may reserve ahead, 0 to 8
    #[arg(long, value_name = "HEIGHTS")]
    pub(crate) window_heights: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyAddArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Name of the key in this cluster
    #[arg(long)]
    pub(crate) name: String,
    /// Rules that its messages follow
    #[arg(long, value_enum, default_value = "cometbft")]
    pub(crate) protocol: ProtocolName,
    /// Chain it signs for, exactly as in the chain's genesis
    #[arg(long, required_unless_present = "genesis_validators_root")]
    pub(crate) chain_id: Option<String>,
    /// Ethereum network it signs for, 64 hex digits
    #[arg(long, value_name = "HEX", conflicts_with = "chain_id")]
    pub(crate) genesis_validators_root: Option<String>,
    /// Public key. CometBFT: base64, as in pub_key.value of priv_validator_key.json; others: hex digits
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: String,
    /// A signer that may hold the lease; repeat, highest priority first
    #[arg(long = "signer", value_name = "SIGNER", required = true)]
    pub(crate) signers: Vec<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyFlags,
    #[command(flatten)]
    pub(crate) claim: ClaimFlags,
}

#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct KeyShowArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct KeyReasonArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeyPolicyArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyFlags,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeySignersArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// A signer that may hold the lease; repeat, highest priority first. A holder that is left out loses the lease
    #[arg(long = "signer", value_name = "SIGNER", required = true)]
    pub(crate) signers: Vec<String>,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
}

/// What speaks for the lifting: a person's word, or the chain's.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("proof").required(true).args(["attestation", "comet_rpc"])))]
pub(crate) struct KeyLiftArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// That the old nodes and signers are fenced, and how; stays in the audit trail
    #[arg(long, value_name = "TEXT")]
    pub(crate) attestation: Option<String>,
    /// CometBFT keys: a node of the chain that shows that nobody signed the newest blocks with the key. That is the
    /// node's word, and it does not show that no signer is paused: fence the old nodes and signers all the same
    #[arg(long, value_name = "http://HOST:PORT")]
    pub(crate) comet_rpc: Option<String>,
    /// How many of the newest blocks must lack its signature, 10 to 1000
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        conflicts_with = "attestation",
        value_parser = clap::value_parser!(u64).range(10..=1000)
    )]
    pub(crate) blocks: u64,
}

#[derive(Debug, Args)]
pub(crate) struct KeyImportArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// priv_validator_state.json of a CometBFT node
    #[arg(long, value_name = "FILE", group = "state_file")]
    pub(crate) cometbft_state: Option<PathBuf>,
    /// State file of tmkms
    #[arg(long, value_name = "FILE", group = "state_file")]
    pub(crate) tmkms_state: Option<PathBuf>,
    /// Slashing protection interchange of an Ethereum client (EIP-3076)
    #[arg(long, value_name = "FILE", group = "state_file")]
    pub(crate) eip3076: Option<PathBuf>,
    /// Move the height further than the key's max jump allows; watermarks never fall again
    #[arg(long)]
    pub(crate) confirm_jump: bool,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) claim: ClaimFlags,
}

/// Form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// One line of JSON, for `backup restore --claims`
    #[default]
    Claim,
    /// priv_validator_state.json of a CometBFT node
    Cometbft,
    /// State file of tmkms
    Tmkms,
    /// Slashing protection interchange for an Ethereum client (EIP-3076)
    Eip3076,
}

#[derive(Debug, Args)]
pub(crate) struct KeyExportArgs {
    /// Name of the key
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Form of the export
    #[arg(long, value_enum, default_value_t)]
    pub(crate) form: ExportForm,
}
