//! The peers' file: a version, then for each id its data, process and mark. Read by this module only.

use std::collections::BTreeMap;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::flushed::Mark;
use crate::peers::PeerMark;

/// Version 1 had no processes and marks, and is read as if nothing had been heard of them.
const FORMAT_VERSION: u8 = 2;
const WITHOUT_MARKS: u8 = 1;

#[derive(Encode, Decode)]
struct Entry {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    run: u64,
    #[n(2)]
    term: u64,
    #[n(3)]
    node_id: u64,
    #[n(4)]
    committed: bool,
    #[n(5)]
    next_index: u64,
}

impl Entry {
    fn new(peer: &PeerMark) -> Entry {
        let PeerMark { incarnation, run, mark } = *peer;
        let Mark { term, node_id, committed, next_index } = mark;
        Entry { incarnation: incarnation.to_be_bytes().into(), run, term, node_id, committed, next_index }
    }

    fn peer(&self) -> PeerMark {
        let Entry { incarnation, run, term, node_id, committed, next_index } = *self;
        let mark = Mark { term, node_id, committed, next_index };
        PeerMark { incarnation: u128::from_be_bytes(*incarnation), run, mark }
    }
}

pub(crate) fn encode(known: &BTreeMap<u64, PeerMark>) -> Vec<u8> {
    let peers: BTreeMap<u64, Entry> = known.iter().map(|(id, peer)| (*id, Entry::new(peer))).collect();
    let mut bytes = vec![FORMAT_VERSION];
    minicbor::encode(&peers, &mut bytes).expect("encoding integers and bytes into memory cannot fail");
    bytes
}

pub(crate) fn decode(body: &[u8]) -> Result<BTreeMap<u64, PeerMark>, String> {
    let (&version, body) = body.split_first().ok_or("it is empty")?;
    match version {
        FORMAT_VERSION => {
            let peers: BTreeMap<u64, Entry> = minicbor::decode(body).map_err(|error| error.to_string())?;
            Ok(peers.iter().map(|(id, entry)| (*id, entry.peer())).collect())
        }
        WITHOUT_MARKS => {
            let peers: BTreeMap<u64, ByteArray<16>> =
                minicbor::decode(body).map_err(|error| error.to_string())?;
            let unheard = |incarnation| PeerMark { incarnation, run: 0, mark: Mark::default() };
            Ok(peers.into_iter().map(|(id, first)| (id, unheard(u128::from_be_bytes(*first)))).collect())
        }
        newer => Err(format!("format {newer}, this program reads up to {FORMAT_VERSION}; upgrade it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_reads_back_and_a_newer_one_is_refused() {
        let mark = Mark { term: 3, node_id: 2, committed: true, next_index: 10 };
        let known = BTreeMap::from([(2, PeerMark { incarnation: 22, run: 5, mark })]);
        let mut bytes = encode(&known);
        assert_eq!(decode(&bytes), Ok(known));
        bytes[0] = FORMAT_VERSION + 1;
        assert!(decode(&bytes).unwrap_err().contains("format 3"));
        assert!(decode(&[]).is_err());
    }

    #[test]
    fn a_book_without_marks_is_read() {
        let mut bytes = vec![WITHOUT_MARKS];
        let peers = BTreeMap::from([(2_u64, ByteArray::from(22_u128.to_be_bytes()))]);
        minicbor::encode(&peers, &mut bytes).unwrap();
        let peer = PeerMark { incarnation: 22, run: 0, mark: Mark::default() };
        assert_eq!(decode(&bytes), Ok(BTreeMap::from([(2, peer)])));
    }
}
