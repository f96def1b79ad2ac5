//! `interlock key lift-quarantine`: on an operator's word, or because the chain saw no signature of the key for a
//! while.
//!
//! Nothing is sent unless the whole span was seen. The order names the record version from before the look.

use crate::absence::{CometAddress, Presence, see_absent};
use crate::error::CliError;
use crate::key_args::KeyLiftArgs;
use crate::key_change::changed;
use crate::operator::{argument, connect, read_key};
use crate::output;
use interlock_core::Reason;
use interlock_proto::v1;
use std::ops::RangeInclusive;

pub(crate) async fn lift_quarantine(args: &KeyLiftArgs) -> Result<(), CliError> {
    check(args)?;
    let client = connect(&args.operator)?;
    let key = read_key(&client, &args.name).await?;
    let attestation = match (&args.comet_rpc, &args.attestation) {
        (Some(url), _) => {
            let heights = absence(&key, url, args.blocks).await?;
            let evidence = evidence(url, args.blocks, &heights);
            output::note(&evidence);
            evidence
        }
        (None, Some(attestation)) => attestation.clone(),
        (None, None) => return Err(wrong("key lift-quarantine", &args.name, NO_PROOF)),
    };
    let request =
        v1::LiftQuarantineRequest { key_id: key.key_id, expected_version: key.version, attestation };
    let change = client.lift_quarantine(request).await?;
    let after = read_key(&client, &args.name).await?;
    changed(&args.name, &after.state, change.version);
    Ok(())
}

const NO_PROOF: &str = "give --attestation or --comet-rpc";

/// Sees before anybody is asked that the audit trail will take the words.
fn check(args: &KeyLiftArgs) -> Result<(), CliError> {
    if let Some(text) = &args.attestation {
        argument("--attestation", text, Reason::parse(text))?;
    }
    if let Some(url) = &args.comet_rpc {
        let longest = evidence(url, args.blocks, &(u64::MAX..=u64::MAX));
        argument("--comet-rpc", url, Reason::parse(&longest))?;
    }
    Ok(())
}

fn evidence(url: &str, blocks: u64, heights: &RangeInclusive<u64>) -> String {
    let (first, last) = (heights.start(), heights.end());
    format!("no signature in {blocks} blocks, heights {first} to {last}, seen by {url}")
}

/// The heights that the key did not sign.
async fn absence(key: &v1::Key, url: &str, blocks: u64) -> Result<RangeInclusive<u64>, CliError> {
    if key.protocol != "cometbft" {
        let problem = format!("{} is a {} key; its chain has no such node", key.name, key.protocol);
        return Err(wrong("--comet-rpc", url, &problem));
    }
    if key.state != "quarantined" {
        return Err(wrong("NAME", &key.name, &format!("it is {}, not quarantined", key.state)));
    }
    let public_key = key.public_key.as_slice().try_into().map_err(|_| CliError::Answer {
        problem: format!("its public key has {} bytes, not 32", key.public_key.len()),
    })?;
    let address = CometAddress::of(public_key);
    let (node, chain_id) = (url.to_owned(), key.chain_id.clone());
    let look = tokio::task::spawn_blocking(move || see_absent(&node, &chain_id, address, blocks));
    let seen = look.await.unwrap_or_else(|error| Err(Presence::Unclear { problem: error.to_string() }));
    seen.map_err(|presence| match presence {
        Presence::Signed { height } => {
            CliError::StillSigns { name: key.name.clone(), height, address: address.to_string() }
        }
        Presence::OtherChain { chain_id } => {
            let problem = format!("it is a node of chain {chain_id:?}; the key signs for {:?}", key.chain_id);
            wrong("--comet-rpc", url, &problem)
        }
        Presence::Unclear { problem } => CliError::ChainHead { url: url.to_owned(), problem },
    })
}

fn wrong(argument: &'static str, value: &str, problem: &str) -> CliError {
    CliError::Argument { argument, value: value.to_owned(), problem: problem.to_owned() }
}
