//! `interlock key add`: a key begins to exist, with a claim on what it signed before.

use crate::claims::{claim, protocol};
use crate::error::CliError;
use crate::key_args::{KeyAddArgs, OnOff, ProtocolName};
use crate::operator::{argument, connect};
use crate::output;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use interlock_core::{ChainId, KeyName, PublicKey};
use interlock_proto::{Identity, Role, claim_to_wire, v1};

/// Bytes of an Ed25519 public key, the only kind that CometBFT validators sign with today.
const ED25519_PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a compressed BLS12-381 public key, as Ethereum writes it.
const BLS_PUBLIC_KEY_BYTES: usize = 48;
/// Hex digits of a genesis validators root.
const ROOT_DIGITS: usize = 64;

impl ProtocolName {
    fn name(self) -> &'static str {
        match self {
            Self::Cometbft => "cometbft",
            Self::Ethereum => "ethereum",
            Self::Tezos => "tezos",
            Self::Generic => "generic",
        }
    }
}

pub(crate) async fn add(args: &KeyAddArgs) -> Result<(), CliError> {
    let request = request(args)?;
    let change = connect(&args.operator)?.add_key(request).await?;
    let state = if change.already { "was under guard already" } else { "is under guard" };
    output::note(&format!(
        "{} {state}; nothing up to what it may have signed before will be signed",
        args.name
    ));
    output::data(&format!("{}\n", change.key))
}

/// Everything is checked here before anybody is asked.
fn request(args: &KeyAddArgs) -> Result<v1::AddKeyRequest, CliError> {
    argument("--name", &args.name, KeyName::parse(&args.name))?;
    for signer in &args.signers {
        argument("--signer", signer, Identity::new(signer, Role::Signer))?;
    }
    let claim = claim(protocol(args.protocol.name())?, &args.claim)?;
    Ok(v1::AddKeyRequest {
        name: args.name.clone(),
        protocol: args.protocol.name().to_owned(),
        chain_id: parse_chain(args)?,
        public_key: parse_public_key(args.protocol, &args.public_key)?,
        signers: args.signers.clone(),
        max_jump_heights: args.policy.max_jump,
        lock_rule: args.policy.lock_rule.map(|lock| lock == OnOff::On),
        claim: Some(claim_to_wire(&claim)),
        window_heights: args.policy.window_heights,
    })
}

fn parse_chain(args: &KeyAddArgs) -> Result<String, CliError> {
    let wrong = |argument, problem: &str| CliError::Argument {
        argument,
        value: args.chain_id.clone().or(args.genesis_validators_root.clone()).unwrap_or_default(),
        problem: problem.to_owned(),
    };
    match (args.protocol, &args.chain_id, &args.genesis_validators_root) {
        (ProtocolName::Ethereum, None, Some(root)) => {
            let digits = root.strip_prefix("0x").unwrap_or(root).to_lowercase();
            let hex = digits.len() == ROOT_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let argument = "--genesis-validators-root";
            if hex { Ok(digits) } else { Err(wrong(argument, "it is not 64 hex digits")) }
        }
        (ProtocolName::Ethereum, ..) => {
            Err(wrong("--chain-id", "an Ethereum key is told by --genesis-validators-root"))
        }
        (_, Some(chain), None) => {
            argument("--chain-id", chain, ChainId::parse(chain))?;
            Ok(chain.clone())
        }
        _ => Err(wrong("--genesis-validators-root", "only an Ethereum key is told by it; give --chain-id")),
    }
}

fn parse_public_key(protocol: ProtocolName, text: &str) -> Result<Vec<u8>, CliError> {
    let parsed = match protocol {
        ProtocolName::Cometbft => BASE64.decode(text).map_err(|error| error.to_string()),
        ProtocolName::Ethereum | ProtocolName::Tezos | ProtocolName::Generic => {
            hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|error| error.to_string())
        }
    };
    let bytes = argument("--public-key", text, parsed)?;
    let expected = match protocol {
        ProtocolName::Cometbft => Some(ED25519_PUBLIC_KEY_BYTES),
        ProtocolName::Ethereum => Some(BLS_PUBLIC_KEY_BYTES),
        ProtocolName::Tezos | ProtocolName::Generic => None,
    };
    let len = bytes.len();
    let checked = match expected {
        Some(expected) if expected != len => Err(format!("it has {len} bytes instead of {expected}")),
        _ => PublicKey::new(&bytes).map(|_| bytes).map_err(|error| error.to_string()),
    };
    argument("--public-key", text, checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_has_the_form_of_its_protocol() {
        let cometbft = |text: &str| parse_public_key(ProtocolName::Cometbft, text);
        assert_eq!(cometbft(&BASE64.encode([7; 32])).unwrap(), vec![7; 32]);
        let short = cometbft(&BASE64.encode([7; 31])).unwrap_err().to_string();
        assert!(short.contains("--public-key") && short.contains("31 bytes instead of 32"), "{short}");
        assert!(cometbft("not base64!").is_err());
        let ethereum = |text: &str| parse_public_key(ProtocolName::Ethereum, text);
        assert_eq!(ethereum(&format!("0x{}", "0a".repeat(48))).unwrap(), vec![10; 48]);
        assert!(ethereum(&"0a".repeat(47)).is_err() && ethereum(&BASE64.encode([7; 48])).is_err());
        assert!(parse_public_key(ProtocolName::Generic, "").is_err());
    }
}
