//! Random steps, and the commands they become: epochs, versions and places are guesses, mostly of what is current, made
//! absolute when the step is taken.

use crate::build::{CLUSTER, add_key, chain, holder, intent, key_id, nothing_signed, reason, signer};
use crate::build::{COMETBFT, ETHEREUM, STEPS, TEZOS};
use interlock_core::cometbft::{ClaimedMessage, CometbftClaim, Content, Position};
use interlock_core::ethereum::{ClaimedEpochs, EthereumClaim, EthereumIntent};
use interlock_core::generic::{GenericClaim, GenericIntent};
use interlock_core::tezos::{self, Kind, LevelRound, TezosClaim, TezosIntent};
use interlock_core::{
    Action, Claim, ClusterId, Command, Digest, Epoch, Holder, Intent, KeyId, KeyRecord, Policy, State,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Which of the two keys of the sequence.
    pub(crate) second_key: bool,
    pub(crate) wrong_cluster: bool,
    /// Subtracted from the current epoch or version; -1 is the future.
    pub(crate) behind: i8,
    pub(crate) verb: Verb,
}

/// A process; `None` is whoever holds the lease now.
pub(crate) type Who = Option<(u8, u8)>;

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Add {
        message: Message,
        flaw: u8,
        policy: Policy,
    },
    Acquire(u8, u8),
    Release(Who, GiveBack),
    Handover(u8, u8),
    Approve(Who, Message),
    Reserve {
        by: Who,
        ahead: i8,
        length: u8,
        deliver: bool,
    },
    Freeze(bool),
    Unfreeze,
    LiftQuarantine,
    Retire,
    Import {
        message: Message,
        confirmed: bool,
        flaw: u8,
    },
    SetPolicy(Policy),
    SetSigners(Vec<u8>),
    RaiseRules {
        expected: u32,
        rules: u32,
        misnamed: bool,
    },
    /// A process signs from the memory of its window; when none is open, it asks.
    Inside(Who, Message),
    /// An answer to a reservation arrives, perhaps late, perhaps again.
    Deliver(Index),
    /// A command that changed something arrives again, however late.
    Again(Index),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GiveBack {
    Nothing,
    Kept,
    Empty,
    MovedFloor,
    BeyondWindow,
    OtherProtocol,
}

/// A message, or a claim of one, as numbers that each protocol reads in its own way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Heights from the newest one, or, when `absolute`, from zero.
    pub(crate) height: i64,
    absolute: bool,
    round: u32,
    kind: u8,
    block: u8,
    pub(crate) seconds: i64,
    node: u8,
    other_protocol: bool,
}

fn message() -> impl Strategy<Value = Message> {
    let height = prop_oneof![
        5 => Just((0_i64, false)), 3 => Just((1, false)), 1 => (-2_i64..12).prop_map(|height| (height, false)),
        1 => (0_i64..30).prop_map(|height| (height, true)),
    ];
    let block = prop_oneof![1 => Just(0_u8), 4 => 1_u8..4];
    let round = prop_oneof![60 => 0_u32..3, 1 => Just(10_001)];
    (height, round, 0_u8..3, block, 0_i64..2, 0_u8..2, prop::bool::weighted(0.01)).prop_map(
        |((height, absolute), round, kind, block, seconds, node, other_protocol)| Message {
            height,
            absolute,
            round,
            kind,
            block,
            seconds,
            node,
            other_protocol,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let jump = prop_oneof![1 => Just(0_u64), 9 => Just(9), 9 => Just(20), 6 => Just(200)];
    let window = prop_oneof![2 => Just(0_u64), 10 => 3_u64..9, 1 => Just(9)];
    (jump, prop::bool::weighted(0.8), window).prop_map(|(max_jump_heights, lock_rule, window_heights)| {
        Policy { max_jump_heights, lock_rule, window_heights }
    })
}

fn verb() -> impl Strategy<Value = Verb> {
    let process = || (prop_oneof![5 => 0_u8..2, 1 => Just(2)], 1_u8..3);
    let who = || prop_oneof![12 => Just(None), 1 => process().prop_map(Some)];
    let give_back = prop_oneof![
        6 => Just(GiveBack::Kept), 3 => Just(GiveBack::Nothing), 1 => Just(GiveBack::Empty),
        1 => Just(GiveBack::MovedFloor), 1 => Just(GiveBack::BeyondWindow), 1 => Just(GiveBack::OtherProtocol),
    ];
    let reserve = (who(), -1_i8..4, prop_oneof![8 => 0_u8..6, 1 => 6_u8..11], prop::bool::weighted(0.8))
        .prop_map(|(by, ahead, length, deliver)| Verb::Reserve { by, ahead, length, deliver });
    prop_oneof![
        10 => (message(), 0_u8..8, policy()).prop_map(|(message, flaw, policy)| Verb::Add { message, flaw, policy }),
        50 => process().prop_map(|(signer, process)| Verb::Acquire(signer, process)),
        20 => (who(), give_back).prop_map(|(by, give_back)| Verb::Release(by, give_back)),
        20 => process().prop_map(|(signer, process)| Verb::Handover(signer, process)),
        200 => (who(), message()).prop_map(|(by, message)| Verb::Approve(by, message)),
        50 => reserve,
        4 => any::<bool>().prop_map(Verb::Freeze),
        30 => Just(Verb::Unfreeze),
        2 => Just(Verb::LiftQuarantine),
        1 => Just(Verb::Retire),
        8 => (message(), any::<bool>(), 0_u8..8)
            .prop_map(|(message, confirmed, flaw)| Verb::Import { message, confirmed, flaw }),
        8 => policy().prop_map(Verb::SetPolicy),
        4 => prop::collection::vec(0_u8..3, 0..4).prop_map(Verb::SetSigners),
        8 => (0_u32..4, 0_u32..3, prop::bool::weighted(0.1))
            .prop_map(|(expected, rules, misnamed)| Verb::RaiseRules { expected, rules, misnamed }),
        120 => (who(), message()).prop_map(|(by, message)| Verb::Inside(by, message)),
        10 => any::<Index>().prop_map(Verb::Deliver),
        20 => any::<Index>().prop_map(Verb::Again),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let behind = prop_oneof![14 => Just(0_i8), 2 => -1_i8..3];
    (any::<bool>(), prop::bool::weighted(0.01), verb(), behind).prop_map(
        |(second_key, wrong_cluster, verb, behind)| Step { second_key, wrong_cluster, verb, behind },
    )
}

fn guess(current: u64, behind: i8) -> u64 {
    current.saturating_add_signed(-i64::from(behind))
}

impl Message {
    fn height(&self, record: Option<&KeyRecord>) -> u64 {
        let newest = record.map_or(0, |record| record.watermark.height());
        if self.absolute {
            self.height.unsigned_abs()
        } else {
            newest.saturating_add_signed(self.height).max(1)
        }
    }

    /// The message at a height of this key.
    pub(crate) fn intent(&self, key: u8, height: u64) -> Intent {
        let payload = Digest([self.block; 32]);
        match if self.other_protocol { key + 1 } else { key } % 4 {
            COMETBFT => {
                let step = STEPS[usize::from(self.kind)];
                let block = if self.kind == 0 { self.block.max(1) } else { self.block };
                let position = Position { height, round: self.round, step };
                let node = ["n1", "n2"][usize::from(self.node)];
                Intent::Cometbft(intent(position, block, self.seconds, node))
            }
            ETHEREUM if self.kind == 0 => {
                Intent::Ethereum(EthereumIntent::Block { slot: height, signing_root: payload })
            }
            ETHEREUM => {
                let ClaimedEpochs { source_epoch, target_epoch } = self.epochs(height);
                let signing_root = payload;
                Intent::Ethereum(EthereumIntent::Attestation { source_epoch, target_epoch, signing_root })
            }
            TEZOS => {
                let kind = [Kind::Block, Kind::Preattestation, Kind::Attestation][usize::from(self.kind)];
                let level = u32::try_from(height).unwrap();
                let position = tezos::Position { kind, level, round: self.round };
                Intent::Tezos(TezosIntent { position, payload })
            }
            _ => {
                let position = [height, self.round.into(), self.kind.into()];
                Intent::Generic(GenericIntent { position, payload })
            }
        }
    }

    /// An attestation near a slot; its source is sometimes after its target.
    fn epochs(&self, slot: u64) -> ClaimedEpochs {
        let target_epoch = slot / 32 + u64::from(self.node) + u64::from(self.kind - self.kind.min(1));
        let back = u64::from(self.round) + u64::from(self.block);
        let source_epoch = (target_epoch + 1).saturating_sub(back);
        ClaimedEpochs { source_epoch, target_epoch }
    }

    /// The claim that this message was signed; with or without what it said, perhaps with a floor.
    fn claim(&self, key: u8, height: u64, flaw: u8) -> Claim {
        let (floor, names) = (height.saturating_sub(2), flaw.is_multiple_of(2));
        match key % 4 {
            COMETBFT => {
                let step = STEPS[usize::from(self.kind)];
                let position = Position { height, round: self.round, step };
                let signed = intent(position, self.block.max(1), self.seconds, "n1");
                let content = Content { payload: signed.payload, timestamp: signed.timestamp };
                let content = (self.round == 0).then_some(content);
                let signed = names.then_some(ClaimedMessage { position, content, block: signed.block });
                Claim::Cometbft(CometbftClaim { floor_height: floor, signed })
            }
            ETHEREUM => Claim::Ethereum(EthereumClaim {
                slot: names.then_some(height),
                epochs: (self.round > 0).then(|| self.epochs(height)),
            }),
            TEZOS => {
                let level = u32::try_from(height).unwrap();
                let at = |kind| (self.kind == kind).then_some(LevelRound { level, round: self.round });
                let floor_level = names.then_some(level.saturating_sub(2));
                let (block, preattestation, attestation) = (at(0), at(1), at(2));
                Claim::Tezos(TezosClaim { floor_level, block, preattestation, attestation })
            }
            _ => {
                let newest = (self.kind > 0).then_some([height, self.round.into(), 0]);
                Claim::Generic(GenericClaim { floor_height: names.then_some(floor), newest })
            }
        }
    }
}

/// Who acts, seen from this record.
fn who(by: Who, record: Option<&KeyRecord>) -> Holder {
    let named = by.map(|(signer, process)| holder(signer, process));
    named.or_else(|| record?.holder.clone()).unwrap_or_else(|| holder(0, 1))
}

fn add(key: u8, message: &Message, flaw: u8, mut policy: Policy) -> Action {
    if !chain(key).has_windows() && flaw != 5 {
        policy = Policy { window_heights: 0, max_jump_heights: 200, ..policy };
    }
    let mut add = add_key(key, policy);
    match flaw {
        0 => add.claim = message.claim(key, message.height(None), message.kind),
        1 => add.claim = nothing_signed(key + 1),
        3 => add.signers = vec![signer(0); 2],
        2 | 4 => add.public_key = add_key(key + 4, policy).public_key,
        _ => {}
    }
    Action::AddKey(add)
}

/// Makes a step absolute, seen from this state. `None` for what is no command.
pub(crate) fn command(state: &State, key: u8, step: &Step) -> Option<Command> {
    let record = state.key(key_id(key));
    let epoch = Epoch(guess(record.map_or(0, |record| record.epoch.0), step.behind));
    let expected_version = guess(record.map_or(0, |record| record.version), step.behind);
    let mut subject = key_id(key);
    let action = match &step.verb {
        Verb::Add { message, flaw, policy } => {
            if *flaw == 2 {
                subject = key_id(key + 4); // Another key under the same name.
            }
            add(key, message, *flaw, *policy)
        }
        Verb::Acquire(signer, process) => {
            Action::Acquire { holder: holder(*signer, *process), expected_epoch: epoch }
        }
        Verb::Release(by, _) => Action::Release { holder: who(*by, record), epoch, give_back: None },
        Verb::Handover(signer, process) => {
            Action::Handover { expected_epoch: epoch, to: holder(*signer, *process), reason: reason("test") }
        }
        Verb::Approve(by, message) | Verb::Inside(by, message) => {
            let intent = message.intent(key, message.height(record));
            Action::Approve { holder: who(*by, record), epoch, intent }
        }
        Verb::Reserve { by, ahead, length, .. } => {
            let settled = record.map_or(0, |record| record.watermark.height());
            let height = settled.saturating_add_signed(i64::from(*ahead));
            let up_to_height = height + u64::from(*length);
            Action::Reserve { holder: who(*by, record), epoch, height, up_to_height }
        }
        Verb::Freeze(other) => {
            Action::Freeze { expected_version, reason: reason(if *other { "one" } else { "two" }) }
        }
        Verb::Unfreeze => Action::Unfreeze { expected_version, reason: reason("") },
        Verb::LiftQuarantine => Action::LiftQuarantine { expected_version, attestation: reason("") },
        Verb::Retire => Action::Retire { expected_version, reason: reason("") },
        Verb::Import { message, confirmed, flaw } => {
            let claimed = if *flaw == 7 { key + 1 } else { key };
            let claim = message.claim(claimed, message.height(record), *flaw);
            Action::Import { expected_version, claim, jump_confirmed: *confirmed, reason: reason("") }
        }
        Verb::SetPolicy(policy) => {
            Action::SetPolicy { expected_version, policy: *policy, reason: reason("") }
        }
        Verb::SetSigners(numbers) => {
            let signers = numbers.iter().map(|number| signer(*number)).collect();
            Action::SetSigners { expected_version, signers, reason: reason("") }
        }
        Verb::RaiseRules { expected, rules, misnamed } => {
            subject = if *misnamed { subject } else { KeyId::of_cluster(CLUSTER) };
            Action::RaiseRules { expected_rules: *expected, rules: *rules }
        }
        Verb::Deliver(_) | Verb::Again(_) => return None,
    };
    let cluster = if step.wrong_cluster { ClusterId([8; 16]) } else { CLUSTER };
    Some(Command { cluster, key: subject, action })
}
