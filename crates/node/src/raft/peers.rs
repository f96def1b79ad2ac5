//! What this node says of itself to its peers, what it remembers of them, and whom it listens to.
//!
//! Invariant: nothing that a peer says reaches consensus before [`Peers::hear`] has accepted its data, and nothing
//! leaves this node before its own data were admitted.

use crate::raft::admission::Admission;
use crate::raft::{LocalNode, wire};
use interlock_proto::raft as proto;
use interlock_store::{DiskError, Flushed, Mark, PeerBook, PeerMark, PeerRefused};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Marks an answer that says: your data are not those that this node remembers of you.
const REFUSED_KEY: &str = "interlock-refused";

/// Shared by both directions of the consensus wire.
pub(crate) struct Peers {
    pub(crate) local: LocalNode,
    pub(crate) admission: Admission,
    flushed: Flushed,
    book: PeerBook,
    refusals: Mutex<BTreeMap<u64, proto::Refusal>>,
    addresses: Mutex<BTreeMap<u64, String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    pub(crate) fn new(local: LocalNode, flushed: Flushed, book: PeerBook) -> Self {
        let (refusals, addresses) = (Mutex::default(), Mutex::default());
        Self { local, admission: Admission::default(), flushed, book, refusals, addresses }
    }

    /// Whose data this process works on, and how far they have come.
    pub(crate) fn presence(&self) -> proto::Presence {
        proto::Presence {
            incarnation: self.local.incarnation.to_vec(),
            run: self.local.run,
            opened: Some(wire::mark_to_wire(self.flushed.opened())),
            flushed: Some(wire::mark_to_wire(self.flushed.now())),
        }
    }

    /// The head of a request to `target`.
    pub(crate) fn sender(&self, target: u64) -> proto::Sender {
        proto::Sender {
            cluster_id: self.local.cluster.0.to_vec(),
            node_id: self.local.node_id,
            target,
            founders: self.local.founders,
            presence: Some(self.presence()),
            refusal: locked(&self.refusals).get(&target).cloned(),
        }
    }

    /// Accepts what a peer says of its data, or explains why it counts for nothing: neither its questions nor its
    /// answers.
    pub(crate) fn hear(&self, node_id: u64, presence: Option<&proto::Presence>) -> Result<(), Status> {
        let presence = wire::presence_from_wire(presence)?;
        let Err(refused) = self.book.hear(node_id, &presence) else {
            locked(&self.refusals).remove(&node_id);
            return Ok(());
        };
        let refusal = proto::Refusal { run: presence.run, reason: refused.to_string() };
        if matches!(refused, PeerRefused::Full { .. } | PeerRefused::Disk { .. }) {
            tracing::error!(node_id, "{refused}");
            return Err(Status::failed_precondition(refusal.reason));
        }
        let known = locked(&self.refusals).insert(node_id, refusal.clone());
        if known.as_ref() != Some(&refusal) {
            tracing::error!(node_id, "{refused}");
        }
        Err(refused_status(&refusal.reason))
    }

    /// Obeys a peer that refuses this very process.
    pub(crate) fn obey(&self, refusal: Option<&proto::Refusal>) -> Result<(), Status> {
        match refusal {
            Some(refusal) if refusal.run == self.local.run => {
                self.admission.refuse(&refusal.reason);
                self.admission.check()
            }
            _ => Ok(()),
        }
    }

    /// Obeys an answer that refuses this process.
    pub(crate) fn obey_answer(&self, status: &Status) {
        if status.code() == Code::FailedPrecondition && status.metadata().contains_key(REFUSED_KEY) {
            self.admission.refuse(status.message());
        }
    }

    /// How far all peers have come, as this node remembers it.
    pub(crate) fn marks(&self) -> Vec<proto::PeerMark> {
        self.book.marks().into_iter().map(|(node_id, peer)| wire::peer_mark_to_wire(node_id, &peer)).collect()
    }

    /// The same, for people.
    pub(crate) fn known_marks(&self) -> BTreeMap<u64, Mark> {
        self.book.marks().into_iter().map(|(node_id, peer)| (node_id, peer.mark)).collect()
    }

    /// Takes over what a peer remembers of the others, and of this node.
    pub(crate) fn learn(&self, marks: &[proto::PeerMark]) -> Result<(), Status> {
        for told in marks {
            let peer = wire::peer_mark_from_wire(told)?;
            if told.node_id == self.local.node_id {
                self.learn_of_itself(&peer)?;
            } else if let Err(refused) = self.book.learn(told.node_id, peer) {
                // What a third node says of a second is no reason not to listen to the third.
                tracing::warn!(node_id = told.node_id, "{refused}");
            }
        }
        Ok(())
    }

    fn learn_of_itself(&self, told: &PeerMark) -> Result<(), Status> {
        let (node_id, found) = (self.local.node_id, u128::from_be_bytes(self.local.incarnation));
        let opened = self.flushed.opened();
        let refused = if told.incarnation != found {
            PeerRefused::OtherData { node_id, known: told.incarnation, found }
        } else if told.run != self.local.run && told.mark > opened {
            PeerRefused::RolledBack { node_id, known: told.mark, found: opened }
        } else {
            return Ok(());
        };
        self.admission.refuse(&refused.to_string());
        self.admission.check()
    }

    /// Writes the marks down. Blocks.
    pub(crate) fn save(&self) -> Result<(), DiskError> {
        self.book.save()
    }

    /// Where the newest membership says that a peer is reached.
    pub(crate) fn address(&self, node_id: u64) -> Option<String> {
        locked(&self.addresses).get(&node_id).cloned()
    }

    pub(crate) fn set_addresses(&self, addresses: BTreeMap<u64, String>) {
        *locked(&self.addresses) = addresses;
    }
}

fn refused_status(reason: &str) -> Status {
    let mut status = Status::failed_precondition(reason);
    status.metadata_mut().insert(REFUSED_KEY, MetadataValue::from_static("data"));
    status
}
