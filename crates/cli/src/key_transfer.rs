//! `interlock key import` and `export`: what a key signed elsewhere comes in, what it may have signed here goes out.

use crate::claims::{claim, protocol, reach};
use crate::error::CliError;
use crate::key_args::{ExportForm, KeyExportArgs, KeyImportArgs};
use crate::operator::{connect, read_key, reason};
use crate::output;
use interlock_chains::cometbft::{StateForm, end_of_height, read_state_file, write_state_file};
use interlock_chains::ethereum::interchange::Interchange;
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim};
use interlock_core::ethereum::{AttestationMark, BlockMark, EthereumRecord};
use interlock_core::{Claim, Digest, Position, Protocol, PublicKey};
use interlock_proto::{claim_to_wire, v1};
use std::path::Path;

/// Far above any signer's state file.
pub(crate) const STATE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Room for the histories of 100,000 keys.
const INTERCHANGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A file that was given, and whose form it has.
enum Given<'a> {
    State(StateForm, &'a Path),
    Interchange(&'a Path),
}

pub(crate) async fn import(args: &KeyImportArgs) -> Result<(), CliError> {
    reason(&args.reason)?;
    let file = given(args)?.map(|given| given.read().map(|text| (given, text))).transpose()?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let claim = match file {
        None => claim(protocol(&key.protocol)?, &args.claim)?,
        Some((given, text)) => given.claim(&key, &text)?,
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

fn given(args: &KeyImportArgs) -> Result<Option<Given<'_>>, CliError> {
    let given = match (&args.cometbft_state, &args.tmkms_state, &args.eip3076) {
        (Some(path), ..) => Given::State(StateForm::Cometbft, path),
        (_, Some(path), _) => Given::State(StateForm::Tmkms, path),
        (.., Some(path)) => Given::Interchange(path),
        (None, None, None) => return Ok(None),
    };
    if args.claim.is_empty() {
        return Ok(Some(given));
    }
    let problem = "a claim by flags and a file were given: import them one after the other".to_owned();
    Err(CliError::ClaimMissing { problem })
}

impl Given<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::State(_, path) | Self::Interchange(path) => path,
        }
    }

    fn wrong(&self, problem: &impl std::fmt::Display) -> CliError {
        CliError::InputFile { path: self.path().to_owned(), problem: problem.to_string() }
    }

    fn read(&self) -> Result<String, CliError> {
        let bytes_max = match self {
            Self::State(..) => STATE_FILE_BYTES_MAX,
            Self::Interchange(_) => INTERCHANGE_BYTES_MAX,
        };
        let text = read_text(self.path(), bytes_max).map_err(|error| self.wrong(&error))?;
        if let Self::State(form, _) = self {
            // Found wrong before anybody is asked.
            read_state_file(*form, &text).map_err(|error| self.wrong(&error))?;
        }
        Ok(text)
    }

    /// What the file says about this key.
    fn claim(&self, key: &v1::Key, text: &str) -> Result<Claim, CliError> {
        match (self, protocol(&key.protocol)?) {
            (Self::State(form, _), Protocol::Cometbft) => {
                let signed = read_state_file(*form, text).map_err(|error| self.wrong(&error))?;
                Ok(Claim::Cometbft(CometbftClaim {
                    floor_height: signed.map_or(0, |position| position.height - 1),
                    signed: signed.map(|position| ClaimedMessage { position, content: None, block: None }),
                }))
            }
            (Self::Interchange(_), Protocol::Ethereum) => {
                let file = Interchange::parse(text, root(key)?).map_err(|error| self.wrong(&error))?;
                let public_key = public_key(key)?;
                let claim = file.claims().remove(&public_key);
                let missing = || self.wrong(&format!("it says nothing about the key {}", key.name));
                claim.map(Claim::Ethereum).ok_or_else(missing)
            }
            (_, protocol) => {
                Err(self.wrong(&format!("it is no file about a {protocol} key, as {} is", key.name)))
            }
        }
    }
}

fn answer_problem(problem: &impl std::fmt::Display) -> CliError {
    CliError::Answer { problem: problem.to_string() }
}

fn root(key: &v1::Key) -> Result<Digest, CliError> {
    let mut root = [0; 32];
    hex::decode_to_slice(&key.chain_id, &mut root).map_err(|error| answer_problem(&error))?;
    Ok(Digest(root))
}

fn public_key(key: &v1::Key) -> Result<PublicKey, CliError> {
    PublicKey::new(&key.public_key).map_err(|error| answer_problem(&error))
}

/// Reads a text of bounded size.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(bytes_max + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(text)
}

pub(crate) async fn export(args: &KeyExportArgs) -> Result<(), CliError> {
    let key = read_key(&connect(&args.operator)?, &args.name).await?;
    let key_protocol = protocol(&key.protocol)?;
    let form = match (args.form, key_protocol) {
        (ExportForm::Claim, _) => {
            let line = serde_json::to_string(&reach(&key)?)
                .expect("a claim has text keys and finite numbers, which JSON can hold");
            return output::data(&format!("{line}\n"));
        }
        (ExportForm::Eip3076, Protocol::Ethereum) => return output::data(&interchange(&key)?),
        (ExportForm::Cometbft, Protocol::Cometbft) => StateForm::Cometbft,
        (ExportForm::Tmkms, Protocol::Cometbft) => StateForm::Tmkms,
        (ExportForm::Eip3076 | ExportForm::Cometbft | ExportForm::Tmkms, _) => {
            let problem = format!("{} is a {key_protocol} key: there is no such file about it", args.name);
            return Err(CliError::ClaimMissing { problem });
        }
    };
    // The last position of the highest height: what lies inside the height is not told apart, so that windows and
    // floors are covered too.
    let last = (key.reach_height > 0).then(|| end_of_height(key.reach_height));
    output::data(&write_state_file(form, last))
}

/// The newest block and attestation. Ethereum keys have neither floor nor window, so that is all there is.
fn interchange(key: &v1::Key) -> Result<String, CliError> {
    let mut record = EthereumRecord::default();
    for mark in &key.marks {
        let signing_root = mark.payload.as_deref().map(|root| root.try_into().map(Digest));
        let signing_root =
            signing_root.transpose().map_err(|_| answer_problem(&"a root has not 32 bytes"))?;
        match interlock_proto::any_position_from_wire(mark.position.as_ref())? {
            Position::EthereumBlock { slot } => record.block = Some(BlockMark { slot, signing_root }),
            Position::EthereumAttestation { source_epoch, target_epoch } => {
                record.attestation = Some(AttestationMark { source_epoch, target_epoch, signing_root });
            }
            other => return Err(answer_problem(&format!("{other} is no position of an Ethereum key"))),
        }
    }
    let public_key = public_key(key)?;
    Ok(Interchange::of_records(root(key)?, [(&public_key, &record)]).to_json() + "\n")
}
