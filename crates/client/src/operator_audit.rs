//! What operators ask of a node's audit trail. Each node answers from its own; nothing is changed by asking.

use crate::operator::{OperatorClient, OperatorError, STATUS_TIMEOUT, read_failure, within};
use interlock_core::KeyId;
use interlock_proto::v1;
use interlock_proto::v1::operator_client::OperatorClient as Rpc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// Longest that a page is waited for: a node may have to search much for few records.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);

impl OperatorClient {
    /// The newest audit records of one node, oldest first as the node gives them; without a node, of the first that
    /// answers.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn audit_tail(
        &self,
        node_id: Option<u64>,
        count: u32,
        key: Option<KeyId>,
    ) -> Result<Vec<v1::AuditRecord>, OperatorError> {
        let request = v1::AuditTailRequest { count, key_id: key.map(|key| key.0.to_vec()) };
        let answered = self.first_answer(node_id, STATUS_TIMEOUT, |channel| {
            let request = request.clone();
            async move { Rpc::new(channel).audit_tail(request).await }
        });
        answered.await.map(|(_, response)| response.records)
    }

    /// Audit records from a place on; says which node answered, so that the next page is asked of the same one.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn audit_page(
        &self,
        node_id: Option<u64>,
        request: &v1::AuditPageRequest,
    ) -> Result<(u64, v1::AuditPageResponse), OperatorError> {
        self.first_answer(node_id, PAGE_TIMEOUT, |channel| {
            let request = request.clone();
            async move { Rpc::new(channel).audit_page(request).await }
        })
        .await
    }

    async fn first_answer<T, Call: Future<Output = Result<Response<T>, Status>>>(
        &self,
        node_id: Option<u64>,
        timeout: Duration,
        ask: impl Fn(Channel) -> Call,
    ) -> Result<(u64, T), OperatorError> {
        let channels = self.leader.channels();
        let message = match node_id {
            Some(id) => format!("node {id} is not among the [[guard]] entries"),
            None => "there is no [[guard]] entry".to_owned(),
        };
        let mut failure = OperatorError::Invalid { message };
        for id in channels.node_ids().filter(|id| node_id.is_none_or(|wanted| wanted == *id)) {
            let Some(channel) = channels.channel(id) else { continue };
            match within(timeout, ask(channel)).await {
                Ok(response) => return Ok((id, response)),
                Err(status) => failure = read_failure(id, &status),
            }
        }
        Err(failure)
    }
}
