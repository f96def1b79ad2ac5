//! Which key has a name: an index over the records, made from them, and not encoded with them.
//!
//! Small on purpose, at sixteen bytes a key: it keeps a hash of the name and the beginning of the key's identity, and
//! the record itself says whether the name is its own. Nobody trusts the hash.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::AddKey;
    use crate::generic::GenericClaim;
    use crate::key::{ChainIdentity, PublicKey};
    use crate::{Book, ChainId, Claim, ClusterId, LogPosition, Policy, SignerId};
    use std::vec;

    /// A book with the keys `a` and `b`.
    fn book() -> Book {
        let mut book = Book::new(ClusterId([1; 16]));
        for (number, name) in [(1_u8, "a"), (2, "b")] {
            let add = AddKey {
                name: KeyName::parse(name).unwrap(),
                chain: ChainIdentity::Generic(ChainId::parse("c").unwrap()),
                public_key: PublicKey::new(&[number; 32]).unwrap(),
                signers: vec![SignerId::parse("alpha").unwrap()],
                claim: Claim::Generic(GenericClaim::default()),
                policy: Policy::default(),
            };
            let at = LogPosition { log_index: u64::from(number), item: 0 };
            let verdict = book.apply(at, &add.into_command(ClusterId([1; 16])));
            assert!(!verdict.is_denied(), "{verdict:?}");
        }
        book
    }

    /// Two names of one hash, or two keys that begin alike, lead to candidates; the record decides.
    #[test]
    fn a_name_is_found_only_at_the_key_that_has_it() {
        let book = book();
        let records: Records = book.keys().map(|(key, record)| (key, Box::new(record.clone()))).collect();
        let [a, b] = ["a", "b"].map(|name| KeyName::parse(name).unwrap());
        let key = |name| book.key_named(name).unwrap().0;
        let mut names = Names::default();
        names.0.insert((hash(&a), key(&b).beginning()));
        assert_eq!(names.find(&a, &records), None, "the candidate is called b");
        names.insert(&a, key(&a));
        assert_eq!(names.find(&a, &records).unwrap().0, key(&a), "after or before the candidate called b");
        assert_eq!(names.find(&b, &records), None);
    }

    #[test]
    fn keys_that_begin_alike_are_all_candidates() {
        let [mut low, mut high] = [KeyId([7; 32]), KeyId([7; 32])];
        (low.0[31], high.0[31]) = (0, u8::MAX);
        let alike = KeyId::alike(low.beginning());
        assert!(alike.contains(&low) && alike.contains(&high));
        let mut next = low;
        next.0[7] += 1;
        assert!(!alike.contains(&next));
    }

    #[test]
    fn the_order_of_identities_is_that_of_their_bytes() {
        let ids: vec::Vec<_> = (0..=u8::MAX).flat_map(|byte| [0, 3, 7, 8, 31].map(|at| (byte, at))).collect();
        let id = |(byte, at): (u8, usize)| {
            let mut id = KeyId([128; 32]);
            id.0[at] = byte;
            id
        };
        for one in &ids {
            for two in ids.iter().step_by(7) {
                let (one, two) = (id(*one), id(*two));
                assert_eq!(one.cmp(&two), one.0.cmp(&two.0), "{one} {two}");
            }
        }
    }
}
