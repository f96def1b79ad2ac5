//! `priv_validator_key.json`, CometBFT's key file.
//!
//! Keeps: key material is wiped from memory and never printed; a file that others may read, or whose parts contradict
//! each other, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

const PUBLIC_KEY_TYPE: &str = "tendermint/PubKeyEd25519";
const PRIVATE_KEY_TYPE: &str = "tendermint/PrivKeyEd25519";
/// Far above any key file of this kind.
const KEY_FILE_MAX_BYTES: u64 = 16 * 1024;
/// A validator address is this much of the SHA-256 of the public key.
const ADDRESS_BYTES: usize = 20;

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than its owner have access.
    #[error(
        "the key file {} has permissions {mode:04o}, others than its owner may use it: run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key file.
    #[error("the key file {} is not a priv_validator_key.json: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong; never contains key material.
        reason: String,
    },
    /// A kind of key that is not supported yet.
    #[error("the key file {} holds a key of type {found:?}; only {PRIVATE_KEY_TYPE} is supported yet", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The type it names.
        found: String,
    },
    /// Its parts do not belong together.
    #[error("the key file {} contradicts itself: its {part} is {found}, its private key gives {computed}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Which part.
        part: &'static str,
        /// As it stands in the file.
        found: String,
        /// As the private key gives it.
        computed: String,
    },
}

#[derive(Deserialize)]
struct KeyJson {
    address: String,
    pub_key: TypedValue,
    priv_key: TypedValue,
}

#[derive(Deserialize)]
struct TypedValue {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl Drop for TypedValue {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// Reads and checks a key file.
///
/// # Errors
/// See [`KeyFileError`].
pub(crate) fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
    let malformed = |reason: String| KeyFileError::Malformed { path: path.to_owned(), reason };
    let text = read_private(path)?;
    // The parser's own message may quote the input.
    let json: KeyJson = serde_json::from_str(&text)
        .map_err(|error| malformed(format!("line {} column {} is wrong", error.line(), error.column())))?;
    if json.priv_key.kind != PRIVATE_KEY_TYPE || json.pub_key.kind != PUBLIC_KEY_TYPE {
        return Err(KeyFileError::Kind { path: path.to_owned(), found: json.priv_key.kind.clone() });
    }
    let private = STANDARD.decode(&json.priv_key.value).map(Zeroizing::new);
    let private = private.map_err(|_| malformed("priv_key is not base64".to_owned()))?;
    let private: Zeroizing<[u8; 64]> = Zeroizing::new(
        private
            .as_slice()
            .try_into()
            .map_err(|_| malformed(format!("priv_key has {} bytes instead of 64", private.len())))?,
    );
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&private[..32]);
    let signing_key = SigningKey::from_bytes(&seed);
    let public = signing_key.verifying_key().to_bytes();
    let check = |part, found: String, computed: String| {
        if found == computed {
            return Ok(());
        }
        Err(KeyFileError::Contradiction { path: path.to_owned(), part, found, computed })
    };
    check("public half of priv_key", STANDARD.encode(&private[32..]), STANDARD.encode(public))?;
    check("pub_key", json.pub_key.value.clone(), STANDARD.encode(public))?;
    let address = &Sha256::digest(public)[..ADDRESS_BYTES];
    check("address", json.address.to_uppercase(), hex::encode_upper(address))?;
    Ok(signing_key)
}

fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode != 0o600 && mode != 0o400 {
        return Err(KeyFileError::Permissions { path: path.to_owned(), mode });
    }
    if metadata.len() > KEY_FILE_MAX_BYTES {
        let reason = format!("{} bytes is too long for a key file", metadata.len());
        return Err(KeyFileError::Malformed { path: path.to_owned(), reason });
    }
    // Room from the start, so that no growing leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_MAX_BYTES as usize));
    file.take(KEY_FILE_MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn json(seed: u8) -> String {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = key.verifying_key().to_bytes();
        format!(
            r#"{{"address":"{}","pub_key":{{"type":"{PUBLIC_KEY_TYPE}","value":"{}"}},"priv_key":{{"type":"{PRIVATE_KEY_TYPE}","value":"{}"}}}}"#,
            hex::encode_upper(&Sha256::digest(public)[..20]),
            STANDARD.encode(public),
            STANDARD.encode(key.to_keypair_bytes()),
        )
    }

    fn load_text(text: &str, mode: u32) -> Result<SigningKey, KeyFileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        load(&path)
    }

    #[test]
    fn a_whole_file_is_read() {
        for mode in [0o600, 0o400] {
            assert_eq!(load_text(&json(5), mode).unwrap(), SigningKey::from_bytes(&[5; 32]));
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o666, 0o700] {
            let error = load_text(&json(5), mode).unwrap_err();
            assert!(matches!(&error, KeyFileError::Permissions { mode: found, .. } if *found == mode));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn every_contradiction_is_found_and_nothing_secret_is_printed() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let other = SigningKey::from_bytes(&[6; 32]).verifying_key().to_bytes();
        let mut mixed = key.to_keypair_bytes();
        mixed[32..].copy_from_slice(&other);
        let public = STANDARD.encode(key.verifying_key().to_bytes());
        let whole = STANDARD.encode(key.to_keypair_bytes());
        let cases = [
            (json(5).replace(&public, &STANDARD.encode(other)), "pub_key"),
            (json(5).replace(&whole, &STANDARD.encode(mixed)), "public half of priv_key"),
            (json(5).replacen("{\"address\":\"", "{\"address\":\"00", 1), "address"),
        ];
        for (text, expected) in cases {
            let error = load_text(&text, 0o600).unwrap_err();
            assert!(
                matches!(&error, KeyFileError::Contradiction { part, .. } if *part == expected),
                "{error}"
            );
            let printed = format!("{error} {error:?}");
            assert!(!printed.contains(&whole) && !printed.contains(&STANDARD.encode([5; 32])), "{printed}");
        }
    }

    #[test]
    fn other_files_are_refused_without_being_quoted() {
        for (text, secret) in
            [("sEcReT", "sEcReT"), (r#"{"address": 5, "x": "sEcReT"}"#, "sEcReT"), ("", "-")]
        {
            let error = load_text(text, 0o600).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }));
            assert!(!format!("{error} {error:?}").contains(secret));
        }
        let secp = json(5).replace(PRIVATE_KEY_TYPE, "tendermint/PrivKeySecp256k1");
        assert!(matches!(load_text(&secp, 0o600), Err(KeyFileError::Kind { .. })));
        assert!(matches!(load(Path::new("/absent/key.json")), Err(KeyFileError::Read { .. })));
    }
}
