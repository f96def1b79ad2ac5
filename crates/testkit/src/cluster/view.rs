//! What `interlock cluster status` and `interlock key show` say, read strictly: a field that is missing is an error.

use serde_json::Value;

use crate::json::{self, JsonError};

/// A signer that the leader has not heard for longer is not counted on.
const SILENT_MS_MAX: u64 = 1_000;

/// The cluster as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// The leader, when there is one.
    pub leader: Option<u64>,
    /// Every founding member.
    pub nodes: Vec<NodeView>,
    /// The signers that the answering leader hears.
    pub signers: Vec<SignerView>,
}

/// One guard node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its id.
    pub id: u64,
    /// Whether it answered.
    pub reachable: bool,
}

/// One signer as the leader hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerView {
    /// Its name.
    pub name: String,
    /// Whether it could take the lease of the key now.
    pub healthy: bool,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// The signer that holds the lease.
    pub holder: Option<String>,
    /// Epoch of the lease.
    pub epoch: u64,
}

impl ClusterView {
    pub(super) fn read(document: &Value) -> Result<Self, JsonError> {
        let leader = match document.get("leader") {
            Some(Value::Null) => None,
            _ => Some(json::number(document, "/leader")?),
        };
        let nodes = json::array(document, "/nodes")?.iter().map(NodeView::read);
        let signers = json::array(document, "/signers")?.iter().map(SignerView::read);
        Ok(Self {
            leader,
            nodes: nodes.collect::<Result<_, _>>()?,
            signers: signers.collect::<Result<_, _>>()?,
        })
    }

    /// Whether every founding member answers and one leads.
    pub fn is_whole(&self) -> bool {
        self.leader.is_some() && self.nodes.iter().all(|node| node.reachable)
    }
}

impl NodeView {
    fn read(document: &Value) -> Result<Self, JsonError> {
        Ok(Self { id: json::number(document, "/id")?, reachable: json::truth(document, "/reachable")? })
    }
}

impl SignerView {
    fn read(document: &Value) -> Result<Self, JsonError> {
        let name = json::text(document, "/signer")?.to_owned();
        let mut healthy = json::number(document, "/silent_ms")? <= SILENT_MS_MAX;
        let keys = json::array(document, "/keys")?;
        for key in keys {
            healthy &= json::truth(key, "/fit")? && json::truth(key, "/node_connected")?;
        }
        Ok(Self { name, healthy: healthy && !keys.is_empty() })
    }
}

impl KeyView {
    pub(super) fn read(document: &Value) -> Result<Self, JsonError> {
        let holder = match document.get("holder") {
            Some(Value::Null) => None,
            _ => Some(json::text(document, "/holder")?.to_owned()),
        };
        Ok(Self { holder, epoch: json::number(document, "/epoch")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn signer(silent_ms: u64, fit: bool, node_connected: bool) -> Value {
        json!({"signer": "beta", "silent_ms": silent_ms, "keys": [{"fit": fit, "node_connected": node_connected}]})
    }

    #[test]
    fn a_signer_is_healthy_only_when_heard_fit_and_connected() {
        let healthy = |document: Value| SignerView::read(&document).unwrap().healthy;
        assert!(healthy(signer(80, true, true)));
        assert!(!healthy(signer(5_000, true, true)));
        assert!(!healthy(signer(80, false, true)));
        assert!(!healthy(signer(80, true, false)));
        assert!(!healthy(json!({"signer": "beta", "silent_ms": 1, "keys": []})));
        assert!(SignerView::read(&json!({"signer": "beta", "keys": []})).is_err());
    }

    #[test]
    fn null_is_nobody_and_a_missing_field_is_an_error() {
        let nodes = json!([{"id": 1, "reachable": true}, {"id": 2, "reachable": false}]);
        let view = ClusterView::read(&json!({"leader": null, "nodes": nodes, "signers": []})).unwrap();
        assert_eq!((view.leader, view.is_whole()), (None, false));
        assert!(ClusterView::read(&json!({"nodes": nodes, "signers": []})).is_err());
        let key = KeyView::read(&json!({"holder": "alpha", "epoch": 3})).unwrap();
        assert_eq!((key.holder.as_deref(), key.epoch), (Some("alpha"), 3));
        assert_eq!(KeyView::read(&json!({"holder": null, "epoch": 3})).unwrap().holder, None);
        assert!(KeyView::read(&json!({"epoch": 3})).is_err());
    }
}
