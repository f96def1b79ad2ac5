//! S2: a signature follows the committed approval of its payload in the signer's own cluster, or lies inside
//! a committed window of that very process that was not given back.

use super::{Event, Taken};
use crate::signer::Basis;
use crate::world::OwnWindow;

pub(super) fn holds(taken: &Taken<'_>) -> bool {
    let Event::Signed { signer, key, payload, basis, .. } = *taken.event else { return true };
    let process = &taken.before.processes[usize::from(signer)];
    let ghost = &taken.before.ghost;
    match basis {
        Basis::Approval => {
            let tables = &taken.model.tables;
            let stamps = 0..taken.model.setting.signers;
            let any_time = stamps.fold(0, |bits, stamp| bits | tables.bit(key, payload, stamp));
            ghost.approvals[usize::from(process.cluster)] & any_time != 0
        }
        Basis::Window { epoch } => {
            let height = taken.model.setting.payloads[usize::from(payload)].position.height();
            let own = |window: &OwnWindow| {
                let of = (window.owner, window.cluster, window.key, window.epoch);
                of == (process.who, process.cluster, key, epoch) && height <= window.up_to_height
            };
            ghost.windows.iter().any(own)
        }
    }
}
