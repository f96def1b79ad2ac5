//! Frames: the unit of encryption. Always 1028 bytes of plaintext (a length and 1024 bytes of data area), 1044 sealed.
//!
//! Invariant: a nonce is used once per key. The counter goes up with every frame, also with one that fails to open, and
//! a used-up counter ends the connection.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use std::ops::Range;

/// Bytes of data that one frame carries at most.
pub(super) const DATA_MAX: usize = 1024;
const LENGTH_LEN: usize = 4;
const PLAIN_LEN: usize = LENGTH_LEN + DATA_MAX;
const TAG_LEN: usize = 16;
/// Length of every frame on the wire.
pub(super) const SEALED_LEN: usize = PLAIN_LEN + TAG_LEN;

/// Why a frame cannot be sealed or opened. Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame failed authentication: it was forged, altered, replayed or out of order")]
    NotAuthentic,
    #[error("a frame says that it carries {length} bytes; between 1 and {DATA_MAX} are possible")]
    BadLength { length: u32 },
    #[error("the frame counter is used up; open a new connection")]
    CounterUsedUp,
}

/// The cipher of one direction.
pub(super) struct FrameCipher {
    cipher: ChaCha20Poly1305,
    /// Counter of the next frame; `None` once the last one was used.
    next: Option<u64>,
}

impl FrameCipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: ChaCha20Poly1305::new(Key::from_slice(key)), next: Some(0) }
    }

    /// Takes the next nonce: four zero bytes, then the counter, little-endian.
    fn take_nonce(&mut self) -> Result<Nonce, FrameError> {
        let counter = self.next.ok_or(FrameError::CounterUsedUp)?;
        self.next = counter.checked_add(1);
        let mut nonce = Nonce::default();
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        Ok(nonce)
    }

    /// Seals 1 to [`DATA_MAX`] bytes. The rest of the data area is zero.
    pub(super) fn seal(&mut self, data: &[u8]) -> Result<[u8; SEALED_LEN], FrameError> {
        assert!((1..=DATA_MAX).contains(&data.len()), "the caller cuts data into frames");
        let nonce = self.take_nonce()?;
        let mut frame = [0; SEALED_LEN];
        frame[..LENGTH_LEN].copy_from_slice(&(data.len() as u32).to_le_bytes());
        frame[LENGTH_LEN..LENGTH_LEN + data.len()].copy_from_slice(data);
        let tag = self
            .cipher
            .encrypt_in_place_detached(&nonce, &[], &mut frame[..PLAIN_LEN])
            .expect("ChaCha20-Poly1305 seals anything below 256 GiB");
        frame[PLAIN_LEN..].copy_from_slice(&tag);
        Ok(frame)
    }

    /// Opens a frame in place and says where in it the data lies.
    pub(super) fn open(&mut self, frame: &mut [u8; SEALED_LEN]) -> Result<Range<usize>, FrameError> {
        let nonce = self.take_nonce()?;
        let (plain, tag) = frame.split_at_mut(PLAIN_LEN);
        self.cipher
            .decrypt_in_place_detached(&nonce, &[], plain, Tag::from_slice(tag))
            .map_err(|_| FrameError::NotAuthentic)?;
        let length = u32::from_le_bytes([plain[0], plain[1], plain[2], plain[3]]);
        match length as usize {
            // No implementation sends empty frames; accepting them would let a peer keep us busy with nothing.
            data_len @ 1..=DATA_MAX => Ok(LENGTH_LEN..LENGTH_LEN + data_len),
            _ => Err(FrameError::BadLength { length }),
        }
    }

    /// Seals a frame whose length field lies, as only a peer with the key can.
    #[cfg(test)]
    pub(super) fn seal_with_length(&mut self, length: u32) -> [u8; SEALED_LEN] {
        let nonce = self.take_nonce().unwrap();
        let mut frame = [0; SEALED_LEN];
        frame[..LENGTH_LEN].copy_from_slice(&length.to_le_bytes());
        let tag = self.cipher.encrypt_in_place_detached(&nonce, &[], &mut frame[..PLAIN_LEN]).unwrap();
        frame[PLAIN_LEN..].copy_from_slice(&tag);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    const KEY_HEX: &str = "2a88f7286009ba607f984c91225ed376ca5a14ad0c86cd738fdfcb0cab3b175f";

    fn cipher() -> FrameCipher {
        FrameCipher::new(&hex::decode(KEY_HEX).unwrap().try_into().unwrap())
    }

    /// SHA-256 of the first two frames under the key, as another ChaCha20-Poly1305 seals them.
    #[test]
    fn own_vector() {
        let mut sealer = cipher();
        let first = sealer.seal(b"hello").unwrap();
        let second = sealer.seal(&[b'x'; DATA_MAX]).unwrap();
        assert_eq!(hex::encode(Sha256::digest(first)), FIRST_DIGEST);
        assert_eq!(hex::encode(Sha256::digest(second)), SECOND_DIGEST);
        let mut opener = cipher();
        for (mut frame, data) in [(first, b"hello".to_vec()), (second, vec![b'x'; DATA_MAX])] {
            let range = opener.open(&mut frame).unwrap();
            assert_eq!(frame[range], data);
        }
    }

    const FIRST_DIGEST: &str = "ebd918bd4e861045ddc092c1622503d9fb23e7fdce103274753ef6f1fa9a3522";
    const SECOND_DIGEST: &str = "0e966a004f30eb2a15607260bf2517f54eb77c178d9e0af242556aa35f27de11";

    #[test]
    fn a_replayed_frame_does_not_open() {
        let frame = cipher().seal(b"hello").unwrap();
        let mut opener = cipher();
        opener.open(&mut frame.clone()).unwrap();
        assert_eq!(opener.open(&mut frame.clone()), Err(FrameError::NotAuthentic));
    }

    #[test]
    fn a_flipped_bit_anywhere_does_not_open() {
        for position in [0, 3, 4, 1027, 1028, SEALED_LEN - 1] {
            let mut frame = cipher().seal(b"hello").unwrap();
            frame[position] ^= 1;
            assert_eq!(cipher().open(&mut frame), Err(FrameError::NotAuthentic), "byte {position}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for length in [0, 1025, u32::MAX] {
            let mut frame = cipher().seal_with_length(length);
            assert_eq!(cipher().open(&mut frame), Err(FrameError::BadLength { length }));
        }
    }

    #[test]
    fn the_counter_never_wraps() {
        let mut sealer = cipher();
        sealer.next = Some(u64::MAX);
        sealer.seal(b"last").unwrap();
        assert_eq!(sealer.seal(b"one too many").unwrap_err(), FrameError::CounterUsedUp);
        assert_eq!(sealer.seal(b"still").unwrap_err(), FrameError::CounterUsedUp);
    }
}
