//! What runs beside consensus for the sake of its wire: admission, addresses, and the peers' marks.

use crate::raft::admission::ask_peers;
use crate::raft::{JOINED_LATER, PeerNetwork, Peers};
use interlock_store::{Membership, StateMachine, TypeConfig};
use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::time::Duration;

/// How often the peers' marks are written down while they rise. Each time costs two syncs.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Has this node admitted by the members that its log names.
pub(crate) async fn join(network: PeerNetwork, raft: openraft::Raft<TypeConfig, StateMachine>) -> String {
    // Of consensus itself: its metrics come later, and no members at all would be nobody to ask.
    let seen = raft.with_raft_state(|state| state.membership_state.effective().membership().clone()).await;
    let membership = match seen {
        Ok(membership) => membership,
        Err(error) => return format!("consensus has ended: {error}"),
    };
    let local = network.peers().local;
    if local.founders != JOINED_LATER && membership.nodes().next().is_none() {
        return "the cluster was founded with members, and consensus knows none".to_owned();
    }
    ask_peers(network.peers(), membership, |id, node| network.dial(id, node)).await;
    std::future::pending().await
}

/// Keeps the peers' addresses those of the newest membership.
pub(crate) async fn follow_addresses(
    peers: Arc<Peers>,
    raft: openraft::Raft<TypeConfig, StateMachine>,
) -> String {
    let mut metrics = raft.server_metrics();
    loop {
        let addresses = membership(&raft);
        let addresses = addresses.nodes().map(|(id, node)| (*id, node.peer_address.clone())).collect();
        peers.set_addresses(addresses);
        if metrics.changed().await.is_err() {
            return "consensus has ended".to_owned();
        }
    }
}

/// Writes the peers' marks down, now and then.
pub(crate) async fn save_marks(peers: Arc<Peers>) -> String {
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        let saving = Arc::clone(&peers);
        match tokio::task::spawn_blocking(move || saving.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format!("the list of peers cannot be written: {error}"),
            Err(error) => return format!("the list of peers was not written: {error}"),
        }
    }
}

fn membership(raft: &openraft::Raft<TypeConfig, StateMachine>) -> Membership {
    raft.server_metrics().borrow_watched().membership_config.membership().clone()
}
