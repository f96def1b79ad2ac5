//! `interlock key`: the keys under guard.

use crate::args::{KeyAddArgs, KeyCommand, KeyFreezeArgs, KeyListArgs, KeyShowArgs};
use crate::error::CliError;
use crate::key_view::{KeyView, draw_key, draw_keys};
use crate::operator::{argument, connect, read_key, reason};
use crate::output;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_core::{ChainId, KeyName};
use interlock_proto::{Identity, Role, v1};

/// Bytes of an Ed25519 public key, the only kind that CometBFT validators sign with today.
const ED25519_PUBLIC_KEY_BYTES: usize = 32;

pub(crate) async fn run(command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Add(args) => add(args).await,
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Show(args) => show(args).await,
        KeyCommand::Freeze(args) => set_frozen(args, true).await,
        KeyCommand::Unfreeze(args) => set_frozen(args, false).await,
    }
}

async fn add(args: &KeyAddArgs) -> Result<(), CliError> {
    argument("--name", &args.name, KeyName::parse(&args.name))?;
    argument("--chain-id", &args.chain_id, ChainId::parse(&args.chain_id))?;
    for signer in &args.signers {
        argument("--signer", signer, Identity::new(signer, Role::Signer))?;
    }
    let request = v1::AddKeyRequest {
        name: args.name.clone(),
        protocol: "cometbft".to_owned(),
        chain_id: args.chain_id.clone(),
        public_key: parse_public_key(&args.public_key)?,
        signers: args.signers.clone(),
        floor_height: args.at_height,
        max_jump_heights: None,
        lock_rule: None,
    };
    let change = connect(&args.operator)?.add_key(request).await?;
    let state = if change.already { "was under guard already" } else { "is under guard" };
    output::note(&format!("{} {state}; nothing up to height {} will be signed", args.name, args.at_height));
    output::data(&format!("{}\n", change.key))
}

fn parse_public_key(text: &str) -> Result<Vec<u8>, CliError> {
    let bytes = argument("--public-key", text, BASE64.decode(text))?;
    let checked = if bytes.len() == ED25519_PUBLIC_KEY_BYTES {
        Ok(bytes)
    } else {
        Err(format!("it has {} bytes instead of {ED25519_PUBLIC_KEY_BYTES}", bytes.len()))
    };
    argument("--public-key", text, checked)
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

async fn set_frozen(args: &KeyFreezeArgs, frozen: bool) -> Result<(), CliError> {
    reason(&args.reason)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let key_id = interlock_proto::key_id(&key.key_id)?;
    let change = if frozen {
        client.freeze(key_id, key.version, &args.reason).await?
    } else {
        client.unfreeze(key_id, key.version, &args.reason).await?
    };
    let state = if frozen { "frozen: nothing is signed with it" } else { "active" };
    output::note(&format!("{} is {state} (version {})", args.name, change.version));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_has_32_bytes() {
        assert_eq!(parse_public_key(&BASE64.encode([7; 32])).unwrap(), vec![7; 32]);
        let short = parse_public_key(&BASE64.encode([7; 31])).unwrap_err().to_string();
        assert!(short.contains("--public-key") && short.contains("31 bytes instead of 32"), "{short}");
        assert!(parse_public_key("not base64!").is_err());
    }
}
