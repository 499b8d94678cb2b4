//! The persistent memory: one contiguous byte range that outlives the process.
//!
//! 1. `store` happens wholly before the next `store`: the compiler may not merge or reorder two of them. (A process can
//!    only see its own stores in order, and so can its successor: no processor barrier is needed.)
//! 2. Block data of uncommitted slots may change by other means; nothing in the persistent tables refers to it.

use core::sync::atomic::{Ordering, compiler_fence};

/// The memory handed in by whoever keeps it alive.
pub struct Memory<'m> {
    bytes: &'m mut [u8],
}

impl<'m> Memory<'m> {
    /// Takes over `bytes`, whose contents may be anything.
    pub fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes }
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Writes `words`, little-endian, from byte `at` on, after every earlier store and before every later one.
    #[inline]
    pub fn store<const N: usize>(&mut self, at: usize, words: [u64; N]) {
        #[cfg(test)]
        let words = crate::tests::fuse::burn(&words);
        compiler_fence(Ordering::SeqCst);
        let (places, _) = self.bytes[at..at + N * 8].as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        compiler_fence(Ordering::SeqCst);
        #[cfg(test)]
        crate::tests::fuse::die_if_burnt();
    }

    /// The `N` words from byte `at` on.
    #[inline]
    pub fn words<const N: usize>(&self, at: usize) -> [u64; N] {
        let (places, _) = self.bytes[at..at + N * 8].as_chunks::<8>();
        let mut words = [0; N];
        for (word, place) in words.iter_mut().zip(places) {
            *word = u64::from_le_bytes(*place);
        }
        words
    }

    /// The `len` bytes at `at`.
    #[inline]
    pub fn bytes(&self, at: usize, len: usize) -> &[u8] {
        &self.bytes[at..at + len]
    }

    /// The `len` bytes at `at`, for data that no persistent table refers to yet.
    #[inline]
    pub fn scratch(&mut self, at: usize, len: usize) -> &mut [u8] {
        &mut self.bytes[at..at + len]
    }

    /// Copies `len` bytes from `from` to `to`, both in scratch or block data.
    pub fn copy(&mut self, from: usize, to: usize, len: usize) {
        self.bytes.copy_within(from..from + len, to);
    }
}
