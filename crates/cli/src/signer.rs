//! `interlock signer`: enrols and runs a signer.

use crate::args::{SignerCommand, SignerEnrollArgs, SignerStartArgs};
use crate::config::ConfigFile;
use crate::error::CliError;
use crate::leash::told_to_end;
use crate::{logging, operator, output};
use interlock_signer::{Enrolled, Signer, SignerConfig};
use std::path::Path;

pub(crate) async fn run(command: &SignerCommand) -> Result<(), CliError> {
    match command {
        SignerCommand::Enroll(args) => enroll(args).await,
        SignerCommand::Start(args) => start(args).await,
    }
}

async fn enroll(args: &SignerEnrollArgs) -> Result<(), CliError> {
    let config = read(&args.config)?;
    let (enrolled, what) = if args.repin {
        (interlock_signer::repin(&config).await?, "pinned")
    } else {
        (interlock_signer::enroll(&config).await?, "enrolled")
    };
    for enrolled in enrolled {
        let Enrolled { key, cluster, floor_height, approved } = enrolled;
        let approved = approved
            .map_or_else(|| "nothing was approved yet".to_owned(), |at| format!("approved up to {at}"));
        output::note(&format!("{what} {key} in cluster {cluster}: floor height {floor_height}, {approved}"));
    }
    Ok(())
}

async fn start(args: &SignerStartArgs) -> Result<(), CliError> {
    logging::start();
    let config = read(&args.config)?;
    let signer = Signer::start(&config, args.signature_tap.as_deref()).await?;
    output::note(&format!("signer {} runs with {} key(s)", signer.holder(), config.keys.len()));
    let reason = told_to_end(args.end_with_stdin).await.map_err(CliError::Signals)?;
    output::note(&format!("ending in order, because of {reason}"));
    signer.shutdown().await;
    Ok(())
}

fn read(path: &Path) -> Result<SignerConfig, CliError> {
    let (file, mut config) = ConfigFile::read::<SignerConfig>(path)?;
    config.resolve_paths(file.directory());
    config.check().map_err(|error| file.wrong(error.to_string()))?;
    operator::require_tls(&file, &config.tls)?;
    file.require_parent("state_dir", &config.state_dir)?;
    for key in &config.keys {
        file.require_file("key.key_file", &key.key_file)?;
    }
    Ok(config)
}
