//! The outcomes that are not verdicts, on the wire.
//!
//! `Unavailable` is the promise that nothing was committed. It is made only by our own server code, and only with a
//! marker in the metadata: a transport may also answer UNAVAILABLE, after having delivered the request. Everything
//! without the marker is `Unknown`: perhaps committed. The two are never mixed.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

const OUTCOME_KEY: &str = "interlock-outcome";
const NOT_COMMITTED: &str = "not-committed";
const LEADER_KEY: &str = "interlock-leader";

/// A request that was certainly not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCommitted {
    /// Node id of the leader, when the answering node knows it.
    pub leader: Option<u64>,
    /// Why, for people.
    pub message: String,
}

/// The status for a request that was certainly not committed.
#[must_use]
pub fn not_committed(outcome: &NotCommitted) -> Status {
    let mut status = Status::new(Code::Unavailable, outcome.message.clone());
    let metadata = status.metadata_mut();
    metadata.insert(OUTCOME_KEY, MetadataValue::from_static(NOT_COMMITTED));
    if let Some(leader) = outcome.leader {
        metadata.insert(LEADER_KEY, MetadataValue::from(leader));
    }
    status
}

/// Reads the promise back; `None` means that the outcome is unknown.
#[must_use]
pub fn not_committed_of(status: &Status) -> Option<NotCommitted> {
    let marker = status.metadata().get(OUTCOME_KEY)?.to_str().ok()?;
    if status.code() != Code::Unavailable || marker != NOT_COMMITTED {
        return None;
    }
    let leader = status.metadata().get(LEADER_KEY).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(NotCommitted { leader, message: status.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promise_survives_the_wire() {
        let outcome = NotCommitted { leader: Some(3), message: "not the leader".into() };
        assert_eq!(not_committed_of(&not_committed(&outcome)), Some(outcome));
    }

    #[test]
    fn a_transport_error_makes_no_promise() {
        assert_eq!(not_committed_of(&Status::unavailable("connection reset")), None);
        let mut forged = Status::unknown("timeout");
        forged.metadata_mut().insert(OUTCOME_KEY, MetadataValue::from_static(NOT_COMMITTED));
        assert_eq!(not_committed_of(&forged), None);
    }
}
