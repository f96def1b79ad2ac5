//! The slashing protection interchange format, version 5 (EIP-3076): what other clients say a key has signed, and
//! what we say.
//!
//! Strict where a lenient reading would sign too much: a number that is no number, a root of another network, another
//! version or a field given twice is refused, and the whole file with it. Fields that the format does not know are
//! passed over, as its schema allows. One public key may appear in several records: they are taken together.
//!
//! Read by the proposal's advice for minimal databases: maxima per key, roots dropped ([`Interchange::claims`]).

use interlock_core::ethereum::{AttestationMark, BlockMark, ClaimedEpochs, EthereumClaim, EthereumRecord};
use interlock_core::{Digest, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;

/// The version that is read and written.
pub const FORMAT_VERSION: &str = "5";
/// Length of a BLS public key, bytes.
pub const PUBLIC_KEY_BYTES: usize = 48;

/// A file that was understood in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interchange {
    /// The network that all of it is about.
    pub genesis_validators_root: Digest,
    /// What was signed, record by record; a public key may come more than once.
    pub records: Vec<SigningHistory>,
}

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningHistory {
    /// Whose, [`PUBLIC_KEY_BYTES`] long.
    pub public_key: PublicKey,
    /// Blocks that were signed.
    pub blocks: Vec<BlockMark>,
    /// Attestations that were signed.
    pub attestations: Vec<AttestationMark>,
}

/// Why a file is refused. Nothing of it was taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterchangeError {
    /// Not JSON, or a field is absent, given twice or of another type.
    #[error("the file is no interchange of version {FORMAT_VERSION}: {reason}")]
    Shape {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// Another version of the format.
    #[error("metadata.interchange_format_version is {found:?}, this program reads {FORMAT_VERSION:?}")]
    Version {
        /// As it stands in the file.
        found: String,
    },
    /// The file is about another network.
    #[error(
        "metadata.genesis_validators_root is {found}, the keys are for {ours}; this file is for another network"
    )]
    OtherNetwork {
        /// The network of the keys here.
        ours: Digest,
        /// As it stands in the file.
        found: Digest,
    },
    /// Not a decimal number below 2^64, as the format wants it: in quotes, digits only.
    #[error("{field} is {found:?}, expected a number below 2^64 in plain digits")]
    Number {
        /// Which field, such as `data[0].signed_blocks[2].slot`.
        field: String,
        /// As it stands in the file.
        found: String,
    },
    /// Not bytes in hexadecimal of the expected length.
    #[error("{field} is {found:?}, expected 0x and {bytes} bytes in hexadecimal")]
    Hexadecimal {
        /// Which field, such as `data[0].pubkey`.
        field: String,
        /// As it stands in the file.
        found: String,
        /// Expected length, bytes.
        bytes: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct File {
    metadata: Metadata,
    data: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    interchange_format_version: String,
    genesis_validators_root: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    pubkey: String,
    signed_blocks: Vec<Block>,
    signed_attestations: Vec<Attestation>,
}

#[derive(Serialize, Deserialize)]
struct Block {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Attestation {
    source_epoch: String,
    target_epoch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

impl Interchange {
    /// Reads a file about the network of our keys.
    ///
    /// # Errors
    /// When any part of it is not as the format says, or it is about another network.
    pub fn parse(text: &str, genesis_validators_root: Digest) -> Result<Self, InterchangeError> {
        let shape = |error: serde_json::Error| InterchangeError::Shape { reason: error.to_string() };
        let File { metadata, data } = serde_json::from_str(text).map_err(shape)?;
        if metadata.interchange_format_version != FORMAT_VERSION {
            return Err(InterchangeError::Version { found: metadata.interchange_format_version });
        }
        let found = root("metadata.genesis_validators_root", &metadata.genesis_validators_root)?;
        if found != genesis_validators_root {
            return Err(InterchangeError::OtherNetwork { ours: genesis_validators_root, found });
        }
        let records = data.iter().enumerate().map(|(index, record)| history(index, record));
        Ok(Self { genesis_validators_root, records: records.collect::<Result<_, _>>()? })
    }

    /// What each key may have signed: the maxima over all of its records. Where a source lies after every target,
    /// which no valid attestation has, the target is raised to it, so that the claim is sound and excludes no less.
    #[must_use]
    pub fn claims(&self) -> BTreeMap<PublicKey, EthereumClaim> {
        let mut claims = BTreeMap::new();
        for record in &self.records {
            let claim: &mut EthereumClaim = claims.entry(record.public_key.clone()).or_default();
            claim.slot = claim.slot.max(record.blocks.iter().map(|block| block.slot).max());
            for attestation in &record.attestations {
                let claimed = claim.epochs.get_or_insert(ClaimedEpochs { source_epoch: 0, target_epoch: 0 });
                claimed.source_epoch = claimed.source_epoch.max(attestation.source_epoch);
                claimed.target_epoch =
                    claimed.target_epoch.max(attestation.target_epoch).max(claimed.source_epoch);
            }
        }
        claims
    }

    /// The file that says what these keys may have signed here.
    #[must_use]
    pub fn of_records<'a>(
        genesis_validators_root: Digest,
        records: impl IntoIterator<Item = (&'a PublicKey, &'a EthereumRecord)>,
    ) -> Self {
        let records = records.into_iter().map(|(public_key, record)| SigningHistory {
            public_key: public_key.clone(),
            blocks: record.block.into_iter().collect(),
            attestations: record.attestation.into_iter().collect(),
        });
        Self { genesis_validators_root, records: records.collect() }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let file = File {
            metadata: Metadata {
                interchange_format_version: FORMAT_VERSION.to_owned(),
                genesis_validators_root: prefixed(self.genesis_validators_root),
            },
            data: self.records.iter().map(written).collect(),
        };
        match serde_json::to_string_pretty(&file) {
            Ok(text) => text,
            Err(_) => unreachable!("strings and lists have an encoding"),
        }
    }
}

fn written(record: &SigningHistory) -> Record {
    let block = |block: &BlockMark| Block {
        slot: block.slot.to_string(),
        signing_root: block.signing_root.map(prefixed),
    };
    let attestation = |attestation: &AttestationMark| Attestation {
        source_epoch: attestation.source_epoch.to_string(),
        target_epoch: attestation.target_epoch.to_string(),
        signing_root: attestation.signing_root.map(prefixed),
    };
    Record {
        pubkey: prefixed(hex::encode(record.public_key.as_bytes())),
        signed_blocks: record.blocks.iter().map(block).collect(),
        signed_attestations: record.attestations.iter().map(attestation).collect(),
    }
}

fn history(index: usize, record: &Record) -> Result<SigningHistory, InterchangeError> {
    let pubkey = format!("data[{index}].pubkey");
    let public_key = bytes(&pubkey, &record.pubkey, PUBLIC_KEY_BYTES)?;
    let public_key =
        PublicKey::new(&public_key).map_err(|_| hexadecimal(&pubkey, &record.pubkey, PUBLIC_KEY_BYTES))?;
    let blocks = record.signed_blocks.iter().enumerate().map(|(at, block)| {
        let field = |name| format!("data[{index}].signed_blocks[{at}].{name}");
        Ok(BlockMark {
            slot: number(&field("slot"), &block.slot)?,
            signing_root: optional_root(&field("signing_root"), block.signing_root.as_deref())?,
        })
    });
    let attestations = record.signed_attestations.iter().enumerate().map(|(at, attestation)| {
        let field = |name| format!("data[{index}].signed_attestations[{at}].{name}");
        Ok(AttestationMark {
            source_epoch: number(&field("source_epoch"), &attestation.source_epoch)?,
            target_epoch: number(&field("target_epoch"), &attestation.target_epoch)?,
            signing_root: optional_root(&field("signing_root"), attestation.signing_root.as_deref())?,
        })
    });
    let blocks = blocks.collect::<Result<_, _>>()?;
    Ok(SigningHistory { public_key, blocks, attestations: attestations.collect::<Result<_, _>>()? })
}

fn prefixed(hexadecimal: impl Display) -> String {
    format!("0x{hexadecimal}")
}

fn number(field: &str, text: &str) -> Result<u64, InterchangeError> {
    let parsed = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    parsed.ok_or_else(|| InterchangeError::Number { field: field.to_owned(), found: text.to_owned() })
}

fn hexadecimal(field: &str, text: &str, bytes: usize) -> InterchangeError {
    InterchangeError::Hexadecimal { field: field.to_owned(), found: text.to_owned(), bytes }
}

fn bytes(field: &str, text: &str, length: usize) -> Result<Vec<u8>, InterchangeError> {
    let digits = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    digits.filter(|bytes| bytes.len() == length).ok_or_else(|| hexadecimal(field, text, length))
}

fn root(field: &str, text: &str) -> Result<Digest, InterchangeError> {
    let bytes = bytes(field, text, 32)?;
    bytes.try_into().map(Digest).map_err(|_| hexadecimal(field, text, 32))
}

fn optional_root(field: &str, text: Option<&str>) -> Result<Option<Digest>, InterchangeError> {
    text.map(|text| root(field, text)).transpose()
}
