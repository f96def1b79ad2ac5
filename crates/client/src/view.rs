//! A key as the guard's nodes last described it, merged over all sessions.
//!
//! Invariant: a view never goes back. What a node says later about an older log index is not news.

use interlock_core::cometbft::Position;
use interlock_core::{Epoch, Holder, KeyId};
use interlock_proto::{ConversionError, holder_from_wire, position_from_wire, v1};

/// Lease and progress of one key at one log index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Who holds the lease; `None`: nobody.
    pub holder: Option<Holder>,
    /// Epoch of the newest grant.
    pub epoch: Epoch,
    /// Whether the key may sign at all.
    pub active: bool,
    /// Newest approved position; `None` while nothing was approved.
    pub approved: Option<Position>,
    /// Log index at which this was so.
    pub log_index: u64,
}

/// What merging an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merged {
    /// It is the view now.
    News,
    /// The view is as new, or newer.
    Old,
    /// A newer log index with an older epoch or position: impossible in one cluster.
    Contradiction,
}

impl KeyView {
    pub(crate) fn from_wire(wire: &v1::KeyUpdate) -> Result<(KeyId, Self), ConversionError> {
        let lease = wire.lease.as_ref().ok_or(ConversionError::Missing { field: "lease" })?;
        let view = Self {
            holder: lease.holder.as_ref().map(holder_from_wire).transpose()?,
            epoch: Epoch(lease.epoch),
            active: wire.active,
            approved: wire.approved.map(position_from_wire_owned).transpose()?,
            log_index: wire.log_index,
        };
        Ok((interlock_proto::key_id(&wire.key_id)?, view))
    }

    pub(crate) fn merge(current: &mut Option<Self>, update: Self) -> Merged {
        if let Some(known) = current {
            if update.log_index <= known.log_index {
                return Merged::Old;
            }
            if update.epoch < known.epoch || update.approved < known.approved {
                return Merged::Contradiction;
            }
        }
        *current = Some(update);
        Merged::News
    }
}

fn position_from_wire_owned(wire: v1::CometbftPosition) -> Result<Position, ConversionError> {
    position_from_wire(&wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::cometbft::Step;

    fn view(log_index: u64, epoch: u64, height: Option<u64>) -> KeyView {
        KeyView {
            holder: None,
            epoch: Epoch(epoch),
            active: true,
            approved: height.map(|height| Position { height, round: 0, step: Step::Prevote }),
            log_index,
        }
    }

    #[test]
    fn the_newest_log_index_wins_and_nothing_goes_back() {
        let mut current = None;
        assert_eq!(KeyView::merge(&mut current, view(5, 1, None)), Merged::News);
        assert_eq!(KeyView::merge(&mut current, view(7, 2, Some(3))), Merged::News);
        for old in [view(6, 1, Some(2)), view(7, 2, Some(3)), view(7, 9, Some(9))] {
            assert_eq!(KeyView::merge(&mut current, old), Merged::Old);
        }
        for contradiction in [view(8, 1, Some(3)), view(8, 2, Some(2)), view(8, 2, None)] {
            assert_eq!(KeyView::merge(&mut current, contradiction), Merged::Contradiction);
        }
        assert_eq!(current, Some(view(7, 2, Some(3))));
    }

    #[test]
    fn an_update_without_a_lease_is_malformed_and_not_an_empty_lease() {
        let wire = v1::KeyUpdate { key_id: vec![1; 32], log_index: 3, ..Default::default() };
        assert_eq!(KeyView::from_wire(&wire), Err(ConversionError::Missing { field: "lease" }));
    }
}
