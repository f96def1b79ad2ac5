//! A node that has just started takes no part in consensus before its peers have looked at its data.
//!
//! Its disk may be an older copy of itself, which it cannot know; its peers remember how far it had come. Invariant:
//! until [`Admission`] says yes this node grants no vote, acknowledges no entry and asks for no vote; after a refusal
//! it never does again. Asking costs no availability: what it could do alone, without the majority that it asks, is
//! nothing.

use crate::raft::network::Peer;
use crate::raft::peers::Peers;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use interlock_store::{GuardNode, Membership};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

/// How long the peers that have not answered are waited for once a majority has.
const GRACE: Duration = Duration::from_millis(1000);
/// Pause between two attempts at a peer that does not answer.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Asking,
    Admitted,
    Refused(String),
}

/// Whether this node may take part.
pub(crate) struct Admission {
    state: watch::Sender<State>,
}

impl Default for Admission {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Asking) }
    }
}

impl Admission {
    /// Whether this node may take part now.
    pub(crate) fn check(&self) -> Result<(), Status> {
        match &*self.state.borrow() {
            State::Admitted => Ok(()),
            State::Asking => {
                Err(Status::unavailable("this node has just started and still asks its peers about its data"))
            }
            State::Refused(reason) => Err(Status::failed_precondition(reason.clone())),
        }
    }

    /// For good: no peer can take a refusal back.
    pub(crate) fn refuse(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Refused(_));
            if first {
                *state = State::Refused(reason.to_owned());
            }
            first
        });
    }

    fn admit(&self) {
        self.state.send_if_modified(|state| {
            let asking = *state == State::Asking;
            if asking {
                *state = State::Admitted;
            }
            asking
        });
    }

    /// Waits until a peer refuses this node, and says why.
    pub(crate) async fn refused(&self) -> String {
        let mut state = self.state.subscribe();
        loop {
            if let State::Refused(reason) = &*state.borrow_and_update() {
                return reason.clone();
            }
            // The sender lives in `self`.
            let _ = state.changed().await;
        }
    }
}

/// Asks all members, until each has answered once. Admits this node when a majority of the voters, itself counted, has
/// accepted its data, and the others were given [`GRACE`] to object.
pub(crate) async fn ask_peers(
    peers: Arc<Peers>,
    membership: Membership,
    dial: impl Fn(u64, &GuardNode) -> Peer,
) {
    let own = peers.local.node_id;
    let others = membership.nodes().filter(|(id, _)| **id != own);
    let mut answers: FuturesUnordered<_> = others.map(|(id, node)| introduce(*id, dial(*id, node))).collect();
    let mut accepted = BTreeSet::from([own]);
    let mut deadline = None;
    loop {
        if answers.is_empty() {
            return peers.admission.admit();
        }
        if deadline.is_none() && is_majority(&membership, &accepted) {
            deadline = Some(Instant::now() + GRACE);
        }
        let grace_over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(id) = answers.next() => {
                accepted.insert(id);
            }
            () = grace_over => break,
        }
    }
    peers.admission.admit();
    // The late ones may still know better.
    while answers.next().await.is_some() {}
}

fn is_majority(membership: &Membership, accepted: &BTreeSet<u64>) -> bool {
    membership
        .get_joint_config()
        .iter()
        .all(|voters| voters.intersection(accepted).count() > voters.len() / 2)
}

/// Asks one peer until it accepts. A refusal stops this node, wherever it is heard.
async fn introduce(id: u64, mut peer: Peer) -> u64 {
    loop {
        match peer.introduce().await {
            Ok(()) => return id,
            Err(status) => tracing::debug!(node_id = id, %status, "not introduced yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn membership(configs: &[&[u64]]) -> Membership {
        let nodes: BTreeMap<u64, GuardNode> =
            configs.iter().flat_map(|ids| ids.iter().map(|id| (*id, GuardNode::default()))).collect();
        Membership::new(configs.iter().map(|ids| ids.iter().copied().collect()).collect(), nodes).unwrap()
    }

    #[test]
    fn both_halves_of_a_joint_membership_need_a_majority() {
        let joint = membership(&[&[1, 2, 3], &[3, 4, 5]]);
        assert!(!is_majority(&joint, &BTreeSet::from([1, 2])));
        assert!(!is_majority(&joint, &BTreeSet::from([1, 2, 4])));
        assert!(is_majority(&joint, &BTreeSet::from([1, 3, 4])));
        assert!(!is_majority(&membership(&[&[1, 2]]), &BTreeSet::from([1])));
    }

    #[test]
    fn a_refusal_is_for_good() {
        let admission = Admission::default();
        assert!(admission.check().is_err());
        admission.admit();
        admission.check().unwrap();
        admission.refuse("older");
        admission.refuse("again");
        admission.admit();
        assert_eq!(admission.check().unwrap_err().message(), "older");
    }
}
