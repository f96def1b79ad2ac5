//! What `interlock cluster status` and `interlock key show` say, read strictly: a field that is missing is an error.

use serde_json::Value;

use crate::json::{self, JsonError};

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
        let mut healthy = true;
        let keys = json::array(document, "/keys")?;
        for key in keys {
            healthy &= json::truth(key, "/fit")? && json::truth(key, "/node_connected")?;
        }
        Ok(Self { name, healthy: healthy && !keys.is_empty() })
    }
}

impl KeyView {
    pub(super) fn read(document: &Value) -> Result<Self, JsonError> {
        let holder = match document.pointer("/lease/holder") {
            Some(Value::Null) => None,
            _ => Some(json::text(document, "/lease/holder/signer")?.to_owned()),
        };
        Ok(Self { holder, epoch: json::number(document, "/lease/epoch")? })
    }
}
