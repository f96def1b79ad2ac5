//! Guard nodes that come later, end in order, or end by themselves.

use std::path::PathBuf;
use std::time::Duration;

use super::{Cluster, ClusterError, LEADER_TIMEOUT, files, format_node, guard_node, unknown};
use crate::wait::{Seen, wait_until};

/// How long an orderly end may take.
const END_TIMEOUT: Duration = Duration::from_secs(20);

impl Cluster {
    /// Formats one more node, to join later, and adds it to what the operator and the signers know. Signers that run
    /// must be started again to know it.
    pub fn format_joiner(&mut self, id: u64) -> Result<(), ClusterError> {
        let Self { program, directory, .. } = &*self;
        let member = files::member(id)?;
        let pki = files::Pki::open(&directory.join("pki"));
        let certificate = pki.issue(program, "node", &id.to_string())?;
        let config = files::write_node(directory, &[], &member, &certificate)?;
        format_node(program, &config, &["--join", "--cluster-id", &self.cluster_id])?;
        let node = guard_node(program, &directory.join("logs"), &member, &config)?;
        files::append_guard(&self.operator_config, &member)?;
        for signer in self.signers.values() {
            files::append_guard(&signer.config, &member)?;
        }
        self.nodes.insert(id, node);
        Ok(())
    }

    /// Where a guard node is reached, as options of `cluster add` and `cluster replace`.
    pub fn addresses(&self, id: u64) -> Result<[String; 4], ClusterError> {
        let node = self.nodes.get(&id).ok_or_else(|| unknown("guard node", &id.to_string()))?;
        let clients = node.client_address.to_string();
        Ok(["--peer-address".to_owned(), node.peer_address.clone(), "--client-address".to_owned(), clients])
    }

    /// Where a guard node keeps its data.
    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.directory.join(format!("guard-{id}/data"))
    }

    /// Tells a guard node to end in order, and waits for it.
    pub fn end_node(&mut self, id: u64) -> Result<(), ClusterError> {
        let process = self.node_mut(id)?.process.take();
        let mut process = process.ok_or_else(|| ClusterError::NotRunning(format!("guard node {id}")))?;
        Ok(process.terminate(END_TIMEOUT).map(drop)?)
    }

    /// Waits until a guard node ends by itself; returns its exit code and the end of its log.
    pub fn wait_for_end(&mut self, id: u64) -> Result<(Option<i32>, String), ClusterError> {
        let process = self.node_mut(id)?.process.take();
        let mut process = process.ok_or_else(|| ClusterError::NotRunning(format!("guard node {id}")))?;
        let ended = wait_until("the end of a guard node", LEADER_TIMEOUT, || match process.exit_status() {
            Ok(Some(status)) => Seen::Done(status),
            Ok(None) => Seen::Pending("it runs".to_owned()),
            Err(error) => Seen::Hopeless(error.to_string()),
        })?;
        Ok((ended.code(), process.log_tail()))
    }
}
