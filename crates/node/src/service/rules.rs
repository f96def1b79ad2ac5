//! Raising the rules: the one command that needs the word of every voter first.

use crate::service::Shared;
use crate::service::answer::{misfit, no_verdict};
use interlock_core::{Action, Command, KeyId, Verdict};
use interlock_proto::{denied_to_wire, v1};
use interlock_store::GuardNode;
use openraft::async_runtime::WatchReceiver;
use tonic::Status;

/// Brings the next rule version in force, if every voter knows it.
pub(super) async fn raise(shared: &Shared) -> Result<v1::RaiseRulesResponse, Status> {
    shared.linearizable().await?;
    let in_force = shared.state.read(|applied| applied.state.rule_version());
    let known = shared.rules.ask(&voters(shared)).await.map_err(|silent| {
        let (node_id, why) = (silent.node_id, silent.why);
        Status::failed_precondition(format!(
            "node {node_id} did not say which rules it knows ({why}): every voter has to, so start it or remove it first"
        ))
    })?;
    let Some(next) = next_version(in_force, &known)? else {
        return Ok(answer(in_force, true));
    };
    let cluster = shared.local.cluster;
    let action = Action::RaiseRules { expected_rules: in_force, rules: next };
    let command = Command { cluster, key: KeyId::of_cluster(cluster), action };
    match shared.proposer.propose(command).await.map_err(no_verdict)? {
        Verdict::RulesRaised { rules } => Ok(answer(rules, false)),
        Verdict::AlreadyDone { .. } => Ok(answer(next, true)),
        Verdict::Denied(denial) => {
            let outcome = v1::raise_rules_response::Outcome::Denied(denied_to_wire(&denial));
            Ok(v1::RaiseRulesResponse { outcome: Some(outcome) })
        }
        verdict => Err(misfit(&verdict)),
    }
}

fn answer(rules: u32, already: bool) -> v1::RaiseRulesResponse {
    let outcome = v1::raise_rules_response::Outcome::InForce(v1::RulesInForce { rules, already });
    v1::RaiseRulesResponse { outcome: Some(outcome) }
}

/// The version after the one in force; `None` when no voter knows a later one.
fn next_version(in_force: u32, known: &[(u64, u32)]) -> Result<Option<u32>, Status> {
    let Some(next) = in_force.checked_add(1) else { return Ok(None) };
    if known.iter().all(|(_, newest)| *newest < next) {
        return Ok(None);
    }
    match known.iter().find(|(_, newest)| *newest < next) {
        None => Ok(Some(next)),
        Some((node_id, newest)) => Err(Status::failed_precondition(format!(
            "node {node_id} knows rules up to version {newest}, version {next} needs every voter: upgrade it first"
        ))),
    }
}

/// The voters of the membership in force, both sides of a change that is under way.
fn voters(shared: &Shared) -> Vec<(u64, GuardNode)> {
    let metrics = shared.raft.metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let nodes = membership.nodes().filter(|(node_id, _)| voters.contains(node_id));
    nodes.map(|(node_id, node)| (*node_id, node.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_rise_only_when_every_voter_knows_them() {
        assert_eq!(next_version(1, &[(1, 2), (2, 2), (3, 3)]).unwrap(), Some(2));
        let refused = next_version(1, &[(1, 2), (2, 1), (3, 2)]).unwrap_err();
        assert!(refused.message().contains("node 2 knows rules up to version 1"), "{refused}");
        assert_eq!(next_version(2, &[(1, 2), (2, 2)]).unwrap(), None);
        assert_eq!(next_version(2, &[(1, 2), (2, 3)]).unwrap_err().code(), tonic::Code::FailedPrecondition);
    }
}
