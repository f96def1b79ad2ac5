//! `interlock key`: the keys under guard.

use crate::error::CliError;
use crate::key_args::{KeyCommand, KeyListArgs, KeyShowArgs};
use crate::key_view::{KeyView, draw_key, draw_keys};
use crate::operator::{connect, read_key};
use crate::{key_add, key_change, key_lift, key_transfer, output};

pub(crate) async fn run(command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Add(args) => key_add::add(args).await,
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Show(args) => show(args).await,
        KeyCommand::Policy(args) => key_change::policy(args).await,
        KeyCommand::Signers(args) => key_change::signers(args).await,
        KeyCommand::Freeze(args) => key_change::freeze(args).await,
        KeyCommand::Unfreeze(args) => key_change::unfreeze(args).await,
        KeyCommand::Retire(args) => key_change::retire(args).await,
        KeyCommand::LiftQuarantine(args) => key_lift::lift_quarantine(args).await,
        KeyCommand::Import(args) => key_transfer::import(args).await,
        KeyCommand::Export(args) => key_transfer::export(args).await,
    }
}

async fn list(args: &KeyListArgs) -> Result<(), CliError> {
    let answer = connect(&args.operator)?.list_keys().await?;
    let keys = answer.keys.iter().map(KeyView::read).collect::<Result<Vec<_>, _>>()?;
    output::show(args.output, &keys, |keys| draw_keys(keys))
}

async fn show(args: &KeyShowArgs) -> Result<(), CliError> {
    let key = read_key(&connect(&args.operator)?, &args.name).await?;
    output::show(args.output, &KeyView::read(&key)?, draw_key)
}
