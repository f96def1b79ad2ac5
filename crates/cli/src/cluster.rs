//! `interlock cluster`: how the nodes are, each from its own mouth. Changes of the members are in `members`.

use crate::args::{ClusterCommand, ClusterStatusArgs};
use crate::error::CliError;
use crate::key_view::PositionView;
use crate::members;
use crate::operator::connect;
use crate::output::{self, table};
use crate::rules;
use interlock_client::{NodeReport, OperatorError};
use interlock_proto::v1;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct ClusterView {
    cluster_id: String,
    leader: Option<u64>,
    term: u64,
    nodes: Vec<NodeView>,
    /// Signers that the leader hears; none are known while there is no leader.
    signers: Vec<SignerView>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    id: u64,
    address: String,
    reachable: bool,
    role: Option<String>,
    term: Option<u64>,
    last_log_index: Option<u64>,
    applied_index: Option<u64>,
}

#[derive(Debug, Serialize)]
struct SignerView {
    signer: String,
    silent_ms: u64,
    keys: Vec<SignerKeyView>,
}

#[derive(Debug, Serialize)]
struct SignerKeyView {
    key_id: String,
    fit: bool,
    node_connected: bool,
    asked: Option<PositionView>,
    signed: Option<PositionView>,
}

pub(crate) async fn run(command: &ClusterCommand) -> Result<(), CliError> {
    match command {
        ClusterCommand::Status(args) => status(args).await,
        ClusterCommand::Members(args) => members::show(args).await,
        ClusterCommand::Add(args) => members::add(args).await,
        ClusterCommand::Remove(args) => members::remove(args).await,
        ClusterCommand::Replace(args) => members::replace(args).await,
        ClusterCommand::SetAddress(args) => members::set_address(args).await,
        ClusterCommand::RaiseRules(args) => rules::raise(args).await,
    }
}

async fn status(args: &ClusterStatusArgs) -> Result<(), CliError> {
    let reports = connect(&args.operator)?.node_status().await;
    for report in &reports {
        if let Err(error) = &report.status {
            output::note(&format!("node {}: {error}", report.node_id));
        }
    }
    output::show(args.output, &read(reports)?, draw)
}

/// One picture from what the nodes say. Nodes of two clusters in one configuration are an error, not a picture.
fn read(reports: Vec<NodeReport>) -> Result<ClusterView, CliError> {
    let answers = || reports.iter().filter_map(|report| report.status.as_ref().ok());
    let Some(first) = answers().next() else {
        return Err(nobody_answered(reports));
    };
    if let Some(other) = answers().find(|answer| answer.cluster_id != first.cluster_id) {
        let problem = format!(
            "node {} belongs to cluster {}, node {} to cluster {}; correct the [[guard]] addresses",
            first.node_id,
            hex::encode(&first.cluster_id),
            other.node_id,
            hex::encode(&other.cluster_id)
        );
        return Err(CliError::Answer { problem });
    }
    // After a partition an old leader may still believe; the newest term is right.
    let newest = answers().max_by_key(|answer| (answer.term, answer.role == "leader"));
    let leader = newest.and_then(|answer| answer.leader);
    let signers = answers().find(|answer| Some(answer.node_id) == leader).map_or(&[][..], |a| &a.signers);
    Ok(ClusterView {
        cluster_id: interlock_proto::cluster_id(&first.cluster_id)?.to_string(),
        leader,
        term: newest.map_or(0, |answer| answer.term),
        signers: signers.iter().map(read_signer).collect::<Result<_, _>>()?,
        nodes: reports.iter().map(read_node).collect(),
    })
}

fn nobody_answered(reports: Vec<NodeReport>) -> CliError {
    let refusal = reports.into_iter().filter_map(|report| report.status.err()).next();
    CliError::Operator(
        refusal.unwrap_or_else(|| OperatorError::Unavailable { message: "no node is configured".to_owned() }),
    )
}

fn read_node(report: &NodeReport) -> NodeView {
    let answer = report.status.as_ref().ok();
    NodeView {
        id: report.node_id,
        address: report.address.clone(),
        reachable: answer.is_some(),
        role: answer.map(|answer| answer.role.clone()),
        term: answer.map(|answer| answer.term),
        last_log_index: answer.map(|answer| answer.last_log_index),
        applied_index: answer.map(|answer| answer.applied_index),
    }
}

fn read_signer(signer: &v1::SignerStatus) -> Result<SignerView, CliError> {
    let read_key = |key: &v1::KeyHealth| -> Result<_, CliError> {
        Ok(SignerKeyView {
            key_id: interlock_proto::key_id(&key.key_id)?.to_string(),
            fit: key.fit,
            node_connected: key.node_connected,
            asked: key.asked.as_ref().map(PositionView::read).transpose()?,
            signed: key.signed.as_ref().map(PositionView::read).transpose()?,
        })
    };
    Ok(SignerView {
        signer: signer.signer.clone(),
        silent_ms: signer.silent_ms,
        keys: signer.keys.iter().map(read_key).collect::<Result<_, _>>()?,
    })
}

fn draw(view: &ClusterView) -> String {
    let leader = view.leader.map_or_else(|| "none".to_owned(), |id| format!("node {id}"));
    let mut text = format!("cluster {}, leader {leader}, term {}\n\n", view.cluster_id, view.term);
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    text += &table(
        ["NODE", "ADDRESS", "REACHABLE", "ROLE", "TERM", "LAST LOG", "APPLIED"],
        view.nodes.iter().map(|node| {
            [
                node.id.to_string(),
                node.address.clone(),
                yes_no(node.reachable),
                node.role.clone().unwrap_or_else(|| "-".to_owned()),
                number(node.term),
                number(node.last_log_index),
                number(node.applied_index),
            ]
        }),
    );
    text.push('\n');
    let rows = view.signers.iter().flat_map(|signer| signer.keys.iter().map(move |key| (signer, key)));
    let position = |value: Option<PositionView>| value.map_or_else(|| "-".to_owned(), |p| p.to_string());
    text += &table(
        ["SIGNER", "KEY", "FIT", "NODE CONNECTED", "SIGNED", "SILENT MS"],
        rows.map(|(signer, key)| {
            [
                signer.signer.clone(),
                key.key_id.chars().take(12).collect(),
                yes_no(key.fit),
                yes_no(key.node_connected),
                position(key.signed),
                signer.silent_ms.to_string(),
            ]
        }),
    );
    text
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node_id: u64, cluster: u8, term: u64, leader: Option<u64>) -> NodeReport {
        let role = if leader == Some(node_id) { "leader" } else { "follower" };
        let answer = v1::NodeStatusResponse {
            cluster_id: vec![cluster; 16],
            node_id,
            role: role.into(),
            leader,
            term,
            ..v1::NodeStatusResponse::default()
        };
        NodeReport { node_id, address: format!("127.0.0.1:{node_id}"), status: Ok(answer) }
    }

    fn silent(node_id: u64) -> NodeReport {
        let status = Err(OperatorError::Unavailable { message: "connection refused".into() });
        NodeReport { node_id, address: String::new(), status }
    }

    #[test]
    fn the_newest_term_names_the_leader() {
        let view = read(vec![report(1, 7, 3, Some(1)), report(2, 7, 4, Some(2)), silent(3)]).unwrap();
        assert_eq!((view.leader, view.term), (Some(2), 4));
        assert_eq!(view.nodes.iter().map(|node| node.reachable).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(view.nodes[2].applied_index, None);
    }

    #[test]
    fn two_clusters_are_not_one() {
        let error = read(vec![report(1, 7, 1, None), report(2, 8, 1, None)]).unwrap_err();
        assert!(error.to_string().contains(&"08".repeat(16)), "{error}");
    }

    #[test]
    fn silence_of_all_is_an_error_and_not_an_empty_cluster() {
        let error = read(vec![silent(1), silent(2)]).unwrap_err();
        assert_eq!(error.code().to_string(), "IL-0041");
    }
}
