//! A cluster and its signer processes, beside the oracle, with everything that must hold after each step.

use crate::build::{CLUSTER, Machine, holder, key_id};
use crate::conflict::{Signed, sign};
use crate::oracle::Oracle;
use crate::steps::{GiveBack, Message, Step, Verb, Who, command};
use interlock_core::cometbft::{CometbftRecord, LastApproved, Position, Step as VoteStep};
use interlock_core::ethereum::EthereumRecord;
use interlock_core::generic::{GenericMark, GenericRecord};
use interlock_core::tezos::{LevelRound, TezosMark, TezosRecord};
use interlock_core::{
    Action, Command, Epoch, Holder, KeyId, KeyRecord, Rule, State, Verdict, Watermark, Windows,
};
use std::collections::{BTreeMap, BTreeSet};

/// A process and a key.
type Desk = (Holder, KeyId);

pub(crate) struct World {
    machine: Machine,
    /// Applies the same log.
    replica: State,
    oracle: Oracle,
    /// Commands that changed something.
    done: Vec<Command>,
    /// Answers to reservations.
    reserved: Vec<(Desk, interlock_core::Reserved)>,
    windows: BTreeMap<Desk, Windows>,
    /// What each process has yet to give back.
    kept: BTreeMap<Desk, Watermark>,
    signed: BTreeMap<KeyId, Vec<Signed>>,
    pub(crate) reached: BTreeSet<Rule>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::new(),
            replica: State::genesis(CLUSTER),
            oracle: Oracle::default(),
            done: Vec::new(),
            reserved: Vec::new(),
            windows: BTreeMap::new(),
            kept: BTreeMap::new(),
            signed: BTreeMap::new(),
            reached: BTreeSet::new(),
        }
    }

    pub(crate) fn take(&mut self, key: u8, step: &Step) {
        match (&step.verb, command(&self.machine.state, key, step)) {
            (Verb::Inside(by, message), Some(command)) => match self.desk(key, *by, message) {
                Some((desk, up_to)) => {
                    let height = up_to.saturating_add_signed(message.height - 1);
                    self.inside(&desk, &message.intent(key, height));
                }
                None => drop(self.apply(&command)),
            },
            (Verb::Deliver(which), _) if !self.reserved.is_empty() => {
                self.deliver(which.index(self.reserved.len()));
            }
            (Verb::Again(which), _) if !self.done.is_empty() => self.again(which.index(self.done.len())),
            (Verb::Release(_, how), Some(mut command)) => {
                if let Action::Release { holder, epoch, give_back } = &mut command.action {
                    *give_back = self.give_back(key, &(holder.clone(), key_id(key)), *epoch, *how);
                }
                self.apply(&command);
            }
            (Verb::Reserve { deliver, .. }, Some(command)) => {
                let before = self.reserved.len();
                self.apply(&command);
                if *deliver && self.reserved.len() > before {
                    self.deliver(before);
                }
            }
            (_, Some(command)) => drop(self.apply(&command)),
            (_, None) => {}
        }
    }

    /// A process with an open window, and where it ends: this one, or any.
    fn desk(&self, key: u8, by: Who, message: &Message) -> Option<(Desk, u64)> {
        let open = |(desk, windows): (&Desk, &Windows)| Some((desk.clone(), windows.up_to_height()?));
        let mine = |desk: &Desk| match by {
            Some((signer, process)) => desk.0 == holder(signer, process),
            None => true,
        };
        let at_key = self.windows.iter().filter(|(desk, _)| desk.1 == key_id(key) && mine(desk));
        let open: Vec<_> = at_key.filter_map(open).collect();
        open.get(usize::from(message.seconds != 0).min(open.len().saturating_sub(1))).cloned()
    }

    /// The oracle decides, two replicas apply, a duplicate changes nothing.
    pub(crate) fn apply(&mut self, command: &Command) -> Verdict {
        let (at, before) = (self.machine.at(), self.machine.state.book().clone());
        let expected = self.oracle.decide(command);
        let verdict = self.machine.apply(command);
        assert_eq!(verdict.rule(), expected, "{command:?} got {verdict:?}");
        assert_ne!(verdict.rule(), Rule::InvariantKept, "{command:?}");
        self.reached.insert(verdict.rule());
        assert_eq!(self.replica.apply(at, command), verdict, "determinism");
        let after = self.machine.state.book();
        if verdict.is_denied() {
            assert_eq!(*after, before, "a denial changes nothing");
        }
        let mut twice = self.machine.state.clone();
        twice.apply(self.machine.at(), command);
        assert_eq!(twice.book(), after, "a duplicate changes nothing: {command:?}");
        if *after != before {
            self.done.push(command.clone());
        }
        for (key, record) in before.keys() {
            assert_monotone(record, after.key(key).expect("a key never disappears"));
        }
        self.check_lease(command, &verdict);
        self.remember(command, &verdict);
        verdict
    }

    /// S3, from outside.
    fn check_lease(&self, command: &Command, verdict: &Verdict) {
        let record = self.machine.state.key(command.key);
        let lease = record.map(|record| (record.epoch, record.holder.as_ref()));
        assert_eq!(lease, self.oracle.lease(command.key), "S3");
        if let (Verdict::Approved(approved), Action::Approve { holder, epoch, intent }) =
            (verdict, &command.action)
        {
            assert_eq!(lease, Some((*epoch, Some(holder))), "S3: only the holder, only its epoch");
            let echo = (approved.cluster, approved.key, approved.epoch, approved.position, approved.payload);
            assert_eq!(echo, (CLUSTER, command.key, *epoch, intent.position(), intent.payload()));
        }
    }

    fn remember(&mut self, command: &Command, verdict: &Verdict) {
        match (verdict, &command.action) {
            (Verdict::Approved(approved), _) => {
                let message = (approved.position, approved.payload, approved.timestamp);
                sign(self.signed.entry(command.key).or_default(), message);
            }
            (Verdict::Reserved(reserved), Action::Reserve { holder, .. }) => {
                self.reserved.push(((holder.clone(), command.key), reserved.clone()));
            }
            _ => {}
        }
    }

    /// A process signs inside its window, or is refused there.
    fn inside(&mut self, desk: &Desk, intent: &interlock_core::Intent) {
        let verdict = windows(&mut self.windows, desk).approve(intent);
        let rule = verdict.as_ref().map(|verdict| match verdict {
            Ok(approved) => Verdict::Approved(approved.clone()).rule(),
            Err(denial) => denial.rule(),
        });
        assert_eq!(rule, self.oracle.inside(desk, intent), "{intent:?} in the window of {desk:?}");
        assert_ne!(rule, Some(Rule::InvariantKept));
        self.reached.extend(rule);
        if let Some(Ok(approved)) = verdict {
            assert_eq!((approved.position, approved.payload), (intent.position(), intent.payload()));
            let message = (approved.position, approved.payload, approved.timestamp);
            sign(self.signed.entry(desk.1).or_default(), message);
        }
    }

    fn deliver(&mut self, number: usize) {
        let (desk, reserved) = self.reserved[number].clone();
        let used = windows(&mut self.windows, &desk).reserved(reserved).is_ok();
        assert_eq!(used, self.oracle.deliver(number), "answer {number}");
    }

    /// A command that was carried out arrives late: it changes nothing.
    fn again(&mut self, number: usize) {
        let command = self.done[number].clone();
        let before = self.machine.state.book().clone();
        self.apply(&command);
        assert_eq!(*self.machine.state.book(), before, "a late duplicate changes nothing: {command:?}");
    }

    /// A process closes its window for good before it releases, and says what it signed there, or something else.
    fn give_back(&mut self, key: u8, desk: &Desk, epoch: Epoch, how: GiveBack) -> Option<Watermark> {
        let kept = windows(&mut self.windows, desk).close(epoch);
        self.oracle.close(desk, epoch);
        if let Some(kept) = kept {
            self.kept.insert(desk.clone(), kept);
        }
        let record = self.machine.state.key(key_id(key))?;
        let beyond = record.reach_height() + 1;
        match how {
            GiveBack::Nothing => None,
            GiveBack::Kept => self.kept.get(desk).cloned(),
            GiveBack::Empty => Some(empty(&record.watermark)),
            GiveBack::OtherProtocol => Some(Watermark::Generic(GenericRecord::default())),
            GiveBack::MovedFloor => Some(forged(&record.watermark, beyond - 1)),
            GiveBack::BeyondWindow => Some(ahead(&record.watermark, beyond)),
        }
    }

    /// What holds at the end of a sequence: replicas are equal to the byte, and bytes decode to what they were.
    pub(crate) fn finish(&self) {
        let (one, two) = (&self.machine.state, &self.replica);
        assert_eq!(one, two);
        assert_eq!(one.audit_chain(), two.audit_chain());
        let bytes = two.to_bytes();
        assert_eq!(one.to_bytes(), bytes, "equal states have equal bytes");
        assert_eq!(one.digest(), two.digest());
        assert_eq!(State::from_bytes(&bytes).as_ref(), Ok(one));
    }
}

/// The memory of a process about a key.
fn windows<'a>(all: &'a mut BTreeMap<Desk, Windows>, desk: &Desk) -> &'a mut Windows {
    all.entry(desk.clone()).or_insert_with(|| Windows::new(CLUSTER, desk.1, desk.0.clone()))
}

fn empty(watermark: &Watermark) -> Watermark {
    match watermark {
        Watermark::Cometbft(_) => Watermark::Cometbft(CometbftRecord::new(0)),
        Watermark::Ethereum(_) => Watermark::Ethereum(EthereumRecord::default()),
        Watermark::Tezos(_) => Watermark::Tezos(TezosRecord::default()),
        Watermark::Generic(_) => Watermark::Generic(GenericRecord::default()),
    }
}

/// A watermark with a message that lies beyond the window.
fn ahead(watermark: &Watermark, height: u64) -> Watermark {
    match watermark {
        Watermark::Cometbft(record) => {
            let position = Position { height, round: 0, step: VoteStep::Precommit };
            let last = Some(LastApproved { position, content: None });
            Watermark::Cometbft(CometbftRecord { last, ..record.clone() })
        }
        Watermark::Ethereum(record) => Watermark::Ethereum(*record),
        Watermark::Tezos(record) => {
            let at = LevelRound { level: u32::try_from(height).unwrap(), round: 0 };
            Watermark::Tezos(TezosRecord { block: Some(TezosMark { at, payload: None }), ..*record })
        }
        Watermark::Generic(record) => {
            let newest = Some(GenericMark { position: [height, 0, 0], payload: None });
            Watermark::Generic(GenericRecord { newest, ..*record })
        }
    }
}

/// A watermark whose floor was moved, which no holder may do.
fn forged(watermark: &Watermark, floor_height: u64) -> Watermark {
    match watermark {
        Watermark::Cometbft(record) => Watermark::Cometbft(CometbftRecord { floor_height, ..record.clone() }),
        Watermark::Ethereum(record) => Watermark::Ethereum(*record),
        Watermark::Tezos(record) => {
            Watermark::Tezos(TezosRecord { floor_level: u32::try_from(floor_height).ok(), ..*record })
        }
        Watermark::Generic(record) => {
            Watermark::Generic(GenericRecord { floor_height: Some(floor_height), ..*record })
        }
    }
}

/// S4, from outside: no part of a record is lower than before.
fn assert_monotone(before: &KeyRecord, after: &KeyRecord) {
    let (low, high) = (&before.watermark, &after.watermark);
    assert!(high.height() >= low.height() && high.floor_height() >= low.floor_height(), "S4: height, floor");
    assert!(low.marks().count() <= high.marks().count(), "S4: a mark is lost");
    for (position, payload) in low.marks() {
        let same_kind = high.marks().find(|(now, _)| same_kind(*now, position));
        let (now, kept) = same_kind.expect("S4: a mark stays");
        assert!(
            now > position || (now == position && (kept.is_none() || kept == payload)),
            "S4: {position} became {now}"
        );
    }
    if let (Some(low), Some(high)) = (low.cometbft(), high.cometbft()) {
        let lock = |record: &CometbftRecord| record.lock.as_ref().map(|lock| lock.height);
        let vote = |record: &CometbftRecord| record.vote.map(|vote| vote.height);
        assert!(lock(high) >= lock(low) && vote(high) >= vote(low), "S4: lock, vote");
    }
    assert!(after.epoch >= before.epoch && after.version >= before.version, "S3: epoch, version");
    let new_holder = after.holder.is_some() && after.holder != before.holder;
    assert!(after.epoch > before.epoch || !new_holder, "S3: a new holder has a new epoch");
    assert!(after.window_height.is_none() || after.holder.is_some(), "a window has a holder");
    assert!(after.reach_height() >= before.watermark.height());
}

fn same_kind(one: interlock_core::Position, two: interlock_core::Position) -> bool {
    use interlock_core::Position::Tezos;
    let kinds = |position| if let Tezos(at) = position { Some(at.kind) } else { None };
    std::mem::discriminant(&one) == std::mem::discriminant(&two) && kinds(one) == kinds(two)
}
