//! What a key may have signed, as operators write it: flags, and lines of JSON with the same names.
//!
//! Absent is never zero (S6): each protocol asks for what it needs, by name, and refuses what it has no use for.

use crate::error::CliError;
use crate::key_args::ClaimFlags;
use interlock_core::cometbft::CometbftClaim;
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim};
use interlock_core::generic::GenericClaim;
use interlock_core::tezos::TezosClaim;
use interlock_core::{Claim, Position, Protocol};
use interlock_proto::v1;
use serde::{Deserialize, Serialize};

/// Says that there was nothing.
const NONE: &str = "none";

/// One line of a claims file: what one key may have signed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyClaim {
    pub(crate) name: String,
    pub(crate) protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_height: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_slot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_epochs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_position: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) never_signed: bool,
}

impl KeyClaim {
    fn flags(&self) -> ClaimFlags {
        ClaimFlags {
            at_height: self.at_height,
            at_slot: self.at_slot.clone(),
            at_epochs: self.at_epochs.clone(),
            at_level: self.at_level,
            at_position: self.at_position.clone(),
            never_signed: self.never_signed,
        }
    }

    /// The claim of this line.
    pub(crate) fn claim(&self) -> Result<Claim, CliError> {
        claim(protocol(&self.protocol)?, &self.flags())
    }
}

/// The protocol with this name.
pub(crate) fn protocol(name: &str) -> Result<Protocol, CliError> {
    let all = [Protocol::Cometbft, Protocol::Ethereum, Protocol::Tezos, Protocol::Generic];
    all.into_iter().find(|protocol| protocol.name() == name).ok_or_else(|| CliError::Argument {
        argument: "protocol",
        value: name.to_owned(),
        problem: "it is none of cometbft, ethereum, tezos, generic".to_owned(),
    })
}

impl ClaimFlags {
    /// Nothing is said at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.given().is_empty() && !self.never_signed
    }

    fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--at-height", self.at_height.is_some()),
            ("--at-slot", self.at_slot.is_some()),
            ("--at-epochs", self.at_epochs.is_some()),
            ("--at-level", self.at_level.is_some()),
            ("--at-position", self.at_position.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

/// The claim that flags make for a key of this protocol.
pub(crate) fn claim(protocol: Protocol, flags: &ClaimFlags) -> Result<Claim, CliError> {
    let useful: &[&str] = match protocol {
        Protocol::Cometbft => &["--at-height"],
        Protocol::Ethereum => &["--at-slot", "--at-epochs"],
        Protocol::Tezos => &["--at-level"],
        Protocol::Generic => &["--at-height", "--at-position"],
    };
    let given = flags.given();
    if let Some(stray) = given.iter().find(|flag| !useful.contains(flag)) {
        return Err(missing(format!(
            "{stray} says nothing about a {protocol} key; use {}",
            useful.join(" and ")
        )));
    }
    if flags.never_signed && !given.is_empty() {
        return Err(missing(format!("{} contradicts --never-signed: give one of them", given.join(" and "))));
    }
    if given.is_empty() && !flags.never_signed {
        let useful = useful.join(" and ");
        return Err(missing(format!(
            "nothing says what the {protocol} key may have signed: give {useful}, or --never-signed"
        )));
    }
    Ok(match protocol {
        Protocol::Cometbft => Claim::Cometbft(CometbftClaim::floor(flags.at_height.unwrap_or(0))),
        Protocol::Ethereum => Claim::Ethereum(ethereum(flags)?),
        Protocol::Tezos => Claim::Tezos(TezosClaim { floor_level: flags.at_level, ..TezosClaim::default() }),
        Protocol::Generic => Claim::Generic(GenericClaim {
            floor_height: flags.at_height,
            newest: flags.at_position.as_deref().map(parse_position).transpose()?,
        }),
    })
}

fn missing(problem: String) -> CliError {
    CliError::ClaimMissing { problem }
}

fn ethereum(flags: &ClaimFlags) -> Result<EthereumClaim, CliError> {
    if flags.never_signed {
        return Ok(EthereumClaim::default());
    }
    let half = |flag: &str| {
        missing(format!(
            "{flag} is missing: say up to where the key signed, or `{flag} none` if it never did"
        ))
    };
    let slot = flags.at_slot.as_deref().ok_or_else(|| half("--at-slot"))?;
    let epochs = flags.at_epochs.as_deref().ok_or_else(|| half("--at-epochs"))?;
    Ok(EthereumClaim {
        slot: if slot == NONE { None } else { Some(number("--at-slot", slot, slot)?) },
        epochs: if epochs == NONE { None } else { Some(parse_epochs(epochs)?) },
    })
}

fn number(argument: &'static str, whole: &str, part: &str) -> Result<u64, CliError> {
    let digits = !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    part.parse().ok().filter(|_| digits).ok_or_else(|| CliError::Argument {
        argument,
        value: whole.to_owned(),
        problem: format!("{part:?} is not a number"),
    })
}

fn parse_epochs(text: &str) -> Result<ClaimedEpochs, CliError> {
    let (source, target) = text.split_once('/').ok_or_else(|| CliError::Argument {
        argument: "--at-epochs",
        value: text.to_owned(),
        problem: "it is not SOURCE/TARGET".to_owned(),
    })?;
    let part = |part| number("--at-epochs", text, part);
    Ok(ClaimedEpochs { source_epoch: part(source)?, target_epoch: part(target)? })
}

/// Numbers that are left out are the highest, so that everything under the ones given is excluded.
fn parse_position(text: &str) -> Result<[u64; 3], CliError> {
    let mut position = [u64::MAX; 3];
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() > position.len() {
        let (argument, problem) = ("--at-position", format!("it has {} numbers, at most 3", parts.len()));
        return Err(CliError::Argument { argument, value: text.to_owned(), problem });
    }
    for (number_at, part) in position.iter_mut().zip(parts) {
        *number_at = number("--at-position", text, part)?;
    }
    Ok(position)
}

/// What a key may have signed, as another guard has to be told: its watermark, its floor and its window.
pub(crate) fn reach(key: &v1::Key) -> Result<KeyClaim, CliError> {
    let mut claim =
        KeyClaim { name: key.name.clone(), protocol: key.protocol.clone(), ..KeyClaim::default() };
    let positions =
        key.marks.iter().map(|mark| interlock_proto::any_position_from_wire(mark.position.as_ref()));
    let positions = positions.collect::<Result<Vec<_>, _>>()?;
    match protocol(&key.protocol)? {
        Protocol::Cometbft => claim.at_height = Some(key.reach_height),
        // The wire does not tell a floor of 0 from none: 0 is claimed, which excludes no more than that.
        Protocol::Tezos => {
            let level = u32::try_from(key.reach_height);
            let problem = |_| CliError::Answer { problem: format!("level {} is no level", key.reach_height) };
            claim.at_level = Some(level.map_err(problem)?);
        }
        Protocol::Generic => claim.at_height = Some(key.reach_height),
        Protocol::Ethereum => {
            let slot = positions.iter().find_map(|position| match position {
                Position::EthereumBlock { slot } => Some(slot.to_string()),
                _ => None,
            });
            let epochs = positions.iter().find_map(|position| match position {
                Position::EthereumAttestation { source_epoch, target_epoch } => {
                    Some(format!("{source_epoch}/{target_epoch}"))
                }
                _ => None,
            });
            claim.at_slot = Some(slot.unwrap_or_else(|| NONE.to_owned()));
            claim.at_epochs = Some(epochs.unwrap_or_else(|| NONE.to_owned()));
        }
    }
    Ok(claim)
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
