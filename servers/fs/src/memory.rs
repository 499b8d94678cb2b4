//! The persistent memory: one contiguous byte range that outlives the process, as words.
//!
//! 1. `store` happens wholly before the next `store`: the compiler may not merge or reorder two of them. (A process can
//!    only see its own stores in order, and so can its successor: no processor barrier is needed.)
//! 2. Block data of uncommitted slots may change by other means; nothing in the persistent tables refers to it.

use core::sync::atomic::{Ordering, compiler_fence};

/// A word in the memory, little-endian.
pub type Word = [u8; 8];

/// Writes `words` to `places`, of which there are as many, after every earlier store and before every later one.
#[inline(always)]
pub fn store<const N: usize>(places: &mut [Word], words: [u64; N]) {
    #[cfg(test)]
    let words = crate::tests::fuse::burn(&words);
    compiler_fence(Ordering::SeqCst);
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    compiler_fence(Ordering::SeqCst);
    #[cfg(test)]
    crate::tests::fuse::die_if_burnt();
}

/// The words in these places.
#[inline(always)]
pub fn words<const N: usize>(places: &[Word; N]) -> [u64; N] {
    places.map(u64::from_le_bytes)
}

/// Takes `count` pieces of `N` words off the front of `rest`, which has that many.
pub fn carve<'m, const N: usize>(rest: &mut &'m mut [Word], count: usize) -> &'m mut [[Word; N]] {
    let (front, back) = core::mem::take(rest).split_at_mut(count * N);
    *rest = back;
    front.as_chunks_mut().0
}
