//! Which key has a name: an index over the records, made from them, and not encoded with them.
//!
//! Small on purpose, at sixteen bytes a key: it keeps a hash of the name and the beginning of the key's identity, and the
//! record itself says whether the name is its own. Nobody trusts the hash.

use crate::ids::KeyId;
use crate::key::KeyRecord;
use crate::text::KeyName;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

/// The records by key.
pub(crate) type Records = BTreeMap<KeyId, Box<KeyRecord>>;

/// Hash of a name, beginning of the identity of the key that has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Names(BTreeSet<(u64, u64)>);

impl Names {
    pub(crate) fn insert(&mut self, name: &KeyName, key: KeyId) {
        self.0.insert((hash(name), key.beginning()));
    }

    pub(crate) fn find<'a>(&self, name: &KeyName, records: &'a Records) -> Option<(KeyId, &'a KeyRecord)> {
        let hash = hash(name);
        let beginnings = self.0.range((hash, 0)..=(hash, u64::MAX)).map(|(_, beginning)| *beginning);
        let alike = beginnings.flat_map(|beginning| records.range(KeyId::alike(beginning)));
        alike.map(|(key, record)| (*key, &**record)).find(|(_, record)| record.name == *name)
    }
}

/// FNV-1a: the same in every process, and short.
fn hash(name: &KeyName) -> u64 {
    let bytes = name.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
