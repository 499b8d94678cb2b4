//! What is remembered of walks through page tables, and copies between programs that go by it.
//!
//! Invariants:
//! 1. What is remembered names last-level tables of one address space. Tables are freed by [`Mm::free_tables`] alone, which
//!    forgets all of it; nothing that is in a table is remembered.
//! 2. A table that is remembered is looked at only while its frame is a page table: were invariant 1 broken, a wrong page
//!    might be found, but never one that no program may have mapped.

use super::space::{PRESENT, WRITABLE, index};
use super::{Frame, FrameKind, Mm, Space};
use abi::PAGE_SIZE;

/// How many last-level tables are remembered, each of 2 MiB of addresses.
const TABLES: usize = 8;
/// log2 of the bytes that one of them maps.
const REACH: u32 = 21;

/// The last-level tables of an address space that were walked to last.
#[derive(Clone, Copy)]
pub struct Walks([Walk; TABLES]);

#[derive(Clone, Copy)]
struct Walk {
    /// The addresses from here on, in units of what a table maps.
    part: u32,
    table: Frame,
}

impl Default for Walks {
    fn default() -> Walks {
        // No address of the user half is in that part.
        Walks([Walk { part: u32::MAX, table: Frame(0) }; TABLES])
    }
}

impl Mm {
    /// Copies up to `length` bytes between two address spaces, as far as the pages on both sides are present for it and hold
    /// plain bytes. Returns how many.
    #[inline(always)]
    pub fn copy_between(&mut self, (source, from): (Walked, u64), (target, to): (Walked, u64), length: u64) -> u64 {
        let mut done = 0;
        let Some(mut read) = self.page_behind(source.0, source.1, from, PRESENT) else { return 0 };
        let Some(mut written) = self.page_behind(target.0, target.1, to, PRESENT | WRITABLE) else { return 0 };
        loop {
            let (from_offset, to_offset) = ((from + done) % PAGE_SIZE, (to + done) % PAGE_SIZE);
            let step = (PAGE_SIZE - from_offset.max(to_offset)).min(length - done);
            // SAFETY: 1. Both are pages of plain bytes in the direct map: they were looked up since the copy began, and
            //            nothing else has run. The ranges lie in them by the choice of `step`.
            //         2. `&mut self` excludes references. 3. Overlap in one frame is handled by `copy_bytes`.
            unsafe {
                super::frames::copy_bytes(
                    read.add(from_offset as usize),
                    written.add(to_offset as usize),
                    step as usize,
                );
            }
            done += step;
            if done >= length {
                return done;
            }
            if (from + done).is_multiple_of(PAGE_SIZE) {
                let Some(page) = self.page_behind(source.0, source.1, from + done, PRESENT) else { return done };
                read = page;
            }
            if (to + done).is_multiple_of(PAGE_SIZE) {
                let page = self.page_behind(target.0, target.1, to + done, PRESENT | WRITABLE);
                let Some(page) = page else { return done };
                written = page;
            }
        }
    }

    /// The page at `address`, if the flags of its entry have all of `needed` and it holds plain bytes.
    #[inline(always)]
    fn page_behind(&self, walks: &mut Walks, space: Space, address: u64, needed: u64) -> Option<*mut u8> {
        let part = (address >> REACH) as u32;
        let walk = walks.0[part as usize % TABLES];
        let table = match walk.part == part && self.is(walk.table, FrameKind::PageTable) {
            true => walk.table,
            false => self.walk(walks, space, address)?,
        };
        let entry = self.direct.address(table.address() + 8 * index(address, 0) as u64) as *const u64;
        // SAFETY: 1. The frame is a page table, which was looked at here or is one by the walk; it is in the direct map, and
        //            the index lies in it. 2. The processor may set the accessed and dirty bits meanwhile: hence volatile.
        let entry = unsafe { entry.read_volatile() };
        if entry & needed != needed {
            return None;
        }
        let frame = self.content(super::space::address(entry))?;
        Some(self.direct.address(frame.address()) as *mut u8)
    }

    /// Walks to the last-level table of `address`, and remembers it.
    #[cold]
    #[inline(never)]
    fn walk(&self, walks: &mut Walks, space: Space, address: u64) -> Option<Frame> {
        let table = self.last_table(space, address)?;
        let part = (address >> REACH) as u32;
        walks.0[part as usize % TABLES] = Walk { part, table };
        Some(table)
    }
}

/// An address space, and what is remembered of it.
pub type Walked<'a> = (&'a mut Walks, Space);

#[cfg(test)]
impl Mm {
    /// Whether all that is remembered is of `space`, as invariant 1 says.
    pub(crate) fn remembers_well(&self, walks: &Walks, space: Space) -> bool {
        let known = walks.0.iter().filter(|walk| walk.part != u32::MAX);
        known.into_iter().all(|walk| self.last_table(space, u64::from(walk.part) << REACH) == Some(walk.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;
    use crate::mm::{DirectMap, Protection};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Bytes of the memory under test.
    const RAM: u64 = 0x40_0000;

    fn world() -> (Mm, u64) {
        let ranges = [PhysRange { start: 0x1000, end: RAM }];
        let mut mm = Mm::new(DirectMap::buffer(RAM as usize), &ranges, PhysRange::default()).unwrap();
        let kernel = mm.take(FrameKind::PageTable).unwrap().address();
        (mm, kernel)
    }

    fn space(mm: &mut Mm, kernel: u64) -> Space {
        let root = mm.take(FrameKind::PageTable).unwrap();
        mm.init_space(root, kernel)
    }

    /// Some of these share a remembered place, some a table, some a page.
    fn an_address() -> impl Strategy<Value = u64> {
        (0..2u64, 0..2u64, 0..2u64, 0..PAGE_SIZE / 2)
            .prop_map(|(far, table, page, byte)| (far << 30) + (table << 24) + (page << 12) + 0x20_0000 + byte)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn bytes_are_copied_between_pages_that_are_there_and_nowhere_else(
            steps in proptest::collection::vec(
                (0..8u8, 0..2usize, an_address(), an_address(), 0..3 * PAGE_SIZE, any::<bool>()), 1..200),
        ) {
            let (mut mm, kernel) = world();
            let mut walks = [Walks::default(); 2];
            let mut spaces = [space(&mut mm, kernel), space(&mut mm, kernel)];
            // Of each page that is mapped: its frame, and whether it may be written.
            let mut model = [BTreeMap::new(), BTreeMap::new()];
            for (what, side, one, other, length, writable) in steps {
                let page = one & !(PAGE_SIZE - 1);
                match what {
                    0 | 1 => {
                        let frame = mm.take(FrameKind::Content).unwrap();
                        let protection = if writable || what == 1 { Protection::WRITE } else { Protection::empty() };
                        mm.map_page(spaces[side], page, frame.address(), protection).unwrap();
                        if let Some((old, _)) = model[side].insert(page, (frame, writable || what == 1)) {
                            mm.release(old);
                        }
                        mm.set_word(frame, 0, page ^ side as u64);
                    }
                    2 => {
                        let gone = mm.unmap_page(spaces[side], page).is_some();
                        prop_assert_eq!(gone, model[side].contains_key(&page));
                        if let Some((old, _)) = model[side].remove(&page) {
                            mm.release(old);
                        }
                    }
                    // The tables go, and others come, perhaps the same frames.
                    3 => {
                        while !mm.free_tables(spaces[side], &mut walks[side], &mut 8, &mut 0) {}
                        mm.release(spaces[side].0);
                        std::mem::take(&mut model[side]).into_values().for_each(|(frame, _)| mm.release(frame));
                        spaces[side] = space(&mut mm, kernel);
                    }
                    _ => {
                        let [first, second] = &mut walks;
                        let (from, to) = if side == 0 { (first, second) } else { (second, first) };
                        let place = |at: u64| at & !(PAGE_SIZE - 1);
                        let source = |at: u64| model[side].get(&place(at)).map(|(frame, _)| *frame);
                        let target = |at: u64| model[1 - side].get(&place(at)).filter(|(_, fine)| *fine).map(|(f, _)| *f);
                        let there = |n: u64| source(one + n).zip(target(other + n));
                        let expected = (0..length).take_while(|n| there(*n).is_some()).count() as u64;
                        let bytes = |mm: &Mm, frame, at: u64| mm.bytes(frame)[(at % PAGE_SIZE) as usize];
                        let wanted: Vec<u8> = (0..expected)
                            .map(|n| bytes(&mm, source(one + n).unwrap(), one + n)).collect();
                        let done = mm.copy_between(
                            ((from, spaces[side]), one), ((to, spaces[1 - side]), other), length);
                        prop_assert_eq!(done, expected);
                        let found: Vec<u8> = (0..expected)
                            .map(|n| bytes(&mm, target(other + n).unwrap(), other + n)).collect();
                        prop_assert_eq!(found, wanted);
                    }
                }
            }
        }
    }
}
