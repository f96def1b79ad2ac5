//! Bytes to sign, as types that only this crate makes: no door takes raw bytes.

use core::fmt;

/// The bytes of a vote or a proposal. Signing them needs an approval.
#[derive(Clone, PartialEq, Eq)]
pub struct SignBytes(Vec<u8>);

/// The bytes of a vote extension. They are not slashable and need no approval of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtensionSignBytes(Vec<u8>);

impl SignBytes {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl ExtensionSignBytes {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SignBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignBytes({} bytes)", self.0.len())
    }
}

impl fmt::Debug for ExtensionSignBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionSignBytes({} bytes)", self.0.len())
    }
}
