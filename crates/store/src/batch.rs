//! A batch of commands: the content of one log entry, encoded exactly once.
//!
//! Invariant: `encoded` is the encoding of `commands`, and is what the log, the wire and the size limit all use. So
//! a batch with fields that this release does not know does not decode: a node never applies a part of what others
//! apply.

use std::fmt;
use std::sync::Arc;

use interlock_core::Command;
use thiserror::Error;

/// Largest encoded batch, in bytes (DESIGN section 5: an entry stays within 512 KiB).
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Most commands in one batch.
pub const BATCH_COMMANDS_MAX: usize = 8192;
/// Version of the batch encoding, its first byte.
const BATCH_VERSION: u8 = 1;

/// Commands that are committed together and applied one by one, in order. Cheap to clone.
#[derive(Clone)]
pub struct Batch {
    commands: Arc<[Command]>,
    encoded: Arc<[u8]>,
}

/// Why a list of commands is not a batch, or bytes do not hold one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// Nothing to commit.
    #[error("a batch needs at least one command")]
    Empty,
    /// Over [`BATCH_COMMANDS_MAX`].
    #[error("a batch of {count} commands is over the limit of {limit}; split it")]
    TooMany {
        /// Commands given.
        count: usize,
        /// [`BATCH_COMMANDS_MAX`].
        limit: usize,
    },
    /// Over [`BATCH_BYTES_MAX`].
    #[error("a batch of {bytes} bytes is over the limit of {limit}; split it")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
        /// [`BATCH_BYTES_MAX`].
        limit: usize,
    },
    /// Written by a newer release, or not a batch.
    #[error("batch encoding version {found} is not known (newest known: {known}); upgrade this node")]
    Version {
        /// First byte found.
        found: u8,
        /// Newest version this build reads.
        known: u8,
    },
    /// Not decodable.
    #[error("batch does not decode: {0}")]
    Malformed(String),
    /// It decodes, and is not what this release would write.
    #[error("batch holds {found} bytes of commands of which this node knows {known}; upgrade this node")]
    NotCanonical {
        /// Bytes found.
        found: usize,
        /// Bytes that the commands take as this release writes them.
        known: usize,
    },
}

impl Batch {
    /// Encodes `commands`.
    ///
    /// # Errors
    /// When there are none, too many, or they are too large together.
    pub fn new(commands: Vec<Command>) -> Result<Batch, BatchError> {
        if commands.is_empty() {
            return Err(BatchError::Empty);
        }
        if commands.len() > BATCH_COMMANDS_MAX {
            return Err(BatchError::TooMany { count: commands.len(), limit: BATCH_COMMANDS_MAX });
        }
        let mut encoded = vec![BATCH_VERSION];
        // Encoding into a Vec fails only if a type's own encoder refuses a value; that must not reach the log.
        minicbor::encode(&commands, &mut encoded)
            .map_err(|error| BatchError::Malformed(error.to_string()))?;
        if encoded.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge { bytes: encoded.len(), limit: BATCH_BYTES_MAX });
        }
        Ok(Batch { commands: commands.into(), encoded: encoded.into() })
    }

    /// Decodes what [`Batch::encoded`] gave.
    ///
    /// # Errors
    /// When the bytes are over a limit, of another version, malformed, or followed by more bytes.
    pub fn decode(bytes: &[u8]) -> Result<Batch, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge { bytes: bytes.len(), limit: BATCH_BYTES_MAX });
        }
        let (&version, body) = bytes.split_first().ok_or(BatchError::Empty)?;
        if version != BATCH_VERSION {
            return Err(BatchError::Version { found: version, known: BATCH_VERSION });
        }
        let mut decoder = minicbor::Decoder::new(body);
        let commands: Vec<Command> =
            decoder.decode().map_err(|error| BatchError::Malformed(error.to_string()))?;
        if decoder.position() != body.len() {
            return Err(BatchError::Malformed(format!(
                "{} bytes follow it",
                body.len() - decoder.position()
            )));
        }
        if commands.is_empty() {
            return Err(BatchError::Empty);
        }
        if commands.len() > BATCH_COMMANDS_MAX {
            return Err(BatchError::TooMany { count: commands.len(), limit: BATCH_COMMANDS_MAX });
        }
        let known = minicbor::to_vec(&commands).map_err(|error| BatchError::Malformed(error.to_string()))?;
        if known != body {
            return Err(BatchError::NotCanonical { found: body.len(), known: known.len() });
        }
        Ok(Batch { commands: commands.into(), encoded: bytes.into() })
    }

    /// The commands, in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The encoding, for the log and for the wire between nodes.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.commands.iter()).finish()
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands, {} bytes", self.commands.len(), self.encoded.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_core::{Action, ClusterId, KeyId, Reason};

    fn freeze() -> Command {
        let reason = Reason::parse("x").unwrap();
        let action = Action::Freeze { expected_version: 1, reason };
        Command { cluster: ClusterId([1; 16]), key: KeyId([2; 32]), action }
    }

    /// The encoding of one command, as an array of one, with the command's own array made `fields` long.
    fn with_fields(fields: u8, more: &[u8]) -> Vec<u8> {
        let mut bytes = Batch::new(vec![freeze()]).unwrap().encoded().to_vec();
        assert_eq!(bytes[..3], [BATCH_VERSION, 0x81, 0x83], "one command with three fields");
        bytes[2] = 0x80 + fields;
        bytes.extend_from_slice(more);
        bytes
    }

    /// A field that a later release added used to be dropped without a word: this node would have applied less than
    /// the others.
    #[test]
    fn a_command_with_a_field_of_a_later_release_does_not_decode() {
        assert_eq!(Batch::decode(&with_fields(3, &[])).unwrap().commands(), [freeze()]);
        let error = Batch::decode(&with_fields(4, &[0x01])).unwrap_err();
        assert!(matches!(error, BatchError::NotCanonical { found, known } if found == known + 1), "{error}");
    }
}
