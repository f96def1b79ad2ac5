//! The one binary, `interlock`: reads arguments and configuration, calls the crates that do the work, and tells people
//! and programs how it went.
//!
//! May not live here: any rule, any protocol, any durable state.

mod absence;
mod args;
mod audit;
mod audit_source;
mod backup;
mod backup_args;
mod claims;
mod classify;
mod cluster;
mod codes;
mod comet_rpc;
mod config;
mod demo;
mod error;
mod failover;
mod floors;
mod key;
mod key_add;
mod key_args;
mod key_change;
mod key_lift;
mod key_transfer;
mod key_view;
mod leash;
mod logging;
mod members;
mod new_files;
mod node;
mod operator;
mod output;
mod pki;
mod recover;
mod rules;
mod signer;

use args::{Cli, Command, PkiCommand};
use clap::Parser as _;
use error::CliError;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Pki(PkiCommand::Init(args)) => pki::init(&args),
        Command::Pki(PkiCommand::Issue(args)) => pki::issue(&args),
        Command::Node(command) => node::run(&command).await,
        Command::Signer(command) => signer::run(&command).await,
        Command::Key(command) => key::run(&command).await,
        Command::Failover(args) => failover::run(&args).await,
        Command::Cluster(command) => cluster::run(&command).await,
        Command::Audit(command) => audit::run(&command).await,
        Command::Backup(command) => backup::run(&command).await,
        Command::Demo(args) => demo::run(&args).await,
    }
}
