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
        let rule = self.rule();
        write!(f, "{rule}: ")?;
        match rule.number() {
            1..=19 => signing(self, f),
            20..=29 => lease(self, f),
            _ => operator(self, f),
        }
    }
}

/// Rules for signing.
fn signing(denial: &Denial, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match denial {
        Denial::UnknownKey { key } => {
            write!(f, "key {key} is not known here; add it with `interlock key add`")
        }
        Denial::WrongCluster { ours, asked } => {
            write!(f, "this is cluster {ours}, the request is for cluster {asked}")
        }
        Denial::NotActive { state } => write!(f, "the key is {state}"),
        Denial::NotHolder { holder, epoch, asked } => {
            let holder = HolderOrNobody(holder.as_ref());
            write!(f, "{holder} holds the lease of epoch {epoch}, not {asked}")
        }
        Denial::StaleEpoch { current, asked } => write!(f, "the lease is at epoch {current}, not {asked}"),
        Denial::BelowFloor { floor, asked } => write!(f, "{asked} is not above the key's floor, {floor}"),
        Denial::Regression { last, asked } => write!(f, "{asked} is below {last}, which is settled"),
        Denial::Conflict { at, recorded, asked } => {
            write!(f, "double sign: at {at} payload {recorded} was approved, {asked} is another")
        }
        Denial::Locked { at, locked, asked } => {
            write!(f, "at {at} the key has locked block {locked}, a prevote for {asked} would unlock it")
        }
        Denial::Jump { settled_height, asked_height, max_jump_heights } => write!(
            f,
            "height {asked_height} is more than {max_jump_heights} heights above height {settled_height}; if it is \
             right, an operator confirms it with `interlock key import --confirm-jump`"
        ),
        Denial::RoundJump { newest_round, asked, max_jump_rounds } => write!(
            f,
            "{asked} is more than {max_jump_rounds} rounds above round {newest_round}; if it is right, an operator \
             confirms it with `interlock key import --confirm-jump`"
        ),
        Denial::WindowOpen { up_to_height, asked } => {
            write!(f, "{asked} is asked while the holder approves up to height {up_to_height} from memory")
        }
        Denial::BeyondWindow { up_to_height, asked } => {
            write!(f, "{asked} lies beyond the window, which ends at height {up_to_height}")
        }
        Denial::OtherProtocol { key, asked } => write!(f, "{asked} is no message of a {key} key"),
        Denial::HeightBelowFloor { floor, height } => {
            write!(f, "a window for height {height} begins at or below the key's floor, {floor}")
        }
        Denial::SourceAfterTarget { source_epoch, target_epoch } => {
            write!(f, "source epoch {source_epoch} lies after target epoch {target_epoch}")
        }
        Denial::WindowsOff => write!(f, "the key's policy allows no windows"),
        Denial::WindowUnsound { height, up_to_height, window_heights } => write!(
            f,
            "a window for height {height} up to {up_to_height} is not one of at most {window_heights} heights beyond it"
        ),
        Denial::WindowBelow { settled_height, height } => {
            write!(f, "a window for height {height} begins below height {settled_height}, which is settled")
        }
        // Not reached: every denial is in the group of its rule. Still said, should it ever be.
        other => write!(f, "{other:?}"),
    }
}

/// Rules for leases.
fn lease(denial: &Denial, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match denial {
        Denial::NotRegistered { signer } => write!(f, "signer {signer} is not registered for this key"),
        Denial::EpochMoved { current, expected } => {
            write!(f, "the lease is at epoch {current}, the command expected {expected}")
        }
        Denial::LeaseHeld { holder, epoch } => write!(f, "{holder} holds the lease of epoch {epoch}"),
        Denial::NotReleasable { holder, epoch, asked, asked_epoch } => {
            let holder = HolderOrNobody(holder.as_ref());
            write!(f, "{holder} holds epoch {epoch}; {asked} cannot release epoch {asked_epoch}")
        }
        Denial::GiveBackUnsound { up_to_height, recorded_height, given_height } => match up_to_height {
            Some(up_to) => write!(
                f,
                "what is given back stands at height {given_height}: it must continue the record at height \
                 {recorded_height} and stay within height {up_to}"
            ),
            None => {
                write!(f, "there is no window to give back; the record stands at height {recorded_height}")
            }
        },
        // Not reached: every denial is in the group of its rule. Still said, should it ever be.
        other => write!(f, "{other:?}"),
    }
}

/// Rules for operators, for the cluster and for ourselves.
fn operator(denial: &Denial, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match denial {
        Denial::ClaimTooHigh { height, height_max } => {
            write!(f, "the claim reaches height {height}, above {height_max}, which no chain reaches")
        }
        Denial::KeyExists { name } => write!(
            f,
            "the key is known already, as {name}, with other settings, in another state, or below the claim"
        ),
        Denial::NameTaken { name, by } => write!(f, "the name {name} belongs to key {by}"),
        Denial::UnsoundSigners { count } => {
            write!(f, "{count} signers given: name 1 to 16, each once")
        }
        Denial::VersionMoved { current, expected } => {
            write!(f, "the record is at version {current}, the command expected {expected}; look again")
        }
        Denial::KeyIdMismatch { computed, asked } => {
            write!(f, "the key described is {computed}, the command names {asked}")
        }
        Denial::UnsoundPolicy { window_heights, max_jump_heights, protocol } => write!(
            f,
            "a {protocol} key with windows of {window_heights} heights and jumps of {max_jump_heights}: windows have \
             at most {WINDOW_HEIGHTS_MAX} heights, for Ethereum none; jumps at least as many, at least one, for \
             Ethereum two epochs"
        ),
        Denial::StateUnfit { state } => write!(f, "the key is {state}, this command does not apply"),
        Denial::OtherClaim { key } => write!(f, "the claim is not for a {key} key"),
        Denial::RulesMoved { current, expected, asked } => write!(
            f,
            "the rules are at version {current}; the command expected {expected} and asks for {asked}, which must \
             be the next"
        ),
        Denial::RulesTooOld { current, needed } => write!(
            f,
            "this needs rule version {needed}, in force is {current}; upgrade every node, then raise the rules"
        ),
        Denial::Broken { invariant } => {
            write!(f, "refused because it would break an invariant ({invariant}); this is a bug, report it")
        }
        Denial::ClaimUnsound { source_epoch, target_epoch } => {
            write!(f, "source epoch {source_epoch} lies after target epoch {target_epoch}")
        }
        // Not reached: every denial is in the group of its rule. Still said, should it ever be.
        other => write!(f, "{other:?}"),
    }
}
