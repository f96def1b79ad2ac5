//! Rules that read a history or settings alone: what a claim makes of it, what would unlock, what is unsound.

use super::history::{History, Mark, claimed};
use interlock_core::command::AddKey;
use interlock_core::{Claim, Rule};
use std::collections::BTreeSet;

/// What a history is after a claim, which takes away repeats where it covers the newest; what is lower changes nothing.
/// `None`: unsound (R34).
pub(super) fn raised(history: &History, claim: &Claim, protocol: u8) -> Option<History> {
    let (of, floor, claims) = claimed(claim);
    let mut raised = history.clone();
    raised.floors.extend(floor.filter(|_| floor > history.floors.iter().copied().max()));
    let covered = |mark: &&Mark| {
        history.newest(mark.kind).is_some_and(|(at, _)| mark.at == at)
            && history.payload(mark).flatten().is_some()
    };
    for mark in history.marks.iter().filter(covered).filter(|mark| of != 1 && Some(mark.at[0]) <= floor) {
        raised.marks.push(Mark { payload: None, time: None, ..mark.clone() });
    }
    for mark in &claims {
        let ours = history.newest(mark.kind);
        let known = history.payload(mark).flatten();
        let other = known.is_some() && known != mark.payload.map(|payload| (payload, mark.time));
        let rises = ours.is_none_or(|(at, source)| mark.at > at || mark.source > source);
        if rises || (ours.is_some_and(|(at, _)| mark.at == at) && other) {
            raised.marks.push(mark.clone());
        }
        let new = |heights: Option<u64>| mark.vote.filter(|_| heights < Some(mark.at[0]));
        let vote = new(history.votes.iter().map(|vote| vote.0).max());
        let lock = new(history.locks.iter().map(|lock| lock.0).max()).filter(|_| mark.at[2] == 2);
        raised.votes.extend(vote.map(|block| (mark.at[0], block)));
        raised.locks.extend(lock.map(|block| (mark.at[0], block, None)));
    }
    let too_high = raised.height() > i64::MAX.unsigned_abs() && raised.height() > history.height();
    let sound = of == protocol && claims.iter().all(|mark| mark.source <= mark.at[0]) && !too_high;
    sound.then_some(raised)
}

/// R12.
pub(super) fn would_unlock(history: &History, asked: &Mark) -> bool {
    let lock = history.locks.last().filter(|lock| lock.0 == asked.at[0]);
    let vote = history.votes.last().filter(|vote| vote.0 == asked.at[0]);
    let Some((_, locked, by)) = lock else { return false };
    let known = by.is_some() && *by == asked.by;
    let allowed = [None, Some(*locked), vote.map(|vote| vote.1)];
    asked.kind == 0 && asked.at[2] == 1 && !known && !allowed.contains(&asked.vote)
}

/// R13, for rounds: only CometBFT and Tezos have them.
pub(super) fn far_round(history: &History, asked: &Mark) -> bool {
    matches!(asked.kind / 10, 0 | 2) && asked.at[1] > history.round(asked) + 10_000
}

/// R32, R33.
pub(super) fn unsound(AddKey { signers, policy, chain, .. }: &AddKey) -> Option<Rule> {
    let twice = signers.iter().collect::<BTreeSet<_>>().len() < signers.len();
    let (ahead, jump) = if chain.protocol() as u8 == 1 { (0, 64) } else { (8, 1) };
    let window = policy.window_heights;
    let policy = policy.max_jump_heights < jump.max(window) || window > ahead;
    let signers = signers.is_empty() || signers.len() > 16 || twice;
    if signers { Some(Rule::SignersSound) } else { policy.then_some(Rule::PolicySound) }
}
