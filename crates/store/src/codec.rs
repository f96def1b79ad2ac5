//! Disk encoding of Raft's own types: CBOR arrays with a fixed order of fields, independent of openraft's serde.
//!
//! The version of all of it is the version of the file that holds it.

use std::collections::{BTreeMap, BTreeSet};

use interlock_core::AuditChain;
use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::batch::Batch;
use crate::types::{
    Entry, GuardNode, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Vote,
};

/// Most members that a decoder accepts: far above any cluster, far below what would exhaust memory.
const MEMBERS_MAX: u64 = 1024;

/// Encoding into memory fails only when a type refuses to be encoded, which ours never do.
const INFALLIBLE: &str = "encoding integers and strings into memory cannot fail";

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

type Encoded<'a, W> = &'a mut Encoder<W>;
type EncodeError<W> = minicbor::encode::Error<<W as Write>::Error>;

fn bytes_of(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), EncodeError<Vec<u8>>>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(64));
    write(&mut encoder).expect(INFALLIBLE);
    encoder.into_writer()
}

fn whole<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, String> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder).map_err(|error| error.to_string())?;
    match bytes.len() - decoder.position() {
        0 => Ok(value),
        rest => Err(format!("{rest} bytes follow the value")),
    }
}

fn array(decoder: &mut Decoder<'_>, length: u64) -> Result<(), minicbor::decode::Error> {
    match decoder.array()? {
        Some(found) if found == length => Ok(()),
        found => Err(minicbor::decode::Error::message(format!("expected {length} fields, found {found:?}"))),
    }
}

fn bounded(found: Option<u64>) -> Result<u64, minicbor::decode::Error> {
    match found {
        Some(count) if count <= MEMBERS_MAX => Ok(count),
        found => Err(minicbor::decode::Error::message(format!("{found:?} members, at most {MEMBERS_MAX}"))),
    }
}

fn put_log_id<W: Write>(encoder: Encoded<'_, W>, id: &LogId) -> Result<(), EncodeError<W>> {
    let leader = id.committed_leader_id();
    encoder.array(3)?.u64(leader.term)?.u64(leader.node_id)?.u64(id.index())?.ok()
}

fn get_log_id(decoder: &mut Decoder<'_>) -> Result<LogId, minicbor::decode::Error> {
    array(decoder, 3)?;
    let leader = LeaderId { term: decoder.u64()?, node_id: decoder.u64()? };
    Ok(LogId::new(leader, decoder.u64()?))
}

fn put_optional_log_id<W: Write>(encoder: Encoded<'_, W>, id: Option<&LogId>) -> Result<(), EncodeError<W>> {
    match id {
        Some(id) => put_log_id(encoder, id),
        None => encoder.null()?.ok(),
    }
}

fn get_optional_log_id(decoder: &mut Decoder<'_>) -> Result<Option<LogId>, minicbor::decode::Error> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    get_log_id(decoder).map(Some)
}

/// A log id that may be absent.
pub(crate) fn encode_log_id(id: Option<&LogId>) -> Vec<u8> {
    bytes_of(|encoder| put_optional_log_id(encoder, id))
}

/// What [`encode_log_id`] made.
pub(crate) fn decode_log_id(bytes: &[u8]) -> Result<Option<LogId>, String> {
    whole(bytes, get_optional_log_id)
}

/// A vote.
pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    bytes_of(|encoder| {
        encoder.array(3)?.u64(vote.leader_id.term)?.u64(vote.leader_id.node_id)?.bool(vote.committed)?.ok()
    })
}

/// What [`encode_vote`] made.
pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, String> {
    whole(bytes, |decoder| {
        array(decoder, 3)?;
        let leader_id = LeaderId { term: decoder.u64()?, node_id: decoder.u64()? };
        Ok(Vote { leader_id, committed: decoder.bool()? })
    })
}

fn put_membership<W: Write>(encoder: Encoded<'_, W>, membership: &Membership) -> Result<(), EncodeError<W>> {
    let configs = membership.get_joint_config();
    encoder.array(2)?.array(configs.len() as u64)?;
    for config in configs {
        encoder.array(config.len() as u64)?;
        for id in config {
            encoder.u64(*id)?;
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    encoder.map(nodes.len() as u64)?;
    for (id, node) in nodes {
        encoder.u64(*id)?.array(3)?.str(&node.peer_address)?.str(&node.client_address)?;
        encoder.u64(node.ids_used_to)?;
    }
    Ok(())
}

fn get_membership(decoder: &mut Decoder<'_>) -> Result<Membership, minicbor::decode::Error> {
    array(decoder, 2)?;
    let mut configs = Vec::new();
    for _ in 0..bounded(decoder.array()?)? {
        let mut config = BTreeSet::new();
        for _ in 0..bounded(decoder.array()?)? {
            config.insert(decoder.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..bounded(decoder.map()?)? {
        let id = decoder.u64()?;
        nodes.insert(id, get_node(decoder)?);
    }
    if configs.is_empty() && nodes.is_empty() {
        // Before the first membership entry there is none; openraft refuses to build that one.
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| minicbor::decode::Error::message(error.to_string()))
}

/// The first records had no `ids_used_to`.
fn get_node(decoder: &mut Decoder<'_>) -> Result<GuardNode, minicbor::decode::Error> {
    let fields = decoder.array()?;
    let mut node = GuardNode {
        peer_address: decoder.str()?.to_owned(),
        client_address: decoder.str()?.to_owned(),
        ids_used_to: 0,
    };
    match fields {
        Some(2) => {}
        Some(3) => node.ids_used_to = decoder.u64()?,
        found => {
            let text = format!("a member's record has 2 or 3 fields, found {found:?}");
            return Err(minicbor::decode::Error::message(text));
        }
    }
    Ok(node)
}

/// A membership and the log id that stored it.
pub(crate) fn encode_stored_membership(stored: &StoredMembership) -> Vec<u8> {
    bytes_of(|encoder| {
        put_optional_log_id(encoder.array(2)?, stored.log_id().as_ref())?;
        put_membership(encoder, stored.membership())
    })
}

/// What [`encode_stored_membership`] made.
pub(crate) fn decode_stored_membership(bytes: &[u8]) -> Result<StoredMembership, String> {
    whole(bytes, |decoder| {
        array(decoder, 2)?;
        let log_id = get_optional_log_id(decoder)?;
        Ok(StoredMembership::new(log_id, get_membership(decoder)?))
    })
}

/// The part of an entry before its batch, if it has one: log id, kind of payload, membership.
pub(crate) fn encode_entry_head(entry: &Entry) -> Vec<u8> {
    bytes_of(|encoder| {
        put_log_id(encoder, &entry.log_id)?;
        match &entry.payload {
            Payload::Blank => encoder.u8(BLANK)?.ok(),
            Payload::Normal(_) => encoder.u8(NORMAL)?.ok(),
            Payload::Membership(membership) => put_membership(encoder.u8(MEMBERSHIP)?, membership),
        }
    })
}

/// What a snapshot covers, for the wire between nodes.
pub fn encode_snapshot_meta(meta: &SnapshotMeta) -> Vec<u8> {
    bytes_of(|encoder| {
        put_optional_log_id(encoder.array(3)?, meta.last_log_id.as_ref())?;
        put_optional_log_id(encoder, meta.last_membership.log_id().as_ref())?;
        put_membership(encoder, meta.last_membership.membership())
    })
}

/// What [`encode_snapshot_meta`] made.
///
/// # Errors
/// Names what does not decode.
pub fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMeta, String> {
    whole(bytes, |decoder| {
        array(decoder, 3)?;
        let last_log_id = get_optional_log_id(decoder)?;
        let membership_log_id = get_optional_log_id(decoder)?;
        let last_membership = StoredMembership::new(membership_log_id, get_membership(decoder)?);
        Ok(SnapshotMeta { last_log_id, last_membership })
    })
}

/// Head of 32 bytes in CBOR, from which an audit chain value decodes.
const DIGEST_HEAD: [u8; 2] = [0x58, 32];

/// An audit chain value from the bytes of its digest.
///
/// # Errors
/// When they are not 32.
pub fn decode_chain(digest: &[u8]) -> Result<AuditChain, String> {
    let encoded = [&DIGEST_HEAD[..], digest].concat();
    whole(&encoded, |decoder| decoder.decode())
        .map_err(|_| format!("an audit chain value has 32 bytes, not {}", digest.len()))
}

/// The log id of an encoded entry: enough to index the log without decoding every batch.
pub(crate) fn decode_entry_log_id(bytes: &[u8]) -> Result<LogId, String> {
    get_log_id(&mut Decoder::new(bytes)).map_err(|error| error.to_string())
}

/// One entry, in the encoding of the log, for the wire between nodes.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = encode_entry_head(entry);
    if let Payload::Normal(batch) = &entry.payload {
        bytes.extend_from_slice(batch.encoded());
    }
    bytes
}

/// What [`encode_entry`] made.
///
/// # Errors
/// Names what does not decode.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, String> {
    let mut decoder = Decoder::new(bytes);
    let log_id = get_log_id(&mut decoder).map_err(|error| error.to_string())?;
    let kind = decoder.u8().map_err(|error| error.to_string())?;
    let rest = &bytes[decoder.position()..];
    let payload = match kind {
        BLANK if rest.is_empty() => Payload::Blank,
        BLANK => return Err(format!("{} bytes follow a blank entry", rest.len())),
        NORMAL => Payload::Normal(Batch::decode(rest).map_err(|error| error.to_string())?),
        MEMBERSHIP => Payload::Membership(whole(rest, get_membership)?),
        other => return Err(format!("payload kind {other} is not known")),
    };
    Ok(Entry { log_id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_id(term: u64, node_id: u64, index: u64) -> LogId {
        LogId::new(LeaderId { term, node_id }, index)
    }

    fn membership() -> Membership {
        let node = |port: u16| GuardNode {
            peer_address: format!("127.0.0.1:{port}"),
            client_address: format!("127.0.0.1:{}", port + 1),
            ids_used_to: 9,
        };
        let nodes = BTreeMap::from([(1, node(1)), (2, node(3)), (9, node(5))]);
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2])], nodes).unwrap()
    }

    #[test]
    fn a_member_of_before_ids_were_counted_is_read() {
        let mut encoder = Encoder::new(Vec::new());
        encoder.array(2).unwrap().str("a:1").unwrap().str("a:2").unwrap();
        let node = whole(&encoder.into_writer(), get_node).unwrap();
        assert_eq!((node.peer_address.as_str(), node.ids_used_to), ("a:1", 0));
    }

    #[test]
    fn everything_reads_back_as_it_was_written() {
        for id in [None, Some(log_id(1, 2, 3)), Some(log_id(u64::MAX, 0, u64::MAX))] {
            assert_eq!(decode_log_id(&encode_log_id(id.as_ref())), Ok(id));
        }
        for committed in [false, true] {
            let vote = Vote { leader_id: LeaderId { term: 7, node_id: 2 }, committed };
            assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
        }
        let stored = StoredMembership::new(Some(log_id(4, 1, 9)), membership());
        assert_eq!(decode_stored_membership(&encode_stored_membership(&stored)), Ok(stored));
        let none = StoredMembership::default();
        assert_eq!(decode_stored_membership(&encode_stored_membership(&none)), Ok(none));
        for payload in [Payload::Blank, Payload::Membership(membership())] {
            let entry = Entry { log_id: log_id(2, 3, 4), payload };
            assert_eq!(decode_entry(&encode_entry_head(&entry)), Ok(entry));
        }
    }

    #[test]
    fn the_vote_has_the_bytes_of_format_1() {
        let vote = Vote { leader_id: LeaderId { term: 1, node_id: 2 }, committed: true };
        assert_eq!(encode_vote(&vote), [0x83, 0x01, 0x02, 0xf5]);
        assert_eq!(encode_log_id(Some(&log_id(1, 2, 3))), [0x83, 0x01, 0x02, 0x03]);
    }

    #[test]
    fn a_chain_value_comes_back_from_its_digest() {
        let chain = AuditChain::start();
        assert_eq!(decode_chain(chain.as_bytes()), Ok(chain));
        assert!(decode_chain(&chain.as_bytes()[1..]).is_err());
        assert!(decode_chain(&[&chain.as_bytes()[..], &[0]].concat()).is_err());
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let mut bytes = encode_vote(&Vote { leader_id: LeaderId { term: 1, node_id: 2 }, committed: true });
        bytes.push(0);
        assert!(decode_vote(&bytes).is_err());
        assert!(decode_vote(&bytes[..2]).is_err());
        let blank = Entry { log_id: log_id(1, 1, 1), payload: Payload::Blank };
        let mut bytes = encode_entry_head(&blank);
        bytes.push(1);
        assert!(decode_entry(&bytes).is_err());
    }
}
