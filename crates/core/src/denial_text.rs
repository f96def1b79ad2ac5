//! Denials in words, for logs, operators and the audit trail. Each begins with its rule, so that one search in
//! `docs/spec/rules.md` explains it.

use crate::denial::Denial;
use crate::ids::Holder;
use crate::key::WINDOW_HEIGHTS_MAX;
use core::fmt;

struct HolderOrNobody<'a>(Option<&'a Holder>);

impl fmt::Display for HolderOrNobody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => holder.fmt(f),
            None => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Self::UnknownKey { key } => {
                write!(f, "key {key} is not known here; add it with `interlock key add`")
            }
            Self::WrongCluster { ours, asked } => {
                write!(f, "this is cluster {ours}, the request is for cluster {asked}")
            }
            Self::NotActive { state } => write!(f, "the key is {state}"),
            Self::NotHolder { holder, epoch, asked } => {
                let holder = HolderOrNobody(holder.as_ref());
                write!(f, "{holder} holds the lease of epoch {epoch}, not {asked}")
            }
            Self::StaleEpoch { current, asked } => write!(f, "the lease is at epoch {current}, not {asked}"),
            Self::BelowFloor { floor, asked } => write!(f, "{asked} is not above the key's floor, {floor}"),
            Self::Regression { last, asked } => write!(f, "{asked} is below {last}, which is settled"),
            Self::Conflict { at, recorded, asked } => {
                write!(f, "double sign: at {at} payload {recorded} was approved, {asked} is another")
            }
            Self::Locked { at, locked, asked } => {
                write!(f, "at {at} the key has locked block {locked}, a prevote for {asked} would unlock it")
            }
            Self::Jump { settled_height, asked_height, max_jump_heights } => write!(
                f,
                "height {asked_height} is more than {max_jump_heights} heights above height {settled_height}; if it is \
                 right, an operator confirms it with `interlock key import --confirm-jump`"
            ),
            Self::RoundJump { newest_round, asked, max_jump_rounds } => write!(
                f,
                "{asked} is more than {max_jump_rounds} rounds above round {newest_round}; if it is right, an operator \
                 confirms it with `interlock key import --confirm-jump`"
            ),
            Self::ClaimTooHigh { height, height_max } => {
                write!(f, "the claim reaches height {height}, above {height_max}, which no chain reaches")
            }
            Self::NotRegistered { signer } => write!(f, "signer {signer} is not registered for this key"),
            Self::EpochMoved { current, expected } => {
                write!(f, "the lease is at epoch {current}, the command expected {expected}")
            }
            Self::LeaseHeld { holder, epoch } => write!(f, "{holder} holds the lease of epoch {epoch}"),
            Self::NotReleasable { holder, epoch, asked, asked_epoch } => {
                let holder = HolderOrNobody(holder.as_ref());
                write!(f, "{holder} holds epoch {epoch}; {asked} cannot release epoch {asked_epoch}")
            }
            Self::KeyExists { name } => write!(
                f,
                "the key is known already, as {name}, with other settings, in another state, or below the claim"
            ),
            Self::NameTaken { name, by } => write!(f, "the name {name} belongs to key {by}"),
            Self::UnsoundSigners { count } => {
                write!(f, "{count} signers given: name 1 to 16, each once")
            }
            Self::VersionMoved { current, expected } => {
                write!(f, "the record is at version {current}, the command expected {expected}; look again")
            }
            Self::KeyIdMismatch { computed, asked } => {
                write!(f, "the key described is {computed}, the command names {asked}")
            }
            Self::WindowOpen { up_to_height, asked } => {
                write!(
                    f,
                    "{asked} is asked while the holder approves up to height {up_to_height} from memory"
                )
            }
            Self::BeyondWindow { up_to_height, asked } => {
                write!(f, "{asked} lies beyond the window, which ends at height {up_to_height}")
            }
            Self::OtherProtocol { key, asked } => write!(f, "{asked} is no message of a {key} key"),
            Self::HeightBelowFloor { floor, height } => {
                write!(f, "a window for height {height} begins at or below the key's floor, {floor}")
            }
            Self::SourceAfterTarget { source_epoch, target_epoch }
            | Self::ClaimUnsound { source_epoch, target_epoch } => {
                write!(f, "source epoch {source_epoch} lies after target epoch {target_epoch}")
            }
            Self::WindowsOff => write!(f, "the key's policy allows no windows"),
            Self::WindowUnsound { height, up_to_height, window_heights } => write!(
                f,
                "a window for height {height} up to {up_to_height} is not one of at most {window_heights} heights beyond it"
            ),
            Self::WindowBelow { settled_height, height } => {
                write!(
                    f,
                    "a window for height {height} begins below height {settled_height}, which is settled"
                )
            }
            Self::GiveBackUnsound { up_to_height, recorded_height, given_height } => match up_to_height {
                Some(up_to) => write!(
                    f,
                    "what is given back stands at height {given_height}: it must continue the record at height \
                     {recorded_height} and stay within height {up_to}"
                ),
                None => write!(
                    f,
                    "there is no window to give back; the record stands at height {recorded_height}"
                ),
            },
            Self::UnsoundPolicy { window_heights, max_jump_heights, protocol } => write!(
                f,
                "a {protocol} key with windows of {window_heights} heights and jumps of {max_jump_heights}: windows have \
                 at most {WINDOW_HEIGHTS_MAX} heights, for Ethereum none; jumps at least as many, at least one, for \
                 Ethereum two epochs"
            ),
            Self::StateUnfit { state } => write!(f, "the key is {state}, this command does not apply"),
            Self::OtherClaim { key } => write!(f, "the claim is not for a {key} key"),
            Self::RulesMoved { current, expected, asked } => write!(
                f,
                "the rules are at version {current}; the command expected {expected} and asks for {asked}, which must \
                 be the next"
            ),
            Self::RulesTooOld { current, needed } => write!(
                f,
                "this needs rule version {needed}, in force is {current}; upgrade every node, then raise the rules"
            ),
            Self::Broken { invariant } => {
                write!(
                    f,
                    "refused because it would break an invariant ({invariant}); this is a bug, report it"
                )
            }
        }
    }
}
