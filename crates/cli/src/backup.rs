//! `interlock backup`, and what restoring has in common with recovery.

use crate::backup_args::{BackupCommand, BackupRestoreArgs, BackupSaveArgs, BackupVerifyArgs};
use crate::error::CliError;
use crate::operator::connect;
use crate::{node, output};
use interlock_core::State;
use interlock_disk::RealDisk;
use interlock_node::{Backup, BackupLabel, Restored, write_backup};
use serde::Serialize;

pub(crate) async fn run(command: &BackupCommand) -> Result<(), CliError> {
    match command {
        BackupCommand::Save(args) => save(args).await,
        BackupCommand::Verify(args) => verify(args),
        BackupCommand::Restore(args) => restore(args),
    }
}

/// A backup as the command line shows it. The JSON names are a promise to programs.
#[derive(Debug, Serialize)]
struct BackupView {
    cluster_id: String,
    keys: u64,
    log_index: Option<u64>,
    rules: u32,
    state_digest: String,
    node_id: u64,
    saved_at_unix_seconds: u64,
    saved_by: String,
    program: String,
}

impl BackupView {
    fn of(label: &BackupLabel) -> Self {
        Self {
            cluster_id: label.cluster.to_string(),
            keys: label.keys,
            log_index: label.applied.map(|at| at.log_index),
            rules: label.rules,
            state_digest: label.state_digest.to_string(),
            node_id: label.node_id,
            saved_at_unix_seconds: label.saved_at_unix_seconds,
            saved_by: label.saved_by.clone(),
            program: label.program.clone(),
        }
    }
}

fn draw(view: &BackupView) -> String {
    let log_index = view.log_index.map_or_else(|| "nothing applied".to_owned(), |index| index.to_string());
    let lines = [
        ("cluster", view.cluster_id.clone()),
        ("keys", view.keys.to_string()),
        ("log index", log_index),
        ("rules", format!("version {}", view.rules)),
        ("state digest", view.state_digest.clone()),
        ("saved by", format!("{}, node {}, Interlock {}", view.saved_by, view.node_id, view.program)),
        ("saved at", format!("{} s since 1970 UTC, by that node's clock", view.saved_at_unix_seconds)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12}  {value}\n")).collect()
}

async fn save(args: &BackupSaveArgs) -> Result<(), CliError> {
    let bytes = connect(&args.operator)?.save_backup().await?;
    let saved =
        write_backup(&RealDisk, &args.out, &bytes).map_err(|error| CliError::backup(&args.out, error))?;
    output::note(&format!("saved to {} and read back", args.out.display()));
    output::show(args.output, &BackupView::of(&saved.label), draw)
}

fn verify(args: &BackupVerifyArgs) -> Result<(), CliError> {
    let backup = Backup::read(&RealDisk, &args.file).map_err(|error| CliError::backup(&args.file, error))?;
    output::show(args.output, &BackupView::of(&backup.label), draw)
}

fn restore(args: &BackupRestoreArgs) -> Result<(), CliError> {
    let (_, config) = node::read(&args.config)?;
    let backup = Backup::read(&RealDisk, &args.file).map_err(|error| CliError::backup(&args.file, error))?;
    let sources = args.floors.gather()?;
    let restored = interlock_node::restore(&config, &backup.state, &sources, &args.reason)?;
    tell(&restored)
}

/// What was made, key by key, and the id of the new cluster.
pub(crate) fn tell(restored: &Restored) -> Result<(), CliError> {
    for line in lines(&restored.before, &restored.after) {
        output::note(&line);
    }
    output::note(&format!(
        "cluster {} is continued as cluster {}, with one node; no key signs until its quarantine is lifted",
        restored.before.cluster(),
        restored.cluster
    ));
    output::data(&format!("{}\n", restored.cluster))
}

fn lines(before: &State, after: &State) -> Vec<String> {
    let line = |(key, record): (_, &interlock_core::KeyRecord)| {
        let was = before.key(key).map_or(0, interlock_core::KeyRecord::reach_height);
        format!("key {}: reached height {was}, now {}; {}", record.name, record.reach_height(), record.state)
    };
    after.keys().map(line).collect()
}
