//! An independent reader of CometBFT sign bytes (canonical vote, proposal, vote extension).
//!
//! Written from the wire format alone and sharing no code with the product, so that the history checker does not
//! inherit a decoding mistake. Field numbers: CometBFT `proto/tendermint/types/canonical.proto`, v0.38.

/// What was signed, as far as conflicts depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Proposal, prevote, precommit or extension.
    pub kind: Kind,
    /// Height.
    pub height: i64,
    /// Round.
    pub round: i64,
    /// The chain.
    pub chain_id: String,
    /// The encoded block id of a vote or proposal; empty for nil and for extensions.
    pub block_id: Vec<u8>,
}

/// The kinds of payload a validator signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `CanonicalVote` of type 1.
    Prevote,
    /// `CanonicalVote` of type 2.
    Precommit,
    /// `CanonicalProposal`, type 32.
    Proposal,
    /// `CanonicalVoteExtension`; carries no type.
    Extension,
}

/// The bytes are not the sign bytes of any known payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignBytesError {
    /// The bytes end inside a field.
    #[error("truncated at byte {at}")]
    Truncated {
        /// Offset of the first missing byte.
        at: usize,
    },
    /// A varint is longer than 64 bits.
    #[error("overlong varint at byte {at}")]
    Varint {
        /// Offset where it starts.
        at: usize,
    },
    /// The length prefix does not match.
    #[error("length prefix says {stated} bytes, {actual} follow")]
    Length {
        /// Length in the prefix.
        stated: u64,
        /// Bytes after it.
        actual: usize,
    },
    /// A field that none of the three messages has in this form.
    #[error("unexpected field {field} with wire type {wire_type}")]
    Field {
        /// Field number.
        field: u64,
        /// Protobuf wire type.
        wire_type: u64,
    },
    /// A field number twice, or out of order: canonical bytes have neither.
    #[error("field {field} after field {previous}")]
    Order {
        /// The offending field.
        field: u64,
        /// The one before it.
        previous: u64,
    },
    /// The type is none of prevote, precommit, proposal.
    #[error("unknown signed message type {0}")]
    Type(u64),
    /// The chain id is not UTF-8.
    #[error("chain id is not UTF-8")]
    ChainId,
}

enum Value<'a> {
    Varint(u64),
    Fixed64(i64),
    Bytes(&'a [u8]),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SignBytesError> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(SignBytesError::Truncated { at: self.bytes.len() })?;
        self.at += count;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, SignBytesError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SignBytesError::Varint { at: start })
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), SignBytesError> {
        let tag = self.varint()?;
        let (field, wire_type) = (tag >> 3, tag & 7);
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => {
                let raw = self.take(8)?.try_into().expect("eight bytes were taken");
                Value::Fixed64(i64::from_le_bytes(raw))
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            _ => return Err(SignBytesError::Field { field, wire_type }),
        };
        Ok((field, value))
    }

    fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// Reads length-delimited sign bytes.
pub fn read_sign_bytes(bytes: &[u8]) -> Result<Signed, SignBytesError> {
    let mut reader = Reader { bytes, at: 0 };
    let stated = reader.varint()?;
    let actual = bytes.len() - reader.at;
    if usize::try_from(stated) != Ok(actual) {
        return Err(SignBytesError::Length { stated, actual });
    }
    let kind = kind_of(&bytes[reader.at..])?;
    let mut signed = Signed { kind, height: 0, round: 0, chain_id: String::new(), block_id: Vec::new() };
    let mut previous = 0;
    while !reader.at_end() {
        let (field, value) = reader.field()?;
        if field <= previous {
            return Err(SignBytesError::Order { field, previous });
        }
        previous = field;
        place(&mut signed, field, &value)?;
    }
    Ok(signed)
}

/// Votes and proposals start with their type as a varint field 1; an extension never does.
fn kind_of(body: &[u8]) -> Result<Kind, SignBytesError> {
    if body.is_empty() {
        return Ok(Kind::Extension);
    }
    match (Reader { bytes: body, at: 0 }).field()? {
        (1, Value::Varint(1)) => Ok(Kind::Prevote),
        (1, Value::Varint(2)) => Ok(Kind::Precommit),
        (1, Value::Varint(32)) => Ok(Kind::Proposal),
        (1, Value::Varint(other)) => Err(SignBytesError::Type(other)),
        _ => Ok(Kind::Extension),
    }
}

fn place(signed: &mut Signed, field: u64, value: &Value<'_>) -> Result<(), SignBytesError> {
    let is_proposal = signed.kind == Kind::Proposal;
    match (signed.kind, field, value) {
        (Kind::Extension, 1, Value::Bytes(_)) => {}
        (Kind::Prevote | Kind::Precommit | Kind::Proposal, 1, Value::Varint(_)) => {}
        (_, 2, Value::Fixed64(height)) => signed.height = *height,
        (_, 3, Value::Fixed64(round)) => signed.round = *round,
        (Kind::Extension, 4, Value::Bytes(chain_id)) => signed.chain_id = utf8(chain_id)?,
        // The round of the proof of lock; part of a proposal's bytes, and proposals are compared as bytes.
        (Kind::Proposal, 4, Value::Varint(_)) => {}
        (Kind::Prevote | Kind::Precommit, 4, Value::Bytes(block_id)) => signed.block_id = block_id.to_vec(),
        (Kind::Proposal, 5, Value::Bytes(block_id)) => signed.block_id = block_id.to_vec(),
        // Timestamps.
        (Kind::Prevote | Kind::Precommit, 5, Value::Bytes(_)) => {}
        (Kind::Proposal, 6, Value::Bytes(_)) => {}
        (Kind::Prevote | Kind::Precommit, 6, Value::Bytes(chain_id)) => signed.chain_id = utf8(chain_id)?,
        (_, 7, Value::Bytes(chain_id)) if is_proposal => signed.chain_id = utf8(chain_id)?,
        (_, _, other) => return Err(SignBytesError::Field { field, wire_type: wire_type(other) }),
    }
    Ok(())
}

fn utf8(bytes: &[u8]) -> Result<String, SignBytesError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| SignBytesError::ChainId)
}

fn wire_type(value: &Value<'_>) -> u64 {
    match value {
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Bytes(_) => 2,
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Sign bytes written by hand, field by field, for the tests of this crate.

    fn delimited(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(body.len()).expect("samples are short")];
        bytes.extend_from_slice(body);
        bytes
    }

    fn fixed(tag: u8, value: i64, body: &mut Vec<u8>) {
        if value != 0 {
            body.push(tag);
            body.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn bytes(tag: u8, value: &[u8], body: &mut Vec<u8>) {
        body.extend_from_slice(&[tag, u8::try_from(value.len()).expect("samples are short")]);
        body.extend_from_slice(value);
    }

    /// A vote; `block` `None` is nil.
    pub(crate) fn vote(kind: u8, height: i64, round: i64, block: Option<u8>, seconds: u8) -> Vec<u8> {
        let mut body = vec![0x08, kind];
        fixed(0x11, height, &mut body);
        fixed(0x19, round, &mut body);
        if let Some(block) = block {
            bytes(0x22, &[0x0a, 1, block, 0x12, 2, 0x08, 1], &mut body);
        }
        bytes(0x2a, &[0x08, seconds], &mut body);
        bytes(0x32, b"test-chain", &mut body);
        delimited(&body)
    }

    /// A proposal without a proof of lock (its round is the ten-byte varint of -1).
    pub(crate) fn proposal(height: i64, round: i64, block: u8, seconds: u8) -> Vec<u8> {
        let mut body = vec![0x08, 32];
        fixed(0x11, height, &mut body);
        fixed(0x19, round, &mut body);
        body.extend_from_slice(&[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        bytes(0x2a, &[0x0a, 1, block], &mut body);
        bytes(0x32, &[0x08, seconds], &mut body);
        bytes(0x3a, b"test-chain", &mut body);
        delimited(&body)
    }

    /// A vote extension.
    pub(crate) fn extension(content: &[u8], height: i64, round: i64) -> Vec<u8> {
        let mut body = Vec::new();
        if !content.is_empty() {
            bytes(0x0a, content, &mut body);
        }
        fixed(0x11, height, &mut body);
        fixed(0x19, round, &mut body);
        bytes(0x22, b"test-chain", &mut body);
        delimited(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_apart_by_its_bytes() {
        let read = |bytes: Vec<u8>| read_sign_bytes(&bytes).unwrap();
        let vote = read(samples::vote(1, 7, 2, Some(9), 3));
        assert_eq!((vote.kind, vote.height, vote.round), (Kind::Prevote, 7, 2));
        assert_eq!(vote.chain_id, "test-chain");
        assert!(!vote.block_id.is_empty());
        assert_eq!(read(samples::vote(2, 7, 0, None, 3)).block_id, Vec::<u8>::new());
        assert_eq!(read(samples::proposal(8, 1, 4, 3)).kind, Kind::Proposal);
        assert_eq!(read(samples::extension(b"x", 8, 1)).kind, Kind::Extension);
        let empty = read(samples::extension(b"", 8, 1));
        assert_eq!((empty.kind, empty.height), (Kind::Extension, 8));
    }

    #[test]
    fn an_upstream_vector_is_read() {
        // Nil precommit at height 1, round 1, no chain id, Go's zero time; from CometBFT v0.38 types/vote_test.go.
        let bytes =
            hex::decode("2108021101000000000000001901000000000000002a0b088092b8c398feffffff01").unwrap();
        let vote = read_sign_bytes(&bytes).unwrap();
        assert_eq!((vote.kind, vote.height, vote.round), (Kind::Precommit, 1, 1));
    }

    #[test]
    fn damage_is_refused() {
        let good = samples::vote(2, 5, 0, Some(1), 3);
        for length in 0..good.len() {
            assert!(read_sign_bytes(&good[..length]).is_err(), "accepted {length} bytes");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(matches!(read_sign_bytes(&longer), Err(SignBytesError::Length { .. })));
        let mut other_type = good.clone();
        other_type[2] = 3;
        assert_eq!(read_sign_bytes(&other_type), Err(SignBytesError::Type(3)));
        let twice = [4, 0x08, 2, 0x08, 2];
        assert_eq!(read_sign_bytes(&twice), Err(SignBytesError::Order { field: 1, previous: 1 }));
    }
}
