//! `interlock key import` and `export`: what a key signed elsewhere comes in, what it may have signed here goes out.

use crate::claims::{claim, protocol, reach};
use crate::error::CliError;
use crate::key_args::{ExportForm, KeyExportArgs, KeyImportArgs};
use crate::operator::{connect, read_key, reason};
use crate::output;
use interlock_chains::cometbft::{StateForm, end_of_height, read_state_file, write_state_file};
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim};
use interlock_core::{Claim, Protocol};
use interlock_proto::{claim_to_wire, v1};
use std::path::Path;

/// Far above any signer's state file.
const STATE_FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) async fn import(args: &KeyImportArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    let from_file = state_file(args)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let key_protocol = protocol(&key.protocol)?;
    let claim = match from_file {
        None => claim(key_protocol, &args.claim)?,
        Some(_) if key_protocol != Protocol::Cometbft => {
            let problem = format!("{} is a {key_protocol} key, the file is of a CometBFT signer", args.name);
            return Err(CliError::ClaimMissing { problem });
        }
        Some(claim) => claim,
    };
    let request = v1::ImportClaimRequest {
        key_id: key.key_id,
        expected_version: key.version,
        claim: Some(claim_to_wire(&claim)),
        jump_confirmed: args.confirm_jump,
        reason: args.reason.clone(),
    };
    let change = client.import_claim(request).await?;
    let after = read_key(&client, &args.name).await?;
    let what = if change.already { "covered that already" } else { "was raised" };
    output::note(&format!(
        "{} {what}: it reaches height {} (version {})",
        args.name, after.reach_height, after.version
    ));
    Ok(())
}

/// The claim of another signer's state file, if one is given.
fn state_file(args: &KeyImportArgs) -> Result<Option<Claim>, CliError> {
    let (form, path) = match (&args.cometbft_state, &args.tmkms_state) {
        (None, None) => return Ok(None),
        (Some(path), _) => (StateForm::Cometbft, path),
        (None, Some(path)) => (StateForm::Tmkms, path),
    };
    if !args.claim.is_empty() {
        let problem =
            "a claim by flags and a state file were given: import them one after the other".to_owned();
        return Err(CliError::ClaimMissing { problem });
    }
    let wrong = |problem: String| CliError::InputFile { path: path.clone(), problem };
    let text = read_text(path).map_err(|error| wrong(error.to_string()))?;
    let signed = read_state_file(form, &text).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(Claim::Cometbft(CometbftClaim {
        floor_height: signed.map_or(0, |position| position.height - 1),
        signed: signed.map(|position| ClaimedMessage { position, content: None, block: None }),
    })))
}

/// Reads a text of bounded size.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(STATE_FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > STATE_FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {STATE_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

pub(crate) async fn export(args: &KeyExportArgs) -> Result<(), CliError> {
    let key = read_key(&connect(&args.operator)?, &args.name).await?;
    let form = match args.form {
        ExportForm::Claim => {
            let line = serde_json::to_string(&reach(&key)?)
                .expect("a claim has text keys and finite numbers, which JSON can hold");
            return output::data(&format!("{line}\n"));
        }
        ExportForm::Cometbft => StateForm::Cometbft,
        ExportForm::Tmkms => StateForm::Tmkms,
    };
    if protocol(&key.protocol)? != Protocol::Cometbft {
        let problem = format!("{} is a {} key: such a file is for CometBFT keys", args.name, key.protocol);
        return Err(CliError::ClaimMissing { problem });
    }
    // The last position of the highest height: what lies inside the height is not told apart, so that windows and floors
    // are covered too.
    let last = (key.reach_height > 0).then(|| end_of_height(key.reach_height));
    output::data(&write_state_file(form, last))
}
