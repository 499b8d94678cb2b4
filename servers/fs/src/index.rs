//! From block number to slot: a fixed table with open addressing, which never allocates after its making.
//!
//! 1. It has at least twice as many places as there are slots, so a probe always ends.
//! 2. A block is in it at most once.

use alloc::vec;
use alloc::vec::Vec;

use crate::crc::mix;

const EMPTY: u32 = u32::MAX;

/// The table.
pub struct Index {
    places: Vec<(u64, u32)>,
    mask: usize,
}

impl Index {
    /// A table for `slots` slots.
    pub fn new(slots: usize) -> Self {
        let size = (slots * 2).next_power_of_two();
        Self { places: vec![(0, EMPTY); size], mask: size - 1 }
    }

    #[inline]
    fn home(&self, block: u64) -> usize {
        mix(block) as usize & self.mask
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
        let slot = self.places[self.place(block)].1;
        (slot != EMPTY).then_some(slot)
    }

    /// Puts `block` at `slot`, in place of any other.
    pub fn set(&mut self, block: u64, slot: u32) {
        let at = self.place(block);
        self.places[at] = (block, slot);
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
    use alloc::collections::BTreeMap;

    #[test]
    fn the_index_agrees_with_a_map_under_random_use() {
        let (mut index, mut model, mut seed) = (Index::new(64), BTreeMap::new(), 1u64);
        for step in 0..20_000u32 {
            seed = mix(seed.wrapping_add(u64::from(step)));
            let block = seed % 97;
            if seed >> 40 & 1 == 0 && model.len() < 64 {
                index.set(block, step & 63);
                model.insert(block, step & 63);
            } else {
                index.remove(block);
                model.remove(&block);
            }
            assert!((0..97).all(|b| index.get(b) == model.get(&b).copied()));
        }
    }
}
