//! From block number to slot: a fixed table with open addressing, which never allocates after its making.
//!
//! 1. It has at least twice as many places as there are slots, so a probe always ends.
//! 2. A block is in it at most once.

use alloc::vec;
use alloc::vec::Vec;

const EMPTY: u32 = u32::MAX;

/// The table.
pub struct Index {
    places: Vec<(u64, u32)>,
    mask: usize,
    /// Bits of a hash below those that are the place.
    shift: u32,
}

impl Index {
    /// A table for `slots` slots.
    pub fn new(slots: usize) -> Self {
        let size = (slots * 2).next_power_of_two();
        Self { places: vec![(0, EMPTY); size], mask: size - 1, shift: u64::BITS - size.ilog2() }
    }

    /// Neighbours come to lie far from each other, and evenly: the factor is the golden ratio.
    #[inline]
    fn home(&self, block: u64) -> usize {
        (block.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    /// The place of `block`, or the empty place where it would go.
    #[inline]
    fn place(&self, block: u64) -> usize {
        let mut at = self.home(block);
        while self.places[at].1 != EMPTY && self.places[at].0 != block {
            at = (at + 1) & self.mask;
        }
        at
    }

    /// The slot of `block`.
    #[inline]
    pub fn get(&self, block: u64) -> Option<u32> {
        self.find(block).1
    }

    /// Its slot, and the place where that was found, for [`Index::set_at`].
    #[inline]
    pub fn find(&self, block: u64) -> (usize, Option<u32>) {
        let at = self.place(block);
        let slot = self.places[at].1;
        (at, (slot != EMPTY).then_some(slot))
    }

    /// Puts `block` at `slot`, in place of any other.
    pub fn set(&mut self, block: u64, slot: u32) {
        let at = self.place(block);
        self.places[at] = (block, slot);
    }

    /// As `set`. Where the block still is in the place where it was found, it is not looked for again.
    #[inline]
    pub fn set_at(&mut self, at: usize, block: u64, slot: u32) {
        match &mut self.places[at] {
            (there, old) if *there == block && *old != EMPTY => *old = slot,
            _ => self.set(block, slot),
        }
    }

    /// Takes `block` out.
    pub fn remove(&mut self, block: u64) {
        let mut hole = self.place(block);
        if self.places[hole].1 == EMPTY {
            return;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let (other, slot) = self.places[at];
            if slot == EMPTY {
                break;
            }
            // An entry may move back into the hole only if its home is not between the hole and itself.
            let distance = at.wrapping_sub(self.home(other)) & self.mask;
            if distance >= at.wrapping_sub(hole) & self.mask {
                self.places[hole] = (other, slot);
                hole = at;
            }
        }
        self.places[hole] = (0, EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc::mix;
    use alloc::collections::BTreeMap;

    #[test]
    fn the_index_agrees_with_a_map_under_random_use() {
        let (mut index, mut model, mut seed, mut last) = (Index::new(64), BTreeMap::new(), 1u64, 0);
        for step in 0..20_000u32 {
            seed = mix(seed.wrapping_add(u64::from(step)));
            let block = seed % 97;
            let found = core::mem::replace(&mut last, index.find((seed >> 8) % 97).0);
            if seed >> 40 & 1 == 0 && model.len() < 64 {
                // What was found is good for `set_at` even if the table has changed since.
                match seed >> 41 & 3 {
                    0 => index.set(block, step & 63),
                    1 => index.set_at(index.find(block).0, block, step & 63),
                    _ => index.set_at(found, block, step & 63),
                }
                model.insert(block, step & 63);
            } else {
                index.remove(block);
                model.remove(&block);
            }
            assert!((0..97).all(|b| index.get(b) == model.get(&b).copied()));
        }
    }
}
