//! Why a change of members was refused, on the wire: a name in the metadata, so that programs need not read the text.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

const REFUSAL_KEY: &str = "interlock-members";

/// Why the members stay as they are. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersRefusal {
    /// The id was a member's before; ids are never used again.
    IdUsed,
    /// No member has this id, and none ever had.
    UnknownMember,
    /// Too few of the voters that would be left are heard.
    QuorumAtRisk,
    /// Another change is under way.
    ChangeInProgress,
    /// Addresses do not fit: of another member, or not those that the member has.
    Address,
}

impl MembersRefusal {
    const ALL: [Self; 5] =
        [Self::IdUsed, Self::UnknownMember, Self::QuorumAtRisk, Self::ChangeInProgress, Self::Address];

    fn as_str(self) -> &'static str {
        match self {
            Self::IdUsed => "id-used",
            Self::UnknownMember => "unknown-member",
            Self::QuorumAtRisk => "quorum-at-risk",
            Self::ChangeInProgress => "change-in-progress",
            Self::Address => "address",
        }
    }

    /// The status that carries it.
    #[must_use]
    pub fn status(self, message: &str) -> Status {
        let mut status = Status::failed_precondition(message);
        status.metadata_mut().insert(REFUSAL_KEY, MetadataValue::from_static(self.as_str()));
        status
    }

    /// Reads it back.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let name = status.metadata().get(REFUSAL_KEY)?.to_str().ok()?;
        let refusal = Self::ALL.into_iter().find(|refusal| refusal.as_str() == name);
        refusal.filter(|_| status.code() == Code::FailedPrecondition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire_and_no_other_status_is_one() {
        for refusal in MembersRefusal::ALL {
            assert_eq!(MembersRefusal::of(&refusal.status("no")), Some(refusal));
        }
        assert_eq!(MembersRefusal::of(&Status::failed_precondition("no")), None);
    }
}
