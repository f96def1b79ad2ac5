//! Bounded names and texts: parsed once at the door, trusted afterwards.
//!
//! Each type is a string of bounded length with a stated alphabet, so that state and log entries have a size limit and
//! no name can hide a control character in a log line.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Why a string is not a valid name or text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given.
    #[error("{what} is empty: give 1 to {max} bytes")]
    Empty {
        /// Which kind of text.
        what: &'static str,
        /// Longest length accepted, bytes.
        max: usize,
    },
    /// More bytes than the type holds.
    #[error("{what} has {len} bytes: at most {max} are allowed")]
    TooLong {
        /// Which kind of text.
        what: &'static str,
        /// Length given, bytes.
        len: usize,
        /// Longest length accepted, bytes.
        max: usize,
    },
    /// A character outside the type's alphabet.
    #[error("{what} contains {found:?}: allowed are {allowed}")]
    Character {
        /// Which kind of text.
        what: &'static str,
        /// The first offending character.
        found: char,
        /// The alphabet in words.
        allowed: &'static str,
    },
}

fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_printable(c: char) -> bool {
    !c.is_control()
}

fn parse(what: &'static str, max: usize, allowed: Alphabet, text: &str) -> Result<(), TextError> {
    if text.is_empty() && !allowed.empty_allowed {
        return Err(TextError::Empty { what, max });
    }
    if text.len() > max {
        return Err(TextError::TooLong { what, len: text.len(), max });
    }
    match text.chars().find(|c| !(allowed.accepts)(*c)) {
        Some(found) => Err(TextError::Character { what, found, allowed: allowed.in_words }),
        None => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct Alphabet {
    accepts: fn(char) -> bool,
    in_words: &'static str,
    empty_allowed: bool,
}

const LABEL: Alphabet =
    Alphabet { accepts: is_label, in_words: "letters, digits, '-', '_' and '.'", empty_allowed: false };
const PRINTABLE: Alphabet =
    Alphabet { accepts: is_printable, in_words: "printable characters", empty_allowed: false };
const PRINTABLE_OR_EMPTY: Alphabet =
    Alphabet { accepts: is_printable, in_words: "printable characters", empty_allowed: true };

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident($storage:ty), $what:literal, $max:literal, $alphabet:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($storage);

        impl $name {
            /// Longest accepted length, bytes.
            pub const MAX_BYTES: usize = $max;

            /// Parses a text.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character outside the alphabet of this type.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                parse($what, $max, $alphabet, text)?;
                Ok(Self(<$storage>::from(Box::<str>::from(text))))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = TextError;
            fn from_str(text: &str) -> Result<Self, TextError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                String::from(text.as_str())
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                Self::parse(d.str()?).map_err(|_| decode::Error::message(concat!("invalid ", $what)))
            }
        }
    };
}

bounded_text!(
    /// Operator's name of a key, unique in its cluster.
    KeyName(Box<str>), "key name", 64, LABEL
);
bounded_text!(
    /// Name of a signer, taken from its certificate.
    SignerId(Arc<str>), "signer name", 64, LABEL
);
bounded_text!(
    /// Name of a validator node behind a signer; the lock rule tells nodes apart by it.
    NodeName(Box<str>), "validator node name", 64, LABEL
);
bounded_text!(
    /// A CometBFT chain id (upstream allows 50 bytes).
    ChainId(Box<str>), "chain id", 50, PRINTABLE
);
bounded_text!(
    /// Why an operator or the failure detector did something; kept in the audit trail.
    Reason(Box<Box<str>>), "reason", 256, PRINTABLE_OR_EMPTY
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn refuses_empty_long_and_strange_names() {
        assert_eq!(KeyName::parse(""), Err(TextError::Empty { what: "key name", max: 64 }));
        assert!(matches!(KeyName::parse(&"x".repeat(65)), Err(TextError::TooLong { len: 65, .. })));
        assert!(matches!(SignerId::parse("a b"), Err(TextError::Character { found: ' ', .. })));
        assert!(matches!(Reason::parse("a\nb"), Err(TextError::Character { found: '\n', .. })));
        assert_eq!(Reason::parse("").unwrap().as_str(), "");
    }

    #[test]
    fn decoding_checks_what_parsing_checks() {
        let bytes = minicbor::to_vec("has space").unwrap();
        assert!(minicbor::decode::<SignerId>(&bytes).is_err());
        let good = SignerId::parse("alpha").unwrap();
        assert_eq!(minicbor::decode::<SignerId>(&minicbor::to_vec(&good).unwrap()).unwrap(), good);
        assert_eq!(good.to_string(), "alpha");
    }
}
