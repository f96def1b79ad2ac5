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
    /// R6 The same payload at the newest position is approved again, with the recorded timestamp.
    6 Repeat,
    /// R7 Nothing at or below the floor is approved.
    7 AboveFloor,
    /// R8 Nothing below the newest position is approved.
    8 NoRegression,
    /// R9 Another payload at the newest position is refused.
    9 NoConflict,
    /// R10 After a swap, a prevote does not contradict what the key had locked.
    10 LockRespected,
    /// R11 One approval moves the height by at most the key's `max_jump_heights`.
    11 JumpBounded,
    /// R12 What no earlier rule refuses advances the watermark and is approved.
    12 Advance,
    /// R20 Only a signer registered for the key is granted its lease.
    20 SignerRegistered,
    /// R21 A lease command that saw another epoch is refused.
    21 EpochExpected,
    /// R22 A lease that is held is not acquired; it is handed over.
    22 LeaseFree,
    /// R23 Only the holder releases, and only its own epoch.
    23 ReleasedByHolder,
    /// R24 A grant raises the epoch by one.
    24 LeaseGranted,
    /// R25 A release ends the holder and keeps the epoch.
    25 LeaseReleased,
    /// R30 A key is added once, by an explicit command.
    30 KeyNew,
    /// R31 A key's name is unique in its cluster.
    31 NameFree,
    /// R32 A key has at least one signer, none twice.
    32 SignersSound,
    /// R33 An operator's command that saw another record version is refused.
    33 VersionExpected,
    /// R34 An operator's change is recorded and raises the record version.
    34 KeyChanged,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{} {}", self.number(), self.name())
    }
}
