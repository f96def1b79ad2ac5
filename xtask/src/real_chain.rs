//! placeholder
use crate::Outcome;
pub(crate) fn run(_release: bool) -> Outcome<()> {
    Err("not yet".into())
}
