//! The object window: pages of objects and of capability slots at addresses of their own, one part for each kind.
//!
//! A name of an object is its address in the window, so reaching an object is one instruction, and the check that its
//! page still holds objects of that type is the processor's: the page of a stale name is not mapped.
//!
//! Invariants:
//! 1. A page of a part is mapped exactly while its frame is of the part's kind; the two change together.
//! 2. A page is given to one frame at a time. Pages that were given back are given out again before fresh ones, so that
//!    the window needs page tables for the most pages that a kind ever had, not for what comes and goes.
//! 3. The page tables of the window are set aside when memory is taken over, one for each 512 frames and one for each
//!    part; they are the kernel's own, like the frame table. Where a kind needs more than are left, its object is
//!    refused for want of memory.
//!
//! In the kernel the window lies in the topmost 2 GiB, whose addresses a 32-bit name gives by sign extension. Under
//! `cargo test` there is no processor to ask: a table of frames stands for the page tables, and each access looks.

use super::{Frame, FrameKind, Mm};
#[cfg(target_os = "none")]
pub(super) use tables::Spare;

/// Low half of the window's first address, in the kernel's last 2 GiB behind its image.
const LOW: u32 = 0x8800_0000;
/// Low half of the address behind the window, where the registers of devices are mapped.
const END: u32 = 0xc000_0000;
/// MiB of each kind's part: so many objects of a kind the system can have.
const PARTS: [(FrameKind, u32); 11] = [
    (FrameKind::CapTable, 512),
    (FrameKind::Thread, 96),
    (FrameKind::Process, 32),
    (FrameKind::Region, 64),
    (FrameKind::Memory, 64),
    (FrameKind::Event, 48),
    (FrameKind::Queue, 32),
    (FrameKind::Account, 32),
    (FrameKind::Irq, 2),
    (FrameKind::IoPorts, 4),
    (FrameKind::Numbers, 2),
];
/// Pages that one last-level page table maps.
const PER_TABLE: u32 = 512;

/// Where the part of `kind` begins (low half of the address), and its pages.
const fn part(kind: FrameKind) -> (u32, u32) {
    let mut at = LOW;
    let mut n = 0;
    while n < PARTS.len() {
        let size = PARTS[n].1 << 20;
        assert!(size <= END - at && size.is_multiple_of(PER_TABLE * 4096));
        if PARTS[n].0 as u8 == kind as u8 {
            return (at, size / 4096);
        }
        at += size;
        n += 1;
    }
    panic!("this kind has no part of the window")
}

/// Low half of the first address of a kind's part.
pub(super) const fn start(kind: FrameKind) -> u32 {
    part(kind).0
}

/// One part of the window.
pub(super) struct Window {
    start: u32,
    pages: u32,
    /// Pages that were ever given out.
    used: u32,
    /// The page that was given back last, plus one; its entry names the one before.
    free: u32,
    tables: tables::Tables,
}

impl Window {
    /// The empty part of `kind`.
    pub(super) fn new(kind: FrameKind, mm: &Mm) -> Window {
        let (start, pages) = part(kind);
        Window { start, pages, used: 0, free: 0, tables: tables::Tables::new(mm, start) }
    }

    /// Gives a page to `frame`: the low half of its address. `None` when the part is full or lacks a page table.
    pub(super) fn map(&mut self, mm: &mut Mm, frame: Frame) -> Option<u32> {
        let page = match self.free {
            0 => {
                if self.used == self.pages {
                    return None;
                }
                if self.used.is_multiple_of(PER_TABLE) {
                    self.tables.grow(mm, self.low(self.used))?;
                }
                self.used += 1;
                self.used - 1
            }
            free => free - 1,
        };
        let low = self.low(page);
        if self.free != 0 {
            self.free = self.tables.link(low);
        }
        self.tables.set(low, frame);
        Some(low)
    }

    /// Takes the page at `low` away from its frame, which is returned.
    pub(super) fn unmap(&mut self, low: u32) -> Frame {
        let frame = self.tables.clear(low, self.free);
        self.free = (low - self.start) / 4096 + 1;
        frame
    }

    fn low(&self, page: u32) -> u32 {
        self.start + page * 4096
    }

    /// The address that `low` stands for.
    #[inline(always)]
    pub(super) fn address(&self, low: u32) -> usize {
        self.tables.address(low)
    }

    /// The pages that are mapped, by the low halves of their addresses.
    #[cfg(test)]
    pub(super) fn mapped(&self) -> impl Iterator<Item = u32> {
        (0..self.used).map(|page| self.low(page)).filter(|low| self.tables.is_mapped(*low))
    }
}

/// The processor's page tables.
#[cfg(target_os = "none")]
mod tables {
    use super::{END, Frame, LOW, PARTS, PER_TABLE};
    use crate::mm::{DirectMap, FrameKind, Mm};
    use core::arch::asm;
    use x86_64::structures::paging::PageTableFlags as Flags;

    const TABLE: u64 = Flags::PRESENT.bits() | Flags::WRITABLE.bits();
    const PAGE: u64 = TABLE | Flags::NO_EXECUTE.bits() | Flags::GLOBAL.bits();
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    // One directory maps all of it, that of the last GiB but one, where the kernel's image is.
    const _: () = assert!(LOW >> 30 == 2 && (END - 1) >> 30 == 2);

    /// The kernel's page directory, and the tables that are set aside for it.
    pub struct Spare {
        directory: u64,
        /// Linked by their first words.
        first: Option<Frame>,
    }

    impl Spare {
        pub const NONE: Spare = Spare { directory: 0, first: None };
    }

    impl Mm {
        /// Sets the window's page tables aside. `kernel_root` is the physical address of the kernel's own root. `None`
        /// if memory is too small for them.
        pub fn open_window(&mut self, kernel_root: u64) -> Option<()> {
            let below = |table: u64, index: usize| {
                // SAFETY: the kernel's own tables, which boot made and nobody frees, are in the direct map; the image
                //         is mapped through these entries.
                unsafe { (self.direct.address(table) as *const u64).add(index).read_volatile() & ADDRESS }
            };
            self.spare.directory = below(below(kernel_root, 511), 510);
            for _ in 0..self.frames().div_ceil(PER_TABLE) + PARTS.len() as u32 {
                let frame = self.take(FrameKind::Window)?;
                self.total -= 1;
                let link = self.spare.first.replace(frame).map_or(0, Frame::address);
                // SAFETY: the frame was just taken, is in the direct map, and nothing refers to it.
                unsafe { (self.direct.address(frame.address()) as *mut u64).write(link) }
            }
            Some(())
        }

        /// A page table of zeroes from those set aside.
        fn spare_table(&mut self) -> Option<Frame> {
            let frame = self.spare.first?;
            let word = self.direct.address(frame.address()) as *mut u64;
            // SAFETY: the frame was set aside by `open_window`: in the direct map, referred to by this list alone.
            let link = unsafe { word.replace(0) };
            self.spare.first = (link != 0).then_some(Frame::containing(link));
            Some(frame)
        }
    }

    /// Index of an address in the table of `level` (0 = last).
    fn index(low: u32, level: u32) -> usize {
        (low >> (12 + 9 * level)) as usize % 512
    }

    pub(super) struct Tables {
        direct: DirectMap,
        directory: u64,
    }

    impl Tables {
        pub(super) fn new(mm: &Mm, _start: u32) -> Tables {
            Tables { direct: mm.direct, directory: mm.spare.directory }
        }

        #[inline(always)]
        pub(super) fn address(&self, low: u32) -> usize {
            low as i32 as isize as usize
        }

        /// Makes room for the entries of the pages from `low` on.
        pub(super) fn grow(&mut self, mm: &mut Mm, low: u32) -> Option<()> {
            let table = mm.spare_table()?;
            // SAFETY: 1. The directory is the kernel's, in the direct map, and written by nobody else after boot.
            //         2. The entry was not present: parts begin and end at tables, and `Window` comes here once for
            //            each table. The table is a zeroed frame that nothing else refers to.
            unsafe { self.directory_entry(low).write_volatile(table.address() | TABLE) }
            Some(())
        }

        fn directory_entry(&self, low: u32) -> *mut u64 {
            (self.direct.address(self.directory) as *mut u64).wrapping_add(index(low, 1))
        }

        fn entry(&self, low: u32) -> *mut u64 {
            // SAFETY: as `grow`, which has written the entry before any page of its table was used.
            let table = unsafe { self.directory_entry(low).read_volatile() } & ADDRESS;
            (self.direct.address(table) as *mut u64).wrapping_add(index(low, 0))
        }

        /// What `clear` has left in the entry of a page that is not mapped.
        pub(super) fn link(&self, low: u32) -> u32 {
            // SAFETY: the entry is in the window's own tables.
            (unsafe { self.entry(low).read_volatile() } >> 12) as u32
        }

        pub(super) fn set(&mut self, low: u32, frame: Frame) {
            // SAFETY: 1. The entry is in the window's own tables. 2. The page was not mapped, so the processor has no
            //            translation of it (Intel SDM vol. 3, section 4.10.2.3), and no reference into it is alive.
            unsafe { self.entry(low).write_volatile(frame.address() | PAGE) }
        }

        /// Unmaps a page and leaves `link` in its entry. Returns its frame.
        pub(super) fn clear(&mut self, low: u32, link: u32) -> Frame {
            // SAFETY: 1. The entry is in the window's own tables. 2. The caller has taken all objects out of the page,
            //            so no reference into it is alive. 3. The one processor there is forgets the translation.
            unsafe {
                let old = self.entry(low).read_volatile();
                self.entry(low).write_volatile(u64::from(link) << 12);
                asm!("invlpg [{}]", in(reg) self.address(low), options(nostack, preserves_flags));
                Frame::containing(old & ADDRESS)
            }
        }
    }
}

/// Frames by page, in place of page tables.
#[cfg(not(target_os = "none"))]
mod tables {
    use super::{Frame, PER_TABLE};
    use crate::mm::{DirectMap, Mm};
    use std::vec::Vec;

    impl Mm {
        /// Nothing is needed here.
        pub fn open_window(&mut self, _kernel_root: u64) -> Option<()> {
            Some(())
        }
    }

    /// What stands for an entry: the frame, or what `clear` left.
    type Entry = Result<Frame, u32>;

    pub(super) struct Tables {
        direct: DirectMap,
        start: u32,
        entries: Vec<Entry>,
    }

    impl Tables {
        pub(super) fn new(mm: &Mm, start: u32) -> Tables {
            Tables { direct: mm.direct, start, entries: Vec::new() }
        }

        fn entry(&self, low: u32) -> Option<Entry> {
            self.entries.get((low.checked_sub(self.start)? / 4096) as usize).copied()
        }

        #[inline(always)]
        pub(super) fn address(&self, low: u32) -> usize {
            match self.entry(low) {
                Some(Ok(frame)) => self.direct.address(frame.address()) + (low % 4096) as usize,
                _ => panic!("{low:#x} is in no page of the window"),
            }
        }

        pub(super) fn grow(&mut self, _mm: &mut Mm, _low: u32) -> Option<()> {
            self.entries.resize(self.entries.len() + PER_TABLE as usize, Err(0));
            Some(())
        }

        pub(super) fn link(&self, low: u32) -> u32 {
            self.entry(low).and_then(Result::err).expect("the page is not mapped")
        }

        pub(super) fn set(&mut self, low: u32, frame: Frame) {
            self.entries[((low - self.start) / 4096) as usize] = Ok(frame);
        }

        pub(super) fn clear(&mut self, low: u32, link: u32) -> Frame {
            let entry = &mut self.entries[((low - self.start) / 4096) as usize];
            core::mem::replace(entry, Err(link)).expect("the page is mapped")
        }

        #[cfg(test)]
        pub(super) fn is_mapped(&self, low: u32) -> bool {
            self.entry(low).is_some_and(|entry| entry.is_ok())
        }
    }
}
