//! A change whose leader or operator went away between its two halves is finished by the leader that is there.

use crate::membership::change::{commit, view};
use crate::membership::plan::{Stage, Step, end_of_joint};
use interlock_store::{StateMachine, TypeConfig};
use std::time::Duration;

/// How long a change may stand half done before the leader ends it. Whoever makes it takes far less.
const FINISH_AFTER: Duration = Duration::from_secs(3);

/// Ends abandoned changes, as long as this node runs.
pub(crate) async fn finish_changes(raft: openraft::Raft<TypeConfig, StateMachine>) -> String {
    let mut abandoned = None;
    loop {
        tokio::time::sleep(FINISH_AFTER).await;
        let Some((view, seen)) = raft.is_leader().then(|| view(&raft)).flatten() else {
            abandoned = None;
            continue;
        };
        let Some(uniform) = end_of_joint(&view.membership) else {
            abandoned = None;
            continue;
        };
        // Half done at two looks in a row, without any progress.
        if abandoned.replace(seen) != Some(seen) {
            continue;
        }
        tracing::warn!(members = %uniform, "ending a change of members that was left half done");
        if let Err(error) = commit(&raft, Step::Voters(uniform, Stage::NewVoters), seen).await {
            tracing::warn!(%error, "the change of members is still half done");
        }
    }
}
