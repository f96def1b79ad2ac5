//! One state of the world: the cluster, the signer processes, the network, and the ghost that remembers what
//! really happened.
//!
//! Everything that many states share lies behind an `Arc`; two states are one when they are equal, however
//! they came about.

use crate::cluster::Signed;
use crate::local::{Attempt, Local};
use crate::memo::Page;
use crate::setting::{Budget, cluster_id, holder};
use interlock_core::{KeyId, Watermark, Windows};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One process of one signer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Who {
    /// Which signer, by number.
    pub(crate) signer: u8,
    /// Which process of it, from 1.
    pub(crate) incarnation: u8,
}

/// A state of the world.
#[derive(Clone, PartialEq, Hash, Debug)]
pub(crate) struct World {
    /// The cluster that exists: 0, or 1 after a restore. No node of an earlier one runs any more.
    pub(crate) cluster: u8,
    pub(crate) book: Arc<Page>,
    pub(crate) backup: Option<Arc<Page>>,
    /// By key, what the lost cluster's signers may have signed up to: what an operator learns from the chain,
    /// with the largest window on top. Empty before a restore.
    pub(crate) lost_height: Vec<u64>,
    /// By signer, the process that runs now.
    pub(crate) processes: Vec<Arc<Process>>,
    /// Everything that was ever sent.
    pub(crate) requests: Arc<BTreeSet<Request>>,
    /// Every answer that a process can still receive.
    pub(crate) answers: Arc<BTreeSet<Answer>>,
    pub(crate) left: Budget,
    pub(crate) ghost: Ghost,
}

/// A signer process.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Process {
    pub(crate) who: Who,
    /// The cluster that enrolment pinned.
    pub(crate) cluster: u8,
    /// By key.
    pub(crate) seats: Vec<Seat>,
}

/// What a process has of one key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Seat {
    /// The lease it believes to hold.
    pub(crate) lease: Option<u64>,
    /// In memory only.
    pub(crate) windows: Windows,
    /// The request under way.
    pub(crate) call: Option<Call>,
    /// Requests made by this process, to tell answers apart.
    pub(crate) calls: u8,
    /// On disk; `None`: never enrolled, or lost.
    pub(crate) local: Option<Local>,
}

impl Seat {
    /// Of a process that has just started.
    pub(crate) fn new((who, cluster): (Who, u8), key: KeyId, local: Option<Local>) -> Self {
        let windows = Windows::new(cluster_id(cluster), key, holder(who));
        Self { lease: None, windows, call: None, calls: 0, local }
    }
}

/// A request for an approval that has no outcome yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Call {
    pub(crate) number: u8,
    pub(crate) epoch: u64,
    pub(crate) payload: u8,
    /// `None` only with a planted bug: asked without a watermark.
    pub(crate) attempt: Option<Attempt>,
}

/// A command on its way to the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) cluster: u8,
    pub(crate) key: u8,
    pub(crate) ask: Ask,
}

/// What is asked of the cluster. Each carries what its sender saw when it was sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Ask {
    Approve { from: Who, call: u8, epoch: u64, payload: u8 },
    Reserve { from: Who, epoch: u64, height: u64 },
    Release { from: Who, epoch: u64, give_back: Option<Box<Watermark>> },
    Acquire { from: Who, expected_epoch: u64 },
    Handover { to: Who, expected_epoch: u64 },
    Freeze { version: u64 },
    Unfreeze { version: u64 },
    Import { version: u64, height: u64 },
    Lift { version: u64 },
    Add,
}

/// An answer on its way to one process.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Answer {
    pub(crate) to: Who,
    pub(crate) key: u8,
    pub(crate) say: Say,
}

/// What the cluster says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Say {
    /// To one request: approved, with what the approval echoes.
    Approved {
        call: u8,
        echo: Echo,
    },
    /// To one request: certainly not approved.
    Denied {
        call: u8,
    },
    Reserved(Box<interlock_core::Reserved>),
    /// The lease is held by this process.
    Granted {
        epoch: u64,
    },
}

/// The fields of an approval that a signer compares with its request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Echo {
    pub(crate) cluster: u8,
    pub(crate) key: u8,
    pub(crate) epoch: u64,
    pub(crate) payload: u8,
    /// Whose timestamp is signed; 0 where there is none.
    pub(crate) stamp: u8,
}

/// What nobody in the world sees: the truth that the invariants are about.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Ghost {
    /// Signatures that came out, as bits ([`crate::setting::Tables::bit`]). Never fewer.
    pub(crate) signatures: u64,
    /// Approvals that were committed, the same way, by cluster.
    pub(crate) approvals: [u64; 2],
    /// Windows that were committed and not given back.
    pub(crate) windows: BTreeSet<OwnWindow>,
    /// Keys that were added, as bits.
    pub(crate) added: u8,
    /// Invariants that are broken, as bits.
    pub(crate) broken: u8,
}

/// A window of one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct OwnWindow {
    pub(crate) owner: Who,
    pub(crate) cluster: u8,
    pub(crate) key: u8,
    pub(crate) epoch: u64,
    pub(crate) up_to_height: u64,
}

impl World {
    pub(crate) fn seat(&self, signer: u8, key: u8) -> &Seat {
        &self.processes[usize::from(signer)].seats[usize::from(key)]
    }

    pub(crate) fn signed(&self) -> Signed {
        let Ghost { approvals, signatures, .. } = self.ghost;
        Signed { approvals: approvals[usize::from(self.cluster)], signatures }
    }

    pub(crate) fn process_mut(&mut self, signer: u8) -> &mut Process {
        Arc::make_mut(&mut self.processes[usize::from(signer)])
    }

    pub(crate) fn seat_mut(&mut self, signer: u8, key: u8) -> &mut Seat {
        &mut self.process_mut(signer).seats[usize::from(key)]
    }

    pub(crate) fn send(&mut self, cluster: u8, key: u8, ask: Ask) {
        let request = Request { cluster, key, ask };
        if !self.requests.contains(&request) {
            Arc::make_mut(&mut self.requests).insert(request);
        }
    }

    /// Whether the cluster and the network are as they were: a request that was delivered again for nothing.
    pub(crate) fn is_unmoved_since(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.book, &before.book)
            && self.answers.len() == before.answers.len()
            && self.ghost == before.ghost
    }

    /// Drops the answers that no process can take any more: their caller is gone, or its call is over.
    pub(crate) fn forget_answers(&mut self) {
        let processes = &self.processes;
        let useful = |answer: &Answer| {
            let process = &processes[usize::from(answer.to.signer)];
            let seat = &process.seats[usize::from(answer.key)];
            let call = seat.call.map(|call| call.number);
            process.who == answer.to
                && match &answer.say {
                    Say::Approved { call: to, .. } | Say::Denied { call: to } => call == Some(*to),
                    // A refusal is for good. A window that is open may be closed, and the answer come again.
                    Say::Reserved(reserved) => seat.windows.clone().reserved(*reserved.clone()).is_ok(),
                    Say::Granted { epoch } => seat.lease < Some(*epoch),
                }
        };
        if !self.answers.iter().all(useful) {
            let kept = self.answers.iter().filter(|answer| useful(answer)).cloned().collect();
            self.answers = Arc::new(kept);
        }
    }
}
