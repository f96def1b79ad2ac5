//! The way from an operator's command to the cluster: configuration, client, checked arguments.

use crate::args::OperatorArgs;
use crate::config::ConfigFile;
use crate::error::CliError;
use interlock_client::{Channels, GuardEndpoint, KeySelector, OperatorClient, OperatorError, TlsFiles};
use interlock_core::KeyName;
use interlock_core::text::TextError;
use interlock_proto::v1;
use serde::Deserialize;
use std::time::Duration;

/// How long a command looks for a leader: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// `operator.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorConfig {
    tls: TlsFiles,
    #[serde(default)]
    guard: Vec<GuardEndpoint>,
}

/// Connects as the configuration says. Must be called inside the runtime.
pub(crate) fn connect(args: &OperatorArgs) -> Result<OperatorClient, CliError> {
    let (file, mut config) = ConfigFile::read::<OperatorConfig>(&args.config)?;
    config.tls = config.tls.relative_to(file.directory());
    require_tls(&file, &config.tls)?;
    let tls = config.tls.load().map_err(|error| file.wrong(error.to_string()))?;
    let channels = Channels::new(&config.guard, &tls).map_err(|error| file.wrong(error.to_string()))?;
    Ok(OperatorClient::new(channels, PATIENCE))
}

/// Sees that the files of `[tls]` are there, so that the error names the field.
pub(crate) fn require_tls(file: &ConfigFile, tls: &TlsFiles) -> Result<(), CliError> {
    for (field, path) in [("tls.ca", &tls.ca), ("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
        file.require_file(field, path)?;
    }
    Ok(())
}

/// Reads one key by name.
pub(crate) async fn read_key(client: &OperatorClient, name: &str) -> Result<v1::Key, CliError> {
    argument("NAME", name, KeyName::parse(name))?;
    let answer = client.show_key(&KeySelector::Name(name.to_owned())).await.map_err(|error| match error {
        // The name is well formed, so the only thing left to be wrong with it is that nobody has it.
        OperatorError::Invalid { message } => CliError::NoSuchKey { message },
        other => CliError::Operator(other),
    })?;
    answer.key.ok_or(CliError::Answer { problem: "it carries no key".to_owned() })
}

/// The parsed argument, or an error that names it.
pub(crate) fn argument<T, E: std::fmt::Display>(
    argument: &'static str,
    value: &str,
    parsed: Result<T, E>,
) -> Result<T, CliError> {
    parsed.map_err(|error| CliError::Argument {
        argument,
        value: value.to_owned(),
        problem: error.to_string(),
    })
}

/// Checks a reason for the audit trail.
pub(crate) fn reason(text: &str) -> Result<(), CliError> {
    let parsed: Result<_, TextError> = interlock_core::Reason::parse(text);
    argument("--reason", text, parsed).map(drop)
}
