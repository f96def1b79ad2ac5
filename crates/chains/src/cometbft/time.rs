//! Timestamps of the wire and of the rule book: two types with the same content.

use interlock_core::cometbft::Timestamp as CoreTimestamp;
use interlock_privval::Timestamp as WireTimestamp;

pub(super) fn to_core(time: WireTimestamp) -> CoreTimestamp {
    CoreTimestamp { seconds: time.seconds, nanos: time.nanos }
}

pub(super) fn to_wire(time: CoreTimestamp) -> WireTimestamp {
    WireTimestamp { seconds: time.seconds, nanos: time.nanos }
}
