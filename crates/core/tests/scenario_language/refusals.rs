//! One refusal of every kind. The list is made by a macro that also makes a `match` over all variants, so that a new
//! refusal without a sample does not compile.

use interlock_core::cometbft::{self, Step};
use interlock_core::denial::Floor;
use interlock_core::{
    ClusterId, Denial, Digest, Epoch, Holder, Invariant, KeyId, KeyName, KeyState, Position, Protocol,
    Reason, SignerId,
};

macro_rules! refusals {
    ($($variant:ident { $($field:ident: $value:expr),* $(,)? }),* $(,)?) => {
        /// One of each.
        pub(crate) fn one_of_each() -> Vec<Denial> {
            let all = vec![$(Denial::$variant { $($field: $value),* }),*];
            all.iter().for_each(has_sample);
            all
        }

        fn has_sample(denial: &Denial) {
            match denial { $(Denial::$variant { .. } => {})* }
        }
    };
}

fn holder() -> Holder {
    super::names::holder("alpha#1")
}

fn at(height: u64) -> Position {
    Position::Cometbft(cometbft::Position { height, round: 0, step: Step::Prevote })
}

fn frozen() -> KeyState {
    KeyState::Frozen { reason: Reason::parse("drill").unwrap() }
}

fn name() -> KeyName {
    KeyName::parse("val").unwrap()
}

refusals! {
    UnknownKey { key: KeyId([1; 32]) },
    WrongCluster { ours: ClusterId([1; 16]), asked: ClusterId([2; 16]) },
    NotActive { state: frozen() },
    NotHolder { holder: None, epoch: Epoch(1), asked: holder() },
    StaleEpoch { current: Epoch(2), asked: Epoch(1) },
    WindowOpen { up_to_height: 103, asked: at(101) },
    BeyondWindow { up_to_height: 103, asked: at(104) },
    OtherProtocol { key: Protocol::Tezos, asked: at(101) },
    SourceAfterTarget { source_epoch: 9, target_epoch: 8 },
    BelowFloor { floor: Floor::Height(100), asked: at(100) },
    HeightBelowFloor { floor: Floor::Height(100), height: 100 },
    Regression { last: at(102), asked: at(101) },
    WindowBelow { settled_height: 102, height: 101 },
    Conflict { at: at(101), recorded: Digest([1; 32]), asked: Digest([2; 32]) },
    Locked { at: at(101), locked: Digest([1; 32]), asked: Digest([2; 32]) },
    Jump { settled_height: 100, asked_height: 900, max_jump_heights: 50 },
    RoundJump { newest_round: 0, asked: at(101), max_jump_rounds: 10 },
    WindowsOff {},
    WindowUnsound { height: 101, up_to_height: 110, window_heights: 2 },
    NotRegistered { signer: SignerId::parse("gamma").unwrap() },
    EpochMoved { current: Epoch(2), expected: Epoch(1) },
    LeaseHeld { holder: holder(), epoch: Epoch(1) },
    NotReleasable { holder: None, epoch: Epoch(1), asked: holder(), asked_epoch: Epoch(2) },
    GiveBackUnsound { up_to_height: None, recorded_height: 100, given_height: 101 },
    KeyExists { name: name() },
    KeyIdMismatch { computed: KeyId([1; 32]), asked: KeyId([2; 32]) },
    NameTaken { name: name(), by: KeyId([1; 32]) },
    UnsoundSigners { count: 17 },
    UnsoundPolicy { window_heights: 9, max_jump_heights: 0, protocol: Protocol::Cometbft },
    OtherClaim { key: Protocol::Tezos },
    ClaimUnsound { source_epoch: 9, target_epoch: 8 },
    ClaimTooHigh { height: 11, height_max: 10 },
    StateUnfit { state: frozen() },
    VersionMoved { current: 2, expected: 1 },
    RulesMoved { current: 1, expected: 0, asked: 2 },
    RulesTooOld { current: 1, needed: 2 },
    Broken { invariant: Invariant::WatermarkRises },
}
