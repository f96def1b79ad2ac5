//! What many keys have in common, in memory once: their chain, their list of signers, the names in it.
//!
//! Representation only. Nothing here is part of a state: two records are equal whether or not they share.

use crate::ids::Holder;
use crate::key::{ChainIdentity, KeyRecord};
use crate::text::SignerId;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

/// The values that records share. Equal to every other pool, so that books are compared by their records alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    chains: BTreeSet<Arc<ChainIdentity>>,
    signers: BTreeSet<Arc<[SignerId]>>,
}

impl Pool {
    /// Makes a record share what others have as well.
    pub(crate) fn share(&mut self, record: &mut KeyRecord) {
        record.chain = kept(&mut self.chains, &record.chain);
        record.signers = kept(&mut self.signers, &record.signers);
        if let Some(Holder { signer, .. }) = &mut record.holder
            && let Some(registered) = record.signers.iter().find(|registered| *registered == signer)
        {
            *signer = registered.clone();
        }
    }
}

/// The value of the pool that equals this one. What no record has any more is let go when something new comes.
fn kept<T: Ord + ?Sized>(pool: &mut BTreeSet<Arc<T>>, value: &Arc<T>) -> Arc<T> {
    if let Some(kept) = pool.get(value) {
        return Arc::clone(kept);
    }
    pool.retain(|kept| Arc::strong_count(kept) > 1);
    pool.insert(Arc::clone(value));
    Arc::clone(value)
}

impl PartialEq for Pool {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pool {}

impl PartialOrd for Pool {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pool {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Pool {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Encodes a shared value as the value.
pub(crate) mod one {
    use alloc::sync::Arc;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(crate) fn encode<T: Encode<C>, C, W: Write>(
        value: &Arc<T>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        T::encode(value, e, context)
    }

    pub(crate) fn decode<'b, T: Decode<'b, C>, C>(
        d: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<Arc<T>, DecodeError> {
        T::decode(d, context).map(Arc::new)
    }
}

/// Encodes a shared list as the list.
pub(crate) mod list {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(crate) fn encode<T: Encode<C>, C, W: Write>(
        list: &Arc<[T]>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        <[T]>::encode(list, e, context)
    }

    pub(crate) fn decode<'b, T: Decode<'b, C>, C>(
        d: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<Arc<[T]>, DecodeError> {
        Vec::<T>::decode(d, context).map(Arc::from)
    }
}
