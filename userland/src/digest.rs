//! SHA-256 as text.

use alloc::string::String;
use sha2::{Digest, Sha256};

/// The digest of a stream.
#[derive(Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Takes a piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// 64 hexadecimal digits.
    pub fn finish(self) -> String {
        let nibbles = self.0.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_known_sums() {
        let sum = |pieces: &[&[u8]]| {
            let mut sum = Sum::default();
            pieces.iter().for_each(|piece| sum.feed(piece));
            sum.finish()
        };
        assert_eq!(sum(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(sum(&[b"a", b"bc"]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
