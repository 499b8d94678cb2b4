//! Address spaces: four-level page tables (Intel SDM vol. 3, section 4.5).
//!
//! Invariants:
//! 1. The upper half of every root is the kernel's own.
//! 2. Entries of the lower half that are present are user-accessible; none is writable and executable at once.
//! 3. Every table below the root is in a frame of kind `PageTable` and is reachable from exactly one root.

use super::{Frame, FrameKind, Mm, Walks};
use abi::PAGE_SIZE;
use x86_64::structures::paging::PageTableFlags as Flags;

bitflags::bitflags! {
    /// How a page is mapped. Readable always.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Protection: u8 {
        /// Writable.
        const WRITE = 1;
        /// Executable.
        const EXECUTE = 2;
        /// Not cached: device registers.
        const UNCACHED = 4;
    }
}

impl Protection {
    fn flags(self) -> Flags {
        let mut flags = Flags::PRESENT | Flags::USER_ACCESSIBLE;
        flags.set(Flags::WRITABLE, self.contains(Protection::WRITE));
        flags.set(Flags::NO_EXECUTE, !self.contains(Protection::EXECUTE));
        flags.set(Flags::NO_CACHE | Flags::WRITE_THROUGH, self.contains(Protection::UNCACHED));
        flags
    }
}

/// The CPU may still use a translation that was removed from the tables.
#[must_use = "until invalidated, the CPU may still use the old translation"]
#[derive(Debug, PartialEq, Eq)]
pub struct StaleEntry(pub u64);

/// An address space, by its root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space(pub Frame);

const ENTRIES: usize = 512;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The entry maps something.
pub(super) const PRESENT: u64 = Flags::PRESENT.bits();
/// What it maps may be written.
pub(super) const WRITABLE: u64 = Flags::WRITABLE.bits();

/// The physical address in an entry.
#[inline(always)]
pub(super) fn address(entry: u64) -> u64 {
    entry & ADDRESS
}

/// The index into the table of `level` (3 = root, 0 = last).
#[inline(always)]
pub(super) fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize % ENTRIES
}

impl Mm {
    #[inline]
    fn table(&self, frame: Frame) -> *mut u64 {
        assert!(self.is(frame, FrameKind::PageTable), "{frame:?} is no page table");
        self.direct.address(frame.address()) as *mut u64
    }

    #[inline]
    fn entry(&self, table: Frame, index: usize) -> u64 {
        // SAFETY: 1. The frame is a page table in the direct map (checked). 2. `index` is below 512 by `% ENTRIES`.
        //         3. The processor may set the accessed and dirty bits meanwhile: hence volatile.
        unsafe { self.table(table).add(index % ENTRIES).read_volatile() }
    }

    #[inline]
    fn set_entry(&mut self, table: Frame, index: usize, value: u64) {
        // SAFETY: as `entry`, to write.
        unsafe { self.table(table).add(index % ENTRIES).write_volatile(value) }
    }

    /// Makes `root` (a zeroed frame of kind `PageTable`) an empty address space that shares the upper half of the
    /// table at physical address `kernel_root`.
    pub fn init_space(&mut self, root: Frame, kernel_root: u64) -> Space {
        for n in ENTRIES / 2..ENTRIES {
            // SAFETY: `kernel_root` is the boot page table: a page in the direct map that is never freed.
            let shared = unsafe { (self.direct.address(kernel_root) as *const u64).add(n).read() };
            self.set_entry(root, n, shared);
        }
        Space(root)
    }

    /// The last-level entry of `address`, where there is one.
    #[inline(always)]
    fn leaf(&self, space: Space, address: u64) -> Option<*mut u64> {
        let table = self.last_table(space, address)?;
        let table = self.direct.address(table.address()) as *mut u64;
        Some(table.wrapping_add(index(address, 0)))
    }

    /// The last-level table of `address`, where there is one.
    #[inline(always)]
    pub(super) fn last_table(&self, space: Space, address: u64) -> Option<Frame> {
        let mut table = self.table(space.0);
        let mut entry = 0;
        for level in [3, 2, 1] {
            // SAFETY: 1. `table` is a page table: the root was checked, and what a present entry above the last level
            //            names is one by invariant 3 (`map_page` alone enters tables, `free_below` takes an entry out
            //            before it frees its table). 2. The index is below 512. 3. Volatile as in `entry`.
            entry = unsafe { table.add(index(address, level)).read_volatile() };
            if entry & PRESENT == 0 {
                return None;
            }
            table = self.direct.address(entry & ADDRESS) as *mut u64;
        }
        Some(Frame::containing(entry & ADDRESS))
    }

    /// How many tables a mapping at `address` lacks.
    pub fn tables_missing(&self, space: Space, address: u64) -> u32 {
        let mut table = space.0;
        for level in [3, 2, 1] {
            let entry = self.entry(table, index(address, level));
            if entry & Flags::PRESENT.bits() == 0 {
                return level;
            }
            table = Frame::containing(entry & ADDRESS);
        }
        0
    }

    /// Maps the page at `address` (user half) to physical `target`, over whatever was there. The caller has paid for
    /// [`Mm::tables_missing`]. `None`, and nothing mapped, when the free pool is empty.
    pub fn map_page(&mut self, space: Space, address: u64, target: u64, protection: Protection) -> Option<()> {
        debug_assert!(address < abi::layout::USER_END && address.is_multiple_of(PAGE_SIZE));
        let mut table = space.0;
        for level in [3, 2, 1] {
            let entry = self.entry(table, index(address, level));
            if entry & Flags::PRESENT.bits() != 0 {
                table = Frame::containing(entry & ADDRESS);
                continue;
            }
            let fresh = self.take(FrameKind::PageTable)?;
            let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE;
            self.set_entry(table, index(address, level), fresh.address() | flags.bits());
            table = fresh;
        }
        self.set_entry(table, index(address, 0), target | protection.flags().bits());
        Some(())
    }

    /// Where the page at `address` is mapped: physical address and whether it is writable.
    #[inline]
    pub fn translate(&self, space: Space, address: u64) -> Option<(u64, bool)> {
        // SAFETY: `leaf` gives an entry of a page table.
        let entry = unsafe { self.leaf(space, address)?.read_volatile() };
        let present = entry & Flags::PRESENT.bits() != 0;
        present.then_some((entry & ADDRESS, entry & Flags::WRITABLE.bits() != 0))
    }

    /// Removes the mapping of the page at `address`, if there is one.
    pub fn unmap_page(&mut self, space: Space, address: u64) -> Option<StaleEntry> {
        let leaf = self.leaf(space, address)?;
        // SAFETY: `leaf` gives an entry of a page table; `&mut self` makes this the only access but the processor's.
        unsafe {
            if leaf.read_volatile() & Flags::PRESENT.bits() == 0 {
                return None;
            }
            leaf.write_volatile(0);
        }
        Some(StaleEntry(address))
    }

    /// The first page from `address` on, below `end`, that may be mapped: skips what has no tables.
    pub fn next_mapped(&self, space: Space, address: u64, end: u64) -> Option<u64> {
        let mut at = address;
        'walk: while at < end {
            let mut table = self.table(space.0);
            for level in [3, 2, 1] {
                // SAFETY: as in `leaf`.
                let entry = unsafe { table.add(index(at, level)).read_volatile() };
                if entry & Flags::PRESENT.bits() == 0 {
                    let span = 1u64 << (12 + 9 * level);
                    at = (at / span + 1) * span;
                    continue 'walk;
                }
                table = self.direct.address(entry & ADDRESS) as *mut u64;
            }
            let first = index(at, 0);
            let last = ENTRIES.min(first + (end - at).div_ceil(PAGE_SIZE) as usize);
            // SAFETY: it is a page table, as in `leaf`.
            if let Some((n, _)) = unsafe { next_present(table, first, last) } {
                return Some(at + (n - first) as u64 * PAGE_SIZE);
            }
            at = (at / (PAGE_SIZE * 512) + 1) * PAGE_SIZE * 512;
        }
        None
    }

    /// Frees up to `budget` tables of the lower half, last levels first. `true` when none is left. No page that they
    /// map is freed: contents belong to memory objects. What is remembered of them is forgotten.
    pub fn free_tables(&mut self, space: Space, walks: &mut Walks, budget: &mut u32, freed: &mut u32) -> bool {
        *walks = Walks::default();
        self.free_below(space.0, 3, ENTRIES / 2, budget, freed)
    }

    fn free_below(&mut self, table: Frame, level: u32, entries: usize, budget: &mut u32, freed: &mut u32) -> bool {
        let mut next = 0;
        // SAFETY: it is a page table: `table` checks it.
        while let Some((n, entry)) = unsafe { next_present(self.table(table), next, entries) } {
            next = n + 1;
            if *budget == 0 {
                return false;
            }
            let below = Frame::containing(entry & ADDRESS);
            if level > 1 && !self.free_below(below, level - 1, ENTRIES, budget, freed) {
                return false;
            }
            self.set_entry(table, n, 0);
            self.release(below);
            *budget = budget.saturating_sub(1);
            *freed += 1;
        }
        true
    }
}

/// The first present entry of `table` in `from..to` (at most 512).
///
/// # Safety
/// `table` must be a page table in the direct map.
unsafe fn next_present(table: *const u64, from: usize, to: usize) -> Option<(usize, u64)> {
    for n in from..to.min(ENTRIES) {
        // SAFETY: the caller's promise; the index is below 512. Volatile as in `Mm::entry`.
        let entry = unsafe { table.add(n).read_volatile() };
        if entry & Flags::PRESENT.bits() != 0 {
            return Some((n, entry));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;
    use crate::mm::DirectMap;
    use std::collections::BTreeMap;

    fn world() -> (Mm, Space) {
        let ranges = [PhysRange { start: 0x1000, end: 0x8_0000 }];
        let mut mm = Mm::new(DirectMap::buffer(0x8_0000), &ranges, PhysRange::default()).unwrap();
        let root = mm.take(FrameKind::PageTable).unwrap();
        let kernel = mm.take(FrameKind::PageTable).unwrap();
        let space = mm.init_space(root, kernel.address());
        (mm, space)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn mappings_match_a_map_of_pages(steps in proptest::collection::vec((0u64..64, 0u64..4, proptest::bool::ANY), 1..200)) {
            let (mut mm, space) = world();
            let free = mm.free_frames();
            let mut model = BTreeMap::new();
            let place = |page: u64, spread: u64| 0x40_0000 + page * PAGE_SIZE + spread * (1 << 39) / 3 / PAGE_SIZE * PAGE_SIZE;
            for (n, (page, spread, map)) in steps.into_iter().enumerate() {
                let address = place(page, spread);
                if map {
                    mm.map_page(space, address, (n as u64 + 1) << 12, Protection::WRITE).unwrap();
                    model.insert(address, (n as u64 + 1) << 12);
                } else {
                    assert_eq!(mm.unmap_page(space, address).is_some(), model.remove(&address).is_some());
                }
            }
            for page in 0..64 {
                for spread in 0..4 {
                    let address = place(page, spread);
                    assert_eq!(mm.translate(space, address).map(|t| t.0), model.get(&address).copied());
                }
            }
            let mut at = 0;
            for address in model.keys() {
                assert_eq!(mm.next_mapped(space, at, u64::MAX >> 17), Some(*address));
                at = address + PAGE_SIZE;
            }
            let mut freed = 0;
            while !mm.free_tables(space, &mut Walks::default(), &mut 2, &mut freed) {}
            assert_eq!(mm.free_frames(), free);
        }
    }
}
