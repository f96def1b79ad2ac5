//! Pure codecs: what a chain's node asks to have signed, turned into an intent that the rule book can judge, and the
//! approved intent turned back into bytes to sign and a reply to send.
//!
//! May not live here: rules about what may be signed (they are in core), I/O, keys, signatures being made.
//!
//! Keeps: the payload digest of an intent covers everything that would make two signatures conflict, and the bytes to
//! sign come from the same message as the digest. A message that is not understood in full is refused.

pub mod cometbft;
pub mod ethereum;
