//! The one mapping from outcomes to answers.

use crate::proposer::ProposeError;
use interlock_core::Verdict;
use interlock_proto::{ConversionError, NotCommitted, not_committed, v1};
use tonic::{Code, Status};

/// A malformed request. Nothing was proposed.
pub(super) fn malformed(error: &ConversionError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// No verdict. The two classes stay apart: only `NotCommitted` carries the promise.
pub(super) fn no_verdict(error: ProposeError) -> Status {
    match error {
        ProposeError::NotCommitted { leader, message } => not_committed(&NotCommitted { leader, message }),
        ProposeError::Unknown(message) => Status::new(Code::Unknown, message),
    }
}

/// A verdict that does not fit the command would be a bug of the rule book. Its outcome is unknown to the caller.
pub(super) fn misfit(verdict: &Verdict) -> Status {
    Status::new(Code::Unknown, format!("unexpected verdict {verdict:?}"))
}

/// What an operator's change or a release came to.
pub(super) enum Changed {
    Done(v1::Done),
    Denied(v1::Denied),
}

/// Maps the verdict on anything but an approval.
pub(super) fn changed(verdict: &Verdict) -> Result<Changed, Status> {
    let done = |already, epoch, version| Changed::Done(v1::Done { already, epoch, version });
    match verdict {
        Verdict::Changed { version } => Ok(done(false, 0, *version)),
        Verdict::Granted(grant) => Ok(done(false, grant.epoch.0, 0)),
        Verdict::Released { epoch } => Ok(done(false, epoch.0, 0)),
        Verdict::AlreadyDone { epoch, version, .. } => Ok(done(true, epoch.0, *version)),
        Verdict::Denied(denial) => Ok(Changed::Denied(interlock_proto::denied_to_wire(denial))),
        Verdict::RulesRaised { rules } => Ok(done(false, 0, u64::from(*rules))),
        Verdict::Approved(_) | Verdict::Reserved(_) => Err(misfit(verdict)),
    }
}
