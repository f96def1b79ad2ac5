//! Which code the errors of the other crates get. Every variant is placed by hand, so that a new one is a decision.

use crate::codes::{self, Code};
use interlock_client::{GetKeyError, OperatorError};
use interlock_disk::LockError;
use interlock_node::{
    BackupError, DirectoryError, FormatError, IdentityError, RestoreError, StoreOpenError, SurvivorError,
};
use interlock_proto::MembersRefusal;
use interlock_signer::{EnrollError, StateDirError, WatermarkError};

pub(crate) fn operator_code(error: &OperatorError) -> &'static Code {
    match error {
        OperatorError::Denied { .. } => &codes::REFUSED,
        OperatorError::Unavailable { .. } => &codes::UNAVAILABLE,
        OperatorError::Unknown { .. } => &codes::OUTCOME_UNKNOWN,
        OperatorError::NotAuthorised { .. } => &codes::NOT_PERMITTED,
        OperatorError::Invalid { .. } => &codes::NOT_POSSIBLE,
        OperatorError::MembersRefused { refusal, .. } => match refusal {
            MembersRefusal::IdUsed => &codes::MEMBER_ID_USED,
            MembersRefusal::UnknownMember => &codes::NO_SUCH_MEMBER,
            MembersRefusal::QuorumAtRisk => &codes::QUORUM_AT_RISK,
            MembersRefusal::ChangeInProgress => &codes::CHANGE_IN_PROGRESS,
            MembersRefusal::Address => &codes::NOT_POSSIBLE,
        },
    }
}

pub(crate) fn format_code(error: &FormatError) -> &'static Code {
    match error {
        FormatError::Config(_) => &codes::CONFIG_WRONG,
        FormatError::Random(_) => &codes::NODE_FAILED,
        FormatError::Directory(error) => directory_code(error),
    }
}

fn directory_code(error: &DirectoryError) -> &'static Code {
    match error {
        DirectoryError::NotEmpty { .. } => &codes::NODE_ALREADY_FORMATTED,
        DirectoryError::Lock(LockError::Held { .. }) => &codes::DIRECTORY_IN_USE,
        DirectoryError::NotAMember { .. } | DirectoryError::UnsoundMembers { .. } => &codes::CONFIG_WRONG,
        _ => &codes::WRITE_FAILED,
    }
}

pub(crate) fn backup_code(error: &BackupError) -> &'static Code {
    match error {
        BackupError::Exists { .. } => &codes::BACKUP_EXISTS,
        BackupError::Damaged(_)
        | BackupError::NotABackup
        | BackupError::NewerFormat { .. }
        | BackupError::State(_)
        | BackupError::Differs { .. } => &codes::BACKUP_UNUSABLE,
        BackupError::Disk(error) if error.is_not_found() => &codes::INPUT_FILE_WRONG,
        BackupError::Disk(_) => &codes::WRITE_FAILED,
    }
}

pub(crate) fn restore_code(error: &RestoreError) -> &'static Code {
    match error {
        RestoreError::Config(_) | RestoreError::ClusterNamed(_) => &codes::CONFIG_WRONG,
        RestoreError::Floors(_) | RestoreError::Refused { .. } => &codes::FLOORS_MISSING,
        RestoreError::Reason(_) => &codes::BAD_ARGUMENT,
        RestoreError::Directory(interlock_node::RestoreDirectoryError::Format(error)) => {
            directory_code(error)
        }
        RestoreError::Survivor { source, .. } => survivor_code(source),
        RestoreError::Directory(_) | RestoreError::Random(_) | RestoreError::CopyLeft { .. } => {
            &codes::RECOVERY_FAILED
        }
    }
}

fn survivor_code(error: &SurvivorError) -> &'static Code {
    match error {
        SurvivorError::Identity(IdentityError::Lock(LockError::Held { .. }))
        | SurvivorError::Lock(LockError::Held { .. }) => &codes::DIRECTORY_IN_USE,
        SurvivorError::Identity(IdentityError::NotFormatted { .. }) => &codes::NODE_NOT_FORMATTED,
        _ => &codes::RECOVERY_FAILED,
    }
}

pub(crate) fn node_code(error: &interlock_node::StartError) -> &'static Code {
    use interlock_node::StartError;
    match error {
        StartError::Config(_) | StartError::Tls(_) | StartError::TlsSettings(_) => &codes::CONFIG_WRONG,
        StartError::Open(StoreOpenError::Identity(error)) => match error {
            IdentityError::NotFormatted { .. } => &codes::NODE_NOT_FORMATTED,
            IdentityError::OtherNode { .. } | IdentityError::OtherCluster { .. } => &codes::NODE_FOREIGN_DATA,
            IdentityError::Lock(LockError::Held { .. }) => &codes::DIRECTORY_IN_USE,
            _ => &codes::NODE_FAILED,
        },
        StartError::Open(StoreOpenError::Diverged { .. }) => &codes::NODE_DIVERGED,
        StartError::Open(_)
        | StartError::Listen { .. }
        | StartError::Random(_)
        | StartError::Consensus(_) => &codes::NODE_FAILED,
    }
}

pub(crate) fn stop_code(error: &interlock_node::StopError) -> &'static Code {
    use interlock_node::StopError;
    match error {
        StopError::Diverged { .. } => &codes::NODE_DIVERGED,
        StopError::Refused(_) => &codes::NODE_REFUSED,
        StopError::Consensus(_) | StopError::Task(_) => &codes::NODE_FAILED,
    }
}

/// What enrolment fails with is what an operator's command can meet, and what a watermark can.
pub(crate) fn enroll_code(error: &EnrollError) -> &'static Code {
    match error {
        EnrollError::Config(_) | EnrollError::Tls(_) | EnrollError::Channels(_) => &codes::CONFIG_WRONG,
        EnrollError::Guard { source: GetKeyError::Unavailable { .. }, .. } => &codes::UNAVAILABLE,
        EnrollError::Guard { source: GetKeyError::Refused { .. }, .. } => &codes::REFUSED,
        EnrollError::Guard { source: GetKeyError::Malformed(_), .. } | EnrollError::Malformed { .. } => {
            &codes::ANSWER_UNREADABLE
        }
        EnrollError::NotRegistered { .. } => &codes::REFUSED,
        EnrollError::AlreadyPinned { .. } => &codes::SIGNER_ALREADY_ENROLLED,
        EnrollError::Watermark(error) => watermark_code(error),
        EnrollError::StateDir(error) => state_dir_code(error),
        EnrollError::CreateStateDir(_) => &codes::WRITE_FAILED,
        EnrollError::NotASigner { .. }
        | EnrollError::KeyFile { .. }
        | EnrollError::Differs { .. }
        | EnrollError::OtherCluster { .. } => &codes::SIGNER_MISMATCH,
    }
}

pub(crate) fn signer_code(error: &interlock_signer::StartError) -> &'static Code {
    use interlock_signer::StartError;
    match error {
        StartError::Config(_) | StartError::Tls(_) | StartError::Channels(_) => &codes::CONFIG_WRONG,
        StartError::StateDir(error) => state_dir_code(error),
        StartError::Watermark(error) => watermark_code(error),
        StartError::NotASigner { .. } | StartError::KeyFile { .. } | StartError::TwoClusters { .. } => {
            &codes::SIGNER_MISMATCH
        }
        StartError::Tap(_) | StartError::Random(_) | StartError::Signals(_) => &codes::SIGNER_FAILED,
    }
}

fn state_dir_code(error: &StateDirError) -> &'static Code {
    match error {
        StateDirError::Missing { .. } => &codes::SIGNER_NOT_ENROLLED,
        StateDirError::Lock(LockError::Held { .. }) => &codes::DIRECTORY_IN_USE,
        StateDirError::Lock(LockError::Disk(_)) | StateDirError::Disk(_) => &codes::SIGNER_FAILED,
    }
}

fn watermark_code(error: &WatermarkError) -> &'static Code {
    match error {
        WatermarkError::Missing { .. } => &codes::SIGNER_NOT_ENROLLED,
        WatermarkError::Exists { .. } => &codes::SIGNER_ALREADY_ENROLLED,
        WatermarkError::OtherKey { .. } => &codes::SIGNER_MISMATCH,
        WatermarkError::Unusable { .. }
        | WatermarkError::Undecodable { .. }
        | WatermarkError::Unreadable { .. } => &codes::SIGNER_FAILED,
    }
}
