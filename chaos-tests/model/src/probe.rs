//! The question of the liveness invariant, asked in every state: if all faults ended here, could a later
//! height be signed?
//!
//! Answered by doing it, on a copy: an operator ends what only an operator ends (a freeze, a quarantine),
//! each process in turn is handed the lease afresh, and asks at the next height, through its own local veto
//! and the cluster.

use crate::behaviour::GuardModel;
use crate::cluster::apply;
use crate::local::{Local, Mark};
use crate::plant::Plant;
use crate::protocol::{Chain, attestation, block, generic, vote};
use crate::setting::{cluster_id, holder, reason};

use crate::memo::Page;
use crate::world::{Who, World};
use interlock_core::cometbft::Step;
use interlock_core::{Action, Approval, Approved, Command, Epoch, Intent, KeyRecord, KeyState, Verdict};
use std::sync::Arc;

/// Whether no approved, never signed payload blocks what follows.
pub(crate) fn nothing_blocks(model: &GuardModel, world: &World) -> bool {
    let keys = (0_u8..).zip(&model.tables.key_ids).filter(|(key, _)| world.ghost.added >> key & 1 == 1);
    keys.into_iter().all(|(key, _)| {
        let processes = world.processes.iter().filter(|process| process.cluster == world.cluster);
        let able = processes.filter_map(|process| {
            let local = process.seats[usize::from(key)].local.as_ref()?;
            Some((process.who, local))
        });
        able.into_iter().all(|(who, local)| can_go_on(model, world, (who, key), local))
    })
}

struct Probe<'a> {
    model: &'a GuardModel,
    world: &'a World,
    book: Arc<Page>,
    key: u8,
}

impl Probe<'_> {
    fn apply(&mut self, action: Action) -> Verdict {
        let key = self.model.tables.key_ids[usize::from(self.key)];
        let command = Command { cluster: cluster_id(self.world.cluster), key, action };
        apply(self.model, &mut self.book, &command, self.world.signed())
    }

    fn record(&self) -> Option<&KeyRecord> {
        self.book.key(self.model.tables.key_ids[usize::from(self.key)])
    }

    /// What only a person may end.
    fn activate(&mut self) -> Option<()> {
        let version = self.record()?.version;
        self.apply(Action::Unfreeze { expected_version: version, reason: reason() });
        let version = self.record()?.version;
        self.apply(Action::LiftQuarantine { expected_version: version, attestation: reason() });
        (self.record()?.state == KeyState::Active).then_some(())
    }

    /// The process gives up what it holds, and is handed the lease.
    fn lease(&mut self, who: Who) -> Option<u64> {
        let me = holder(who);
        let epoch = self.record()?.epoch;
        if self.record()?.holder.as_ref() == Some(&me) {
            self.apply(Action::Release { holder: me.clone(), epoch, give_back: None });
        }
        match self.apply(Action::Handover { expected_epoch: epoch, to: me, reason: reason() }) {
            Verdict::Granted(grant) => Some(grant.epoch.0),
            _ => None,
        }
    }
}

fn can_go_on(model: &GuardModel, world: &World, seat: (Who, u8), local: &Local) -> bool {
    if model.setting.plant.is_some() {
        return goes_on(model, world, seat, local.clone());
    }
    let probed = (Arc::clone(&world.book), seat.0, seat.1, local.clone());
    model.memo.probe(probed, |_| goes_on(model, world, seat, local.clone()))
}

fn goes_on(model: &GuardModel, world: &World, (who, key): (Who, u8), mut local: Local) -> bool {
    let mut probe = Probe { model, world, book: Arc::clone(&world.book), key };
    let Some(epoch) = probe.activate().and_then(|()| probe.lease(who)) else { return false };
    let Some(record) = probe.record() else { return false };
    let height = record.reach_height().max(local.height()) + 1;
    let me = holder(who);
    next(model.setting.chain, height, who.signer).into_iter().all(|intent| {
        let mark = Mark { position: intent.position(), payload: Some(intent.payload()) };
        let waits = model.has(Plant::PendingBlocks) && local.is_pending();
        if waits || local.begin(mark).is_none() {
            return false;
        }
        let action = Action::Approve { holder: me.clone(), epoch: Epoch(epoch), intent };
        matches!(probe.apply(action), Verdict::Approved(Approved { approval: Approval::Fresh, .. }))
    })
}

/// What a chain asks for next.
fn next(chain: Chain, height: u64, signer: u8) -> Vec<Intent> {
    let payloads = match chain {
        Chain::Cometbft => vec![vote(height, 0, Step::Prevote, 1), vote(height, 0, Step::Precommit, 1)],
        Chain::Generic => vec![generic(height, 0, 1)],
        Chain::Ethereum => vec![block(height, 1), attestation(height / 32 + 1, height / 32 + 2, 1)],
    };
    payloads.into_iter().map(|payload| payload.intent(signer)).collect()
}
