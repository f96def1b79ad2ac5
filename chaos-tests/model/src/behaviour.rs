//! The model as the checker sees it: the first state, the open steps, and what each leads to.

use crate::actions::{self, Kind, Step};
use crate::invariants::{self, Event, Invariant, Taken};
use crate::local::Local;
use crate::memo::{Memo, Page};
use crate::plant::Plant;
use crate::setting::{PLACE, Setting, Tables, add_key, cluster_id};
use crate::signer;
use crate::world::{Ask, Ghost, Process, Request, Seat, Who, World};
use crate::{cluster, operator};
use interlock_core::{Action, Book, Command, KeyId};
use stateright::{Model, Property};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A world with what is counted while it is explored.
#[derive(Debug)]
pub(crate) struct GuardModel {
    pub(crate) setting: Setting,
    pub(crate) tables: Tables,
    /// Heights that a window may be asked for at.
    pub(crate) heights: BTreeSet<u64>,
    pub(crate) memo: Memo,
    pub(crate) taken: Vec<AtomicU64>,
    /// By number, the rules that decided a verdict.
    pub(crate) rules: Vec<AtomicU64>,
    /// What was broken in the first state that broke anything.
    pub(crate) first: OnceLock<u8>,
}

impl GuardModel {
    pub(crate) fn new(setting: Setting) -> Self {
        let tables = Tables::new(&setting);
        let heights = setting.payloads.iter().map(|payload| payload.position.height()).collect();
        let counters = |number: usize| (0..number).map(|_| AtomicU64::new(0)).collect();
        let (taken, rules) = (counters(Kind::ALL.len()), counters(64));
        Self { setting, tables, heights, memo: Memo::default(), taken, rules, first: OnceLock::new() }
    }

    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.setting.plant == Some(plant)
    }

    pub(crate) fn keys(&self) -> u8 {
        self.setting.keys + self.setting.keys_later
    }

    /// A cluster with its first keys under the newest rules.
    fn book(&self) -> Book {
        let cluster = cluster_id(0);
        let mut book = Book::new(cluster);
        let raise = Action::RaiseRules { expected_rules: 1, rules: 2 };
        book.apply(PLACE, &Command { cluster, key: KeyId::of_cluster(cluster), action: raise });
        for key in 0..self.setting.keys {
            book.apply(PLACE, &add_key(&self.setting, key, None).into_command(cluster));
        }
        book
    }

    fn process(&self, book: &Book, signer: u8) -> Process {
        let who = Who { signer, incarnation: 1 };
        let seats = self.tables.key_ids.iter().map(|key| {
            let local = book.key(*key).map(|record| Local::enrolled(&record.watermark));
            Seat::new((who, 0), *key, local)
        });
        Process { who, cluster: 0, seats: seats.collect() }
    }

    /// Nothing was signed yet; every signer is enrolled, and the first one has just taken the lease of the
    /// first keys.
    fn start(&self) -> World {
        let book = self.book();
        let processes =
            (0..self.setting.signers).map(|signer| Arc::new(self.process(&book, signer))).collect();
        let mut world = World {
            cluster: 0,
            book: Page::new(book),
            backup: None,
            lost_height: Vec::new(),
            processes,
            requests: Arc::default(),
            answers: Arc::default(),
            left: self.setting.budget,
            ghost: Ghost { added: (1 << self.setting.keys) - 1, ..Ghost::default() },
        };
        for key in 0..self.setting.keys {
            let ask = Ask::Acquire { from: Who { signer: 0, incarnation: 1 }, expected_epoch: 0 };
            cluster::deliver(self, &mut world, &Request { cluster: 0, key, ask });
        }
        for answer in BTreeSet::clone(&world.answers) {
            signer::receive(self, &mut world, &answer);
        }
        world.answers = Arc::default();
        world
    }

    fn take(&self, world: &mut World, step: &Step) -> Option<Event> {
        match *step {
            Step::Ask { signer, key, payload } => signer::ask(self, world, signer, key, payload),
            Step::SignUnknown { signer, key } => signer::sign_unknown(self, world, signer, key),
            Step::Deliver(ref request) => Some(cluster::deliver(self, world, request)),
            Step::Receive(ref answer) => signer::receive(self, world, answer),
            Step::Acquire { signer, key } => signer::acquire(self, world, signer, key),
            Step::Reserve { signer, key, height } => signer::reserve(world, signer, key, height),
            Step::Release { signer, key } => signer::release(world, signer, key),
            Step::HandOver { key, signer } => operator::hand_over(self, world, key, signer),
            Step::Crash { signer, how } => signer::crash(self, world, signer, how),
            Step::Presume { signer, key } => signer::presume(self, world, signer, key),
            Step::Enroll { signer, key } => signer::enroll(self, world, signer, key),
            Step::Order { key, order } => operator::order(self, world, key, order),
            Step::BackUp => operator::back_up(world),
            Step::Restore => operator::restore(self, world),
            Step::PinAnew { signer } => signer::pin_anew(self, world, signer),
        }
    }

    fn count(&self, before: &World, step: &Step, event: &Event) {
        if let Step::Ask { signer, key, .. } | Step::Release { signer, key } = *step
            && before.seat(signer, key).call.is_some()
        {
            self.taken[Kind::GiveUp as usize].fetch_add(1, Ordering::Relaxed);
        }
        let kind = step.kind(matches!(event, Event::Signed { .. }));
        self.taken[kind as usize].fetch_add(1, Ordering::Relaxed);
        if let Event::Applied { verdict, .. } = event {
            let rule = usize::try_from(verdict.rule().number()).unwrap_or(0);
            self.rules[rule].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Model for GuardModel {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    /// None in a state that breaks an invariant: what follows from a fault is not another fault.
    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.ghost.broken == 0 {
            actions::open(self, world, steps);
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        let event = self.take(&mut world, &step)?;
        if !self.has(Plant::TakesOtherAnswer) && !self.has(Plant::ReopensWindow) {
            world.forget_answers();
        }
        self.count(before, &step, &event);
        let taken = Taken { model: self, before, after: &world, event: &event };
        let broken = invariants::broken(&taken);
        world.ghost.broken = broken;
        let idle = matches!(step, Step::Deliver(_)) && world.is_unmoved_since(before);
        (!idle).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::properties()
    }
}

/// The first state that breaks something says what; states are judged in the order of their depth.
pub(crate) fn kept(model: &GuardModel, invariant: Invariant, broken: u8) -> bool {
    if broken != 0 {
        model.first.get_or_init(|| broken);
    }
    broken & invariant.bit() == 0
}
