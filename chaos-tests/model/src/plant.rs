//! Planted bugs: one wrong behaviour of a signer, the cluster or an operator each. No invariant is worth
//! anything until it has caught one.

use crate::invariants::Invariant;
use interlock_core::{Book, ClusterId, KeyId, KeyName, KeyRecord};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

macro_rules! plants {
    ($($(#[doc = $doc:literal])* $name:ident => $invariant:ident,)*) => {
        /// A wrong behaviour.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Plant { $($(#[doc = $doc])* $name,)* }

        impl Plant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The invariant that catches it, and no other does.
            #[must_use]
            pub fn breaks(self) -> Invariant {
                match self { $(Self::$name => Invariant::$invariant),* }
            }

            /// What goes wrong, in a sentence.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii()),* }
            }
        }
    };
}

plants! {
    /// An operator lifts the quarantine of a restored cluster without raising the floors.
    RestoresWithoutFloors => NoConflict,
    /// An operator raises the floors of a restored cluster to what was approved, and forgets the windows.
    FloorsForgetWindows => NoConflict,
    /// A repeated approval is signed with the timestamp that was asked for now, not with the recorded one.
    SignsOwnTimestamp => NoConflict,
    /// A signer signs when the outcome of its request is unknown.
    SignsOnUnknown => ApproveBeforeSign,
    /// A signer takes the approval of an earlier request for the answer to the one that is under way.
    TakesOtherAnswer => ApproveBeforeSign,
    /// A signer opens a closed window again when a late answer arrives.
    ReopensWindow => ApproveBeforeSign,
    /// A signer process inherits the window and the lease of the one before.
    RestartKeepsWindow => ApproveBeforeSign,
    /// A signer signs beyond the end of its window.
    SignsBeyondWindow => ApproveBeforeSign,
    /// A handover changes the holder and leaves the epoch.
    HandoverKeepsEpoch => OneHolder,
    /// A node forwards a late approval under the epoch that is current now.
    ForwardsUnderCurrentEpoch => OneHolder,
    /// An import sets the watermark instead of raising it.
    ImportSets => Monotone,
    /// A handover forgets that the heights of the old holder's window are settled.
    HandoverForgetsWindow => Monotone,
    /// A signer without a local watermark takes that for one at zero.
    LocalAssumedZero => AbsentRefuses,
    /// The cluster makes a record for a key that was never added.
    KeyBornAtZero => AbsentRefuses,
    /// The cluster approves nothing while an earlier approval was not signed.
    WaitsForSignature => NothingBlocks,
    /// A signer asks for nothing while an earlier request of its own has no known outcome.
    PendingBlocks => NothingBlocks,
    /// The cluster misreads a record while a lease is taken: an epoch that has no next.
    MisreadsRecord => NothingBroken,
}

/// A book as it is encoded, so that a planted bug of the cluster can alter what no command could.
#[derive(Encode, Decode)]
struct Opened {
    #[n(0)]
    cluster: ClusterId,
    #[n(1)]
    rules: u32,
    #[n(2)]
    keys: BTreeMap<KeyId, KeyRecord>,
    #[n(3)]
    names: BTreeMap<KeyName, KeyId>,
}

/// The book with one record altered.
pub(crate) fn altered(book: &Book, key: KeyId, alter: impl FnOnce(&mut KeyRecord)) -> Book {
    let bytes = minicbor::to_vec(book).expect("writing to memory cannot fail");
    let mut opened: Opened = minicbor::decode(&bytes).expect("the encoding of a book");
    alter(opened.keys.get_mut(&key).expect("the key was just changed"));
    let bytes = minicbor::to_vec(&opened).expect("writing to memory cannot fail");
    minicbor::decode(&bytes).expect("the encoding of a book")
}
