//! The names looked up last, so that a path is walked without searching its directories.
//!
//! 1. What is here stands in the directory: whoever removes or replaces an entry forgets its name.
//! 2. It lives in the heap only, and is dropped with the inodes there after an error.

use alloc::vec;
use alloc::vec::Vec;

const NAMES: usize = 256;
/// Longer names are not kept.
const LONGEST: usize = 32;

/// A short name as words, padded with zero bytes, of which no name has one.
type Words = [u64; LONGEST / 8];

#[derive(Clone, Copy)]
struct Name {
    /// The directory's inode; 0 in an empty place.
    dir: u32,
    inode: u32,
    name: Words,
}

const EMPTY: Name = Name { dir: 0, inode: 0, name: [0; LONGEST / 8] };

/// The names: each has one place where it can be.
pub(crate) struct Names(Vec<Name>);

fn words(name: &[u8]) -> Option<Words> {
    let mut bytes = [0; LONGEST];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    let (words, _) = bytes.as_chunks::<8>();
    Some(core::array::from_fn(|i| u64::from_le_bytes(words[i])))
}

fn place(dir: u32, name: &Words) -> usize {
    let folded = name.iter().fold(u64::from(dir), |sum, word| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (folded >> 56) as usize % NAMES
}

impl Names {
    /// No names.
    pub fn new() -> Self {
        Self(vec![EMPTY; NAMES])
    }

    /// The inode that `name` in `dir` is known to be.
    pub fn get(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let name = words(name)?;
        let known = &self.0[place(dir, &name)];
        (known.dir == dir && known.name == name).then_some(known.inode)
    }

    /// `name` in `dir` was found to be `inode`.
    pub fn put(&mut self, dir: u32, name: &[u8], inode: u32) {
        if let Some(name) = words(name) {
            self.0[place(dir, &name)] = Name { dir, inode, name };
        }
    }

    /// `name` in `dir` is no longer what it was.
    pub fn forget(&mut self, dir: u32, name: &[u8]) {
        if let Some(name) = words(name) {
            let known = &mut self.0[place(dir, &name)];
            if known.dir == dir && known.name == name {
                *known = EMPTY;
            }
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.fill(EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_until_it_is_forgotten() {
        let mut names = Names::new();
        let long = [b'x'; LONGEST + 1];
        names.put(2, b"a", 11);
        names.put(2, &long, 12);
        assert_eq!([names.get(2, b"a"), names.get(3, b"a"), names.get(2, &long)], [Some(11), None, None]);
        names.forget(3, b"a");
        names.forget(2, b"b");
        assert_eq!(names.get(2, b"a"), Some(11));
        names.forget(2, b"a");
        assert_eq!(names.get(2, b"a"), None);
        names.put(2, &long[1..], 13);
        names.clear();
        assert_eq!(names.get(2, &long[1..]), None);
    }
}
