//! Checks every signature that left a signer: reads the taps, decodes the signed bytes, reports conflicting pairs.
//!
//! Keeps no trust in the tap's own summary: kind, height and round must agree with the signed bytes, and the signature
//! must verify under the guarded key, or the entry is an error. A history that cannot be read is never "no conflicts".

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

use crate::signbytes::{Kind, SignBytesError, Signed, read_sign_bytes};

/// One line of a tap, written before the signature left.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TapLine {
    time_unix_ns: u64,
    signer: String,
    chain_id: String,
    kind: String,
    height: i64,
    round: i64,
    sign_bytes: String,
    signature: String,
}

/// One signature that left a signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it left, in nanoseconds since 1970.
    pub time_unix_ns: u64,
    /// Name of the signer.
    pub signer: String,
    /// What was signed, decoded from the bytes.
    pub signed: Signed,
    /// The exact bytes.
    pub sign_bytes: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// A tap cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be read.
    #[error("cannot read the tap {path}: {source}")]
    Read {
        /// The tap.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not a tap entry.
    #[error("{path}:{line}: not a tap entry: {reason}")]
    Line {
        /// The tap.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The signed bytes do not decode.
    #[error("{path}:{line}: sign bytes do not decode: {source}")]
    SignBytes {
        /// The tap.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// Why.
        source: SignBytesError,
    },
    /// The entry says one thing and the signed bytes another.
    #[error("{path}:{line}: the tap says {stated}, the signed bytes say {actual}")]
    Mismatch {
        /// The tap.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What the entry says.
        stated: String,
        /// What was signed.
        actual: String,
    },
    /// The signature is not one of the guarded key over these bytes.
    #[error("{path}:{line}: the signature does not verify under the guarded key")]
    Signature {
        /// The tap.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
    },
}

/// Two signatures that must not both exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier one.
    pub first: Entry,
    /// The later one.
    pub second: Entry,
}

impl fmt::Display for Conflict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signed { kind, height, round, chain_id, .. } = &self.first.signed;
        writeln!(out, "two {kind:?} signatures at {chain_id} height {height} round {round}:")?;
        for entry in [&self.first, &self.second] {
            writeln!(
                out,
                "  {} at {} ns: {}",
                entry.signer,
                entry.time_unix_ns,
                hex::encode(&entry.sign_bytes)
            )?;
        }
        Ok(())
    }
}

/// Reads a tap. A last line without its newline is a write that a kill cut short, so its signature never left: it is
/// left out. A missing file is an error: a signer that was asked for a tap creates it.
pub fn read_tap(path: &Path, key: &VerifyingKey) -> Result<Vec<Entry>, HistoryError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| HistoryError::Read { path: path.to_owned(), source })?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = complete.lines().enumerate();
    lines.map(|(index, line)| read_line(path, index + 1, line, key)).collect()
}

/// Reads a tap while it grows: each refresh reads only what was appended.
#[derive(Debug)]
pub struct TapFollower {
    path: PathBuf,
    key: VerifyingKey,
    bytes_read: u64,
    entries: Vec<Entry>,
}

impl TapFollower {
    /// Follows the tap at `path`, which need not exist yet.
    pub fn new(path: &Path, key: VerifyingKey) -> Self {
        Self { path: path.to_owned(), key, bytes_read: 0, entries: Vec::new() }
    }

    /// Reads what was appended and returns all entries so far.
    pub fn refresh(&mut self) -> Result<&[Entry], HistoryError> {
        let appended =
            self.appended().map_err(|source| HistoryError::Read { path: self.path.clone(), source })?;
        let complete = appended.rfind('\n').map_or(0, |end| end + 1);
        for line in appended[..complete].lines() {
            let entry = read_line(&self.path, self.entries.len() + 1, line, &self.key)?;
            self.entries.push(entry);
        }
        self.bytes_read += u64::try_from(complete).expect("a file length fits 64 bits");
        Ok(&self.entries)
    }

    fn appended(&self) -> io::Result<String> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.bytes_read == 0 => {
                return Ok(String::new());
            }
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.bytes_read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn read_line(path: &Path, line: usize, text: &str, key: &VerifyingKey) -> Result<Entry, HistoryError> {
    let damaged = |reason: String| HistoryError::Line { path: path.to_owned(), line, reason };
    let tap: TapLine = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let sign_bytes = hex::decode(&tap.sign_bytes).map_err(|error| damaged(format!("sign_bytes: {error}")))?;
    let signature = hex::decode(&tap.signature).map_err(|error| damaged(format!("signature: {error}")))?;
    let signed = read_sign_bytes(&sign_bytes).map_err(|source| HistoryError::SignBytes {
        path: path.to_owned(),
        line,
        source,
    })?;
    let stated = (tap.kind.as_str(), tap.height, tap.round, tap.chain_id.as_str());
    let actual = (kind_name(signed.kind), signed.height, signed.round, signed.chain_id.as_str());
    if stated != actual {
        let (stated, actual) = (format!("{stated:?}"), format!("{actual:?}"));
        return Err(HistoryError::Mismatch { path: path.to_owned(), line, stated, actual });
    }
    let verified = Signature::from_slice(&signature)
        .is_ok_and(|signature| key.verify_strict(&sign_bytes, &signature).is_ok());
    if !verified {
        return Err(HistoryError::Signature { path: path.to_owned(), line });
    }
    Ok(Entry { time_unix_ns: tap.time_unix_ns, signer: tap.signer, signed, sign_bytes, signature })
}

/// The name a tap uses.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Prevote | Kind::Precommit => "vote",
        Kind::Proposal => "proposal",
        Kind::Extension => "extension",
    }
}

/// Finds every entry that conflicts with an earlier one of the same key. Two votes of one position conflict when their
/// block ids differ (timestamps may differ: that is no evidence on chain). Two proposals conflict when any byte
/// differs. Extensions cannot conflict.
pub fn conflicts(entries: &[Entry]) -> Vec<Conflict> {
    let mut in_order: Vec<&Entry> = entries.iter().collect();
    in_order.sort_by_key(|entry| entry.time_unix_ns);
    let mut first_of = BTreeMap::new();
    let mut found = Vec::new();
    for entry in in_order {
        let Signed { kind, height, round, chain_id, block_id } = &entry.signed;
        if *kind == Kind::Extension {
            continue;
        }
        let first: &Entry = first_of.entry((chain_id, height, round, kind)).or_insert(entry);
        let differs = match kind {
            Kind::Proposal => first.sign_bytes != entry.sign_bytes,
            _ => first.signed.block_id != *block_id,
        };
        if differs {
            found.push(Conflict { first: first.clone(), second: entry.clone() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signbytes::samples::{extension, proposal, vote};
    use ed25519_dalek::{Signer, SigningKey};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn line(signer: &str, time_unix_ns: u64, sign_bytes: &[u8]) -> String {
        let signed = read_sign_bytes(sign_bytes).unwrap();
        let entry = serde_json::json!({
            "time_unix_ns": time_unix_ns,
            "signer": signer,
            "chain_id": signed.chain_id,
            "kind": kind_name(signed.kind),
            "height": signed.height,
            "round": signed.round,
            "sign_bytes": hex::encode(sign_bytes),
            "signature": hex::encode(key().sign(sign_bytes).to_bytes()),
        });
        format!("{entry}\n")
    }

    fn read(text: &str) -> Result<Vec<Entry>, HistoryError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_tap(file.path(), &key().verifying_key())
    }

    /// The conflicts of a history given as (signer, signed bytes), one nanosecond apart.
    fn check(history: &[(&str, Vec<u8>)]) -> Vec<Conflict> {
        let lines = history.iter().zip(1..).map(|((signer, bytes), time)| line(signer, time, bytes));
        conflicts(&read(&lines.collect::<String>()).unwrap())
    }

    #[test]
    fn histories_without_a_conflict() {
        let repeated = [("alpha", vote(2, 5, 0, Some(1), 3)), ("beta", vote(2, 5, 0, Some(1), 9))];
        assert_eq!(check(&repeated), []);
        let prevote_and_precommit = [("alpha", vote(1, 5, 0, Some(1), 3)), ("beta", vote(2, 5, 0, None, 3))];
        assert_eq!(check(&prevote_and_precommit), []);
        let next_round = [("alpha", vote(1, 5, 0, Some(1), 3)), ("beta", vote(1, 5, 1, Some(2), 3))];
        assert_eq!(check(&next_round), []);
        let same_proposal = [("alpha", proposal(5, 0, 1, 3)), ("beta", proposal(5, 0, 1, 3))];
        assert_eq!(check(&same_proposal), []);
        let extensions = [("alpha", extension(b"a", 5, 0)), ("beta", extension(b"b", 5, 0))];
        assert_eq!(check(&extensions), []);
    }

    #[test]
    fn two_blocks_at_one_position_conflict() {
        let found = check(&[
            ("alpha", vote(2, 5, 0, Some(1), 3)),
            ("beta", vote(2, 6, 0, Some(1), 3)),
            ("beta", vote(2, 5, 0, Some(2), 3)),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].first.signer.as_str(), found[0].second.signer.as_str()), ("alpha", "beta"));
        assert!(found[0].to_string().contains("two Precommit signatures at test-chain height 5 round 0"));
    }

    #[test]
    fn nil_against_a_block_conflicts_in_either_order_and_by_one_signer() {
        assert_eq!(check(&[("a", vote(1, 5, 0, None, 3)), ("a", vote(1, 5, 0, Some(2), 3))]).len(), 1);
        assert_eq!(check(&[("a", vote(1, 5, 0, Some(2), 3)), ("a", vote(1, 5, 0, None, 3))]).len(), 1);
    }

    #[test]
    fn proposals_conflict_when_only_the_time_differs() {
        assert_eq!(check(&[("a", proposal(5, 0, 1, 3)), ("b", proposal(5, 0, 1, 4))]).len(), 1);
        assert_eq!(check(&[("a", proposal(5, 0, 1, 3)), ("b", proposal(5, 0, 2, 3))]).len(), 1);
    }

    #[test]
    fn a_tap_that_lies_is_an_error() {
        let good = line("alpha", 1, &vote(2, 5, 0, Some(1), 3));
        let wrong_height = good.replace("\"height\":5", "\"height\":6");
        assert!(matches!(read(&wrong_height), Err(HistoryError::Mismatch { line: 1, .. })));
        let hidden = good.replace("\"kind\":\"vote\"", "\"kind\":\"extension\"");
        assert!(matches!(read(&hidden), Err(HistoryError::Mismatch { .. })));
        let bytes = hex::encode(vote(2, 5, 0, Some(1), 3));
        let other = hex::encode(vote(2, 5, 0, Some(2), 3));
        assert!(matches!(read(&good.replace(&bytes, &other)), Err(HistoryError::Signature { line: 1, .. })));
    }

    #[test]
    fn a_follower_reads_each_line_once_and_waits_for_the_rest_of_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alpha.tap");
        let mut follower = TapFollower::new(&path, key().verifying_key());
        assert_eq!(follower.refresh().unwrap(), []);
        let (first, second) =
            (line("alpha", 1, &vote(1, 5, 0, None, 3)), line("alpha", 2, &vote(2, 5, 0, None, 3)));
        std::fs::write(&path, format!("{first}{}", &second[..20])).unwrap();
        assert_eq!(follower.refresh().unwrap().len(), 1);
        std::fs::write(&path, format!("{first}{second}")).unwrap();
        assert_eq!(follower.refresh().unwrap().len(), 2);
        assert_eq!(follower.refresh().unwrap(), read_tap(&path, &key().verifying_key()).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(follower.refresh().is_err(), "a tap that vanished is not an empty one");
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_any_other_damage_is_an_error() {
        let good = line("alpha", 1, &vote(2, 5, 0, Some(1), 3));
        assert_eq!(read(&format!("{good}{{\"time_unix")).unwrap().len(), 1);
        assert_eq!(read("").unwrap(), []);
        let error = read(&format!("{good}{{\"time_unix\n{good}")).unwrap_err();
        assert!(matches!(error, HistoryError::Line { line: 2, .. }), "{error}");
        assert!(matches!(
            read_tap(Path::new("no-such-tap"), &key().verifying_key()),
            Err(HistoryError::Read { .. })
        ));
    }
}
