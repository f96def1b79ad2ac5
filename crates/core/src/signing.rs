//! Approvals and windows: what the holder of a lease may ask for (R3 to R16).

use crate::denial::{Denial, Floor};
use crate::ids::{ClusterId, Epoch, KeyId, LogPosition};
use crate::intent::{Intent, Judgement, Watermark};
use crate::invariant::Invariant;
use crate::key::{KeyRecord, Policy};
use crate::verdict::{Approval, Approved, Reserved, Verdict};

/// Under which lease something is asked, and where in the log.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) cluster: ClusterId,
    pub(crate) key: KeyId,
    pub(crate) epoch: Epoch,
    pub(crate) at: LogPosition,
}

/// Approves one payload (R6 to R14). The one command that changes a record in place: the watermark itself refuses to
/// fall, so nothing else can.
pub(crate) fn approve(record: &mut KeyRecord, asked: Asked, intent: &Intent) -> Result<Verdict, Denial> {
    if let Some(up_to_height) = record.window_height {
        return Err(Denial::WindowOpen { up_to_height, asked: intent.position() });
    }
    judge_and_advance(&mut record.watermark, record.policy, asked, intent).map(Verdict::Approved)
}

/// The one way to an approval, in the cluster and in the memory of a window's holder (R7 to R14).
pub(crate) fn judge_and_advance(
    watermark: &mut Watermark,
    policy: Policy,
    asked: Asked,
    intent: &Intent,
) -> Result<Approved, Denial> {
    let (approval, timestamp) = match watermark.judge(intent, asked.epoch, policy)? {
        Judgement::Repeat(timestamp) => (Approval::Repeat, timestamp),
        Judgement::Advance => {
            let advanced = watermark.advance(intent, asked.epoch);
            advanced.map_err(|invariant| Denial::Broken { invariant })?;
            (Approval::Fresh, intent.timestamp())
        }
    };
    Ok(Approved {
        approval,
        cluster: asked.cluster,
        key: asked.key,
        position: intent.position(),
        payload: intent.payload(),
        timestamp,
        epoch: asked.epoch,
        at: asked.at,
    })
}

/// Reserves a window for a request at `height` (R9, R10, R13, R15, R16). Asked again it answers the same; further up it
/// extends the window.
pub(crate) fn reserve(
    record: &mut KeyRecord,
    asked: Asked,
    height: u64,
    up_to_height: u64,
) -> Result<Verdict, Denial> {
    let before = record.window_height;
    check_begin(record, height)?;
    let window_heights = record.policy.window_heights;
    if window_heights == 0 {
        return Err(Denial::WindowsOff);
    }
    let beyond_numbers = up_to_height > record.watermark.height_max();
    if up_to_height < height || up_to_height - height > window_heights || beyond_numbers {
        return Err(Denial::WindowUnsound { height, up_to_height, window_heights });
    }
    let reserved = before.map_or(up_to_height, |before| before.max(up_to_height));
    let holder = record.holder.clone().ok_or(Denial::Broken { invariant: Invariant::WindowSettled })?;
    record.window_height = Some(reserved);
    Ok(Verdict::Reserved(Reserved {
        cluster: asked.cluster,
        key: asked.key,
        holder,
        epoch: asked.epoch,
        up_to_height: reserved,
        watermark: record.watermark.clone(),
        policy: record.policy,
        at: asked.at,
        repeat: before == Some(reserved),
    }))
}

/// The request that asks for the window is itself above the floor, not below what is settled, and not too far ahead.
fn check_begin(record: &KeyRecord, height: u64) -> Result<(), Denial> {
    let watermark: &Watermark = &record.watermark;
    if let Some(floor) = watermark.floor_height().filter(|floor| height <= *floor) {
        return Err(Denial::HeightBelowFloor { floor: Floor::Height(floor), height });
    }
    let settled_height = watermark.height();
    if height < settled_height {
        return Err(Denial::WindowBelow { settled_height, height });
    }
    let (reach_height, max_jump_heights) = (record.reach_height(), record.policy.max_jump_heights);
    if height.saturating_sub(reach_height) > max_jump_heights {
        return Err(Denial::Jump { settled_height: reach_height, asked_height: height, max_jump_heights });
    }
    Ok(())
}
