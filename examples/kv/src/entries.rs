//! The entries of the store as bytes: one after the other in the order of their keys, zeros after the last.
//!
//! An entry: the length of its key (u16, little-endian; 0 ends the list), the length of its value (u16), key, value.

use alloc::vec::Vec;

/// The entries in a state.
#[derive(Clone, Copy)]
pub struct Entries<'s> {
    rest: &'s [u8],
}

impl<'s> Entries<'s> {
    /// Of a state that [`Entries::with`] has made, or of zeros.
    pub fn new(state: &'s [u8]) -> Entries<'s> {
        Entries { rest: state }
    }

    /// The value under a key.
    pub fn get(mut self, key: &str) -> Option<&'s [u8]> {
        self.find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The bytes of the same entries with another value under `key`, or without `key`.
    pub fn with(self, key: &str, value: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (other, old) in self.filter(|(other, _)| *other < key) {
            append(&mut bytes, other, old);
        }
        if let Some(value) = value {
            append(&mut bytes, key, value);
        }
        for (other, old) in self.filter(|(other, _)| *other > key) {
            append(&mut bytes, other, old);
        }
        bytes
    }
}

impl<'s> Iterator for Entries<'s> {
    type Item = (&'s str, &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, rest) = self.rest.split_first_chunk::<4>()?;
        let [key, value] = [[lengths[0], lengths[1]], [lengths[2], lengths[3]]].map(u16::from_le_bytes);
        if key == 0 {
            return None;
        }
        let (key, rest) = rest.split_at_checked(key.into())?;
        let (value, rest) = rest.split_at_checked(value.into())?;
        self.rest = rest;
        Some((core::str::from_utf8(key).ok()?, value))
    }
}

fn append(bytes: &mut Vec<u8>, key: &str, value: &[u8]) {
    bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_in_order_replaced_and_removed() {
        let mut state = vec![0; 8];
        for (key, value) in [("m", "1"), ("z", ""), ("a", "22"), ("m", "333")] {
            state = Entries::new(&state).with(key, Some(value.as_bytes()));
        }
        state.extend([0; 8]);
        let all: Vec<_> = Entries::new(&state).collect();
        assert_eq!(all, [("a", &b"22"[..]), ("m", b"333"), ("z", b"")]);
        assert_eq!(Entries::new(&state).get("m"), Some(&b"333"[..]));
        let without = Entries::new(&state).with("m", None);
        assert_eq!(Entries::new(&without).map(|(key, _)| key).collect::<Vec<_>>(), ["a", "z"]);
    }

    #[test]
    fn bytes_that_are_no_entries_end_the_list() {
        for bytes in [&[][..], &[1], &[9, 0, 0, 0, b'a'], &[1, 0, 0, 0, 0xff], &[1, 0, 5, 0, b'a', 0]] {
            assert_eq!(Entries::new(bytes).count(), 0);
        }
    }
}
