//! The rules by number. `docs/spec/rules.md` explains each; the order of the variants is the order of precedence.

use core::fmt;
use minicbor::{Decode, Encode};

macro_rules! rules {
    ($($(#[$doc:meta])* $number:literal $name:ident),* $(,)?) => {
        /// The rule that decided a verdict.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Rule {
            $($(#[$doc])* #[n($number)] $name,)*
        }

        impl Rule {
            /// Every rule, in order of precedence.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// The rule's number in the rule book.
            #[must_use]
            pub fn number(self) -> u32 {
                match self { $(Rule::$name => $number),* }
            }

            /// The rule's name in the rule book.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Rule::$name => stringify!($name)),* }
            }
        }
    };
}

rules! {
    /// R1 A command about a key that was never added is refused.
    1 KeyKnown,
    /// R2 A command made for another cluster is refused.
    2 ClusterMatches,
    /// R3 Only an active key signs or changes hands.
    3 KeyActive,
    /// R4 Only the process that holds the lease is approved.
    4 HolderMatches,
    /// R5 Only the current epoch is approved.
    5 EpochCurrent,
    /// R6 While a window is open its holder approves, from memory, up to its end, and the cluster nothing.
    6 WindowRespected,
    /// R7 A payload is of the key's protocol, and consistent in itself.
    7 IntentSound,
    /// R8 The same payload at the newest position is approved again, with the recorded timestamp.
    8 Repeat,
    /// R9 Nothing at or below the floor is approved.
    9 AboveFloor,
    /// R10 Nothing below the newest position is approved.
    10 NoRegression,
    /// R11 Another payload at the newest position is refused.
    11 NoConflict,
    /// R12 After a swap, a prevote does not contradict what the key had locked.
    12 LockRespected,
    /// R13 One step moves the height by at most the key's `max_jump_heights`.
    13 JumpBounded,
    /// R14 What no earlier rule refuses advances the watermark and is approved.
    14 Advance,
    /// R15 A window is no longer than the key's policy allows.
    15 WindowAllowed,
    /// R16 A window belongs to one lease and ends with it.
    16 WindowReserved,
    /// R20 Only a signer registered for the key is granted its lease.
    20 SignerRegistered,
    /// R21 A lease command that saw another epoch is refused.
    21 EpochExpected,
    /// R22 A lease that is held is not acquired; it is handed over.
    22 LeaseFree,
    /// R23 Only the holder releases, and only its own epoch.
    23 ReleasedByHolder,
    /// R24 What a holder gives back continues the record and stays inside the window.
    24 GiveBackSound,
    /// R25 A grant raises the epoch by one.
    25 LeaseGranted,
    /// R26 A release ends the holder and keeps the epoch.
    26 LeaseReleased,
    /// R30 A key is added once, by an explicit command.
    30 KeyNew,
    /// R31 A key's name is unique in its cluster.
    31 NameFree,
    /// R32 A key has at least one signer, none twice.
    32 SignersSound,
    /// R33 A policy can be kept by the key's protocol.
    33 PolicySound,
    /// R34 A claim is of the key's protocol, consistent in itself, and only ever raises.
    34 ClaimSound,
    /// R35 An operator's command must fit the state of the key.
    35 StateFits,
    /// R36 An operator's command that saw another record version is refused.
    36 VersionExpected,
    /// R37 An operator's change is recorded and raises the record version.
    37 KeyChanged,
    /// R40 The rule version rises one by one, from the version that the sender saw.
    40 RulesExpected,
    /// R41 A command that needs later rules is refused until they are in force.
    41 RulesInForce,
    /// R42 The rules are raised for the whole cluster at one place in the log.
    42 RulesRaised,
    /// R50 A change that would break an invariant of the record is refused, and is a bug.
    50 InvariantKept,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{} {}", self.number(), self.name())
    }
}
