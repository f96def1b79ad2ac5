//! How a book is written and read: records in order of their keys, and the names in their own order.

use super::Book;
use crate::ids::{ClusterId, KeyId};
use crate::names::Records;
use crate::text::KeyName;
use alloc::collections::BTreeMap;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// A book as it is encoded.
#[derive(Encode)]
struct Written<'a> {
    #[n(0)]
    cluster: ClusterId,
    #[n(1)]
    rules: u32,
    #[n(2)]
    keys: &'a Records,
    #[n(3)]
    names: BTreeMap<&'a KeyName, &'a KeyId>,
}

/// The same, as it is decoded.
#[derive(Decode)]
struct Read {
    #[n(0)]
    cluster: ClusterId,
    #[n(1)]
    rules: u32,
    #[n(2)]
    keys: Records,
    #[n(3)]
    names: BTreeMap<KeyName, KeyId>,
}

impl<C> Encode<C> for Book {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, context: &mut C) -> Result<(), EncodeError<W::Error>> {
        let names = self.keys.iter().map(|(key, record)| (&record.name, key)).collect();
        let Self { cluster, rules, ref keys, .. } = *self;
        Written { cluster, rules, keys, names }.encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for Book {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, DecodeError> {
        let Read { cluster, rules, keys, names } = Read::decode(d, context)?;
        if names.len() != keys.len() || keys.iter().any(|(key, record)| names.get(&record.name) != Some(key))
        {
            return Err(DecodeError::message("names and keys differ"));
        }
        let mut book = Self { rules, ..Self::new(cluster) };
        keys.into_iter().for_each(|(key, record)| book.insert(key, *record));
        Ok(book)
    }
}
