//! The frame table: the kind of every frame, and the free ones.

use super::DirectMap;
use crate::machine::PhysRange;
use abi::PAGE_SIZE;

/// Bytes of a page as an index.
const PAGE: usize = PAGE_SIZE as usize;

/// A frame of physical memory, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Frame(pub u32);

impl Frame {
    /// Its physical address.
    #[inline]
    pub const fn address(self) -> u64 {
        (self.0 as u64) << 12
    }
    /// The frame of a physical address.
    #[inline]
    pub const fn containing(address: u64) -> Frame {
        Frame((address >> 12) as u32)
    }
}

/// What a frame is used for.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Not the kernel's to give: firmware, the kernel image, the frame table itself.
    Reserved = 0,
    /// In the free pool.
    Free = 1,
    /// Contents of a memory object; mapped into programs.
    Content = 2,
    /// The boot archive: contents that are never freed.
    Archive = 3,
    /// Words of the kernel's own: index pages, rings, directories.
    Words = 4,
    /// A page table of a process.
    PageTable = 5,
    /// Slots of a capability table.
    CapTable = 6,
    /// A page table of the object window, in use or set aside: the kernel's own.
    Window = 7,
    /// The table of thread numbers.
    Numbers = 8,
    /// Objects of the pool for accounts; the following kinds are those of the other pools.
    Account = 16,
    /// See `Account`.
    Process = 17,
    /// See `Account`.
    Thread = 18,
    /// See `Account`.
    Memory = 19,
    /// See `Account`.
    Queue = 20,
    /// See `Account`.
    Event = 21,
    /// See `Account`.
    Irq = 22,
    /// See `Account`.
    IoPorts = 23,
    /// See `Account`.
    Machine = 24,
    /// See `Account`.
    Region = 25,
}

/// What came of looking for free frames in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The first of them.
    At(usize),
    /// The group of 64 to go on from.
    Unfinished(usize),
    /// There are none.
    Nowhere,
}

impl FrameKind {
    /// Whether frames of this kind hold plain bytes, whatever their value.
    #[inline]
    fn is_plain(kind: u8) -> bool {
        (FrameKind::Content as u8..=FrameKind::Words as u8).contains(&kind)
    }

    /// Whether these are bytes that programs may have mapped.
    #[inline]
    fn is_content(kind: u8) -> bool {
        (FrameKind::Content as u8..=FrameKind::Archive as u8).contains(&kind)
    }
}

/// A free-frame bitmap as a tree: a bit of level n + 1 says that the 64 bits below it are not all zero.
const LEVELS: usize = 5;

/// Physical memory.
pub struct Mm {
    pub(super) direct: DirectMap,
    /// One [`FrameKind`] per frame.
    kinds: &'static mut [u8],
    /// Set bits are free frames.
    free: [&'static mut [u64]; LEVELS],
    free_count: u64,
    changes: u64,
    pub(super) total: u64,
    #[cfg(target_os = "none")]
    pub(super) spare: super::window::Spare,
}

impl Mm {
    /// Takes over the RAM in `ranges` (page-aligned, ascending, disjoint). The frame table is cut from the first range
    /// that has room for it. `None` if none has, or there is no RAM.
    pub fn new(direct: DirectMap, ranges: &[PhysRange], archive: PhysRange) -> Option<Mm> {
        let top = ranges.iter().map(|r| r.end).max()?.max(archive.end.next_multiple_of(PAGE_SIZE));
        let frames = (top / PAGE_SIZE) as usize;
        let mut words = [0usize; LEVELS];
        let mut bits = frames;
        for level in &mut words {
            *level = bits.div_ceil(64);
            bits = *level;
        }
        let bytes = (words.iter().sum::<usize>() * 8 + frames).next_multiple_of(PAGE);
        let home = ranges.iter().find(|r| r.end - r.start >= bytes as u64)?;
        let mut at = direct.address(home.start);
        // SAFETY: 1. The range is RAM in the direct map that nothing else uses (the caller's `ranges`), and it is
        //            never put into the free pool below, so the slices are the only way to it, for ever.
        //         2. It is page-aligned, so the words are aligned; all bit patterns are valid; zeroed here first.
        //         3. The slices follow one another without overlap: `at` moves by each one's size.
        let (free, kinds) = unsafe {
            core::ptr::write_bytes(at as *mut u8, 0, bytes);
            let free = words.map(|n| {
                let slice = core::slice::from_raw_parts_mut(at as *mut u64, n);
                at += n * 8;
                slice
            });
            (free, core::slice::from_raw_parts_mut(at as *mut u8, frames))
        };
        let table = PhysRange { start: home.start, end: home.start + bytes as u64 };
        let mut mm = Mm {
            direct,
            kinds,
            free,
            free_count: 0,
            changes: 0,
            total: 0,
            #[cfg(target_os = "none")]
            spare: super::window::Spare::NONE,
        };
        for range in ranges {
            for number in range.start / PAGE_SIZE..range.end / PAGE_SIZE {
                if !(table.start / PAGE_SIZE..table.end / PAGE_SIZE).contains(&number) && number != 0 {
                    mm.put_free(number as usize);
                    mm.total += 1;
                }
            }
        }
        for number in archive.start / PAGE_SIZE..archive.end.div_ceil(PAGE_SIZE) {
            mm.kinds[number as usize] = FrameKind::Archive as u8;
        }
        Some(mm)
    }

    /// Frames in the free pool.
    pub fn free_frames(&self) -> u64 {
        self.free_count
    }
    /// Frames that the kernel manages: free ones and those of accounts.
    pub fn total_frames(&self) -> u64 {
        self.total
    }

    /// Rises with every frame that is taken or given back, and every object that is made or destroyed.
    pub fn changes(&self) -> u64 {
        self.changes
    }
    /// An object was made or destroyed.
    #[inline]
    pub fn note_change(&mut self) {
        self.changes += 1;
    }

    fn put_free(&mut self, number: usize) {
        self.changes += 1;
        self.kinds[number] = FrameKind::Free as u8;
        self.free_count += 1;
        let mut bit = number;
        for level in &mut self.free {
            level[bit / 64] |= 1 << (bit % 64);
            bit /= 64;
        }
    }

    fn take_free(&mut self, number: usize, kind: FrameKind) {
        self.changes += 1;
        self.kinds[number] = kind as u8;
        self.free_count -= 1;
        let mut bit = number;
        for level in &mut self.free {
            level[bit / 64] &= !(1 << (bit % 64));
            if level[bit / 64] != 0 {
                break;
            }
            bit /= 64;
        }
    }

    /// Takes a frame, its bytes as they were left. `None` when the pool is empty.
    #[inline]
    pub fn take_dirty(&mut self, kind: FrameKind) -> Option<Frame> {
        if self.free_count == 0 {
            return None;
        }
        let mut bit = 0usize;
        for level in self.free.iter().rev() {
            bit = bit * 64 + level.get(bit)?.trailing_zeros() as usize;
        }
        self.take_free(bit, kind);
        Some(Frame(bit as u32))
    }

    /// Takes a frame of zeroes.
    pub fn take(&mut self, kind: FrameKind) -> Option<Frame> {
        let frame = self.take_dirty(kind)?;
        self.zero(frame);
        Some(frame)
    }

    /// Takes `count` frames in a row, zeroed, as contents, and looks for them as long as it takes. `None` if no run is long
    /// enough.
    pub fn take_run(&mut self, count: usize) -> Option<Frame> {
        match self.find_run(count, 0, usize::MAX) {
            Run::At(first) => Some(self.take_run_at(first, count)),
            Run::Unfinished(_) | Run::Nowhere => None,
        }
    }

    /// Takes the `count` free frames that `find_run` has found, zeroed, as contents.
    pub fn take_run_at(&mut self, first: usize, count: usize) -> Frame {
        for taken in first..first + count {
            self.take_free(taken, FrameKind::Content);
            self.zero(Frame(taken as u32));
        }
        Frame(first as u32)
    }

    /// Where the first `count` free frames in a row are, from group `from` of 64 on. Looks at up to `groups` of them, some 50
    /// instructions each; two more than `count` frames fill get on in any case.
    pub fn find_run(&self, count: usize, from: usize, groups: usize) -> Run {
        let mut run = 0_usize;
        for (looked, (n, word)) in self.free[0].iter().copied().enumerate().skip(from).enumerate() {
            if looked >= groups {
                // What ends before this group may be the beginning of a run.
                return Run::Unfinished(n - run.div_ceil(64));
            }
            let low = word.trailing_ones() as usize;
            if run + low >= count {
                return Run::At(n * 64 - run);
            }
            if low == 64 {
                run += 64;
                continue;
            }
            if let Some(bit) = ones_in_a_row(word, count) {
                return Run::At(n * 64 + bit);
            }
            run = word.leading_ones() as usize;
        }
        Run::Nowhere
    }

    /// Gives a frame back to the free pool.
    ///
    /// # Panics
    /// If it is not in use: a frame freed twice is a bug of the kernel.
    pub fn release(&mut self, frame: Frame) {
        let kind = self.kinds[frame.0 as usize];
        assert!(kind > FrameKind::Free as u8 && kind != FrameKind::Archive as u8, "frame {frame:?} freed twice");
        self.put_free(frame.0 as usize);
    }

    /// The kind of a frame; `Reserved` for one outside the table.
    #[inline]
    pub(super) fn kind_byte(&self, frame: Frame) -> u8 {
        self.kinds.get(frame.0 as usize).copied().unwrap_or(0)
    }

    /// Whether the frame is of this kind.
    #[inline]
    pub fn is(&self, frame: Frame, kind: FrameKind) -> bool {
        self.kind_byte(frame) == kind as u8
    }

    /// Frames in the table, managed or not.
    pub(crate) fn frames(&self) -> u32 {
        self.kinds.len() as u32
    }

    /// The frame at a physical address, if it holds bytes that programs may have mapped. Devices may lie beyond the
    /// frames that have a number.
    #[inline(always)]
    pub fn content(&self, physical: u64) -> Option<Frame> {
        let number = physical >> 12;
        let kind = self.kinds.get(number as usize).copied().unwrap_or(0);
        FrameKind::is_content(kind).then_some(Frame(number as u32))
    }

    #[inline(always)]
    fn plain(&self, frame: Frame) -> *mut u8 {
        assert!(FrameKind::is_plain(self.kind_byte(frame)), "{frame:?} does not hold plain bytes");
        self.direct.address(frame.address()) as *mut u8
    }

    /// Fills a frame that was just taken, or holds plain bytes, with zeroes.
    #[inline]
    pub fn zero(&mut self, frame: Frame) {
        let kind = self.kind_byte(frame);
        assert!(kind > FrameKind::Free as u8, "{frame:?} is free");
        let words = self.direct.address(frame.address()) as *mut u64;
        // SAFETY: 1. The frame is managed RAM, so its direct-map address is writable memory of one page.
        //         2. `&mut self` excludes every reference into it. Zero is a valid value of every kind of content.
        unsafe { fill_words(words, PAGE / 8) }
    }

    /// The bytes of a frame of contents, words or the archive.
    #[inline]
    pub fn bytes(&self, frame: Frame) -> &[u8; PAGE] {
        // SAFETY: 1. `plain` checked that the frame holds bytes of any value. 2. The direct map covers it, aligned.
        //         3. The kernel writes to it only through `&mut self`; a program's writes happen only while no
        //            kernel code runs (one CPU, interrupts off in the kernel).
        unsafe { &*(self.plain(frame) as *const [u8; PAGE]) }
    }

    /// The same, to write.
    #[inline]
    pub fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        // SAFETY: as `bytes`, and `&mut self` makes the reference the only one.
        unsafe { &mut *(self.plain(frame) as *mut [u8; PAGE]) }
    }

    /// Word `index` of a frame of plain bytes.
    #[inline(always)]
    pub fn word(&self, frame: Frame, index: usize) -> u64 {
        assert!(index < PAGE / 8);
        // SAFETY: 1. As `bytes`. 2. The index lies in the page, checked above.
        unsafe { (self.plain(frame) as *const u64).add(index).read() }
    }

    /// Sets word `index` of a frame of plain bytes.
    #[inline]
    pub fn set_word(&mut self, frame: Frame, index: usize, value: u64) {
        assert!(index < PAGE / 8);
        // SAFETY: 1. As `bytes_mut`. 2. The index lies in the page, checked above.
        unsafe { (self.plain(frame) as *mut u64).add(index).write(value) }
    }

    /// `N` words of a frame of plain bytes, from word `index` on.
    #[inline]
    pub fn words<const N: usize>(&self, frame: Frame, index: usize) -> [u64; N] {
        assert!(index <= PAGE / 8 - N);
        // SAFETY: 1. As `bytes`. 2. All the words lie in the page, checked above; any bits are words.
        unsafe { (self.plain(frame) as *const u64).add(index).cast::<[u64; N]>().read() }
    }

    /// `N` words of a frame of plain bytes, from word `index` on, where they are.
    #[inline(always)]
    pub fn words_at<const N: usize>(&self, frame: Frame, index: usize) -> &[u64; N] {
        assert!(index <= PAGE / 8 - N);
        // SAFETY: 1. As `bytes`. 2. All the words lie in the page, checked above, aligned as the page is; any bits are words.
        unsafe { &*(self.plain(frame) as *const u64).add(index).cast() }
    }

    /// The same to write.
    #[inline(always)]
    pub fn words_at_mut<const N: usize>(&mut self, frame: Frame, index: usize) -> &mut [u64; N] {
        assert!(index <= PAGE / 8 - N);
        // SAFETY: 1. As `bytes_mut`. 2. As in `words_at`.
        unsafe { &mut *(self.plain(frame) as *mut u64).add(index).cast() }
    }

    /// Adds `value` to the words of a frame of plain bytes that have a bit in `bits`, bit 0 being that of word `index`.
    #[inline]
    pub fn add_to_words(&mut self, frame: Frame, index: usize, bits: u64, value: u64) {
        assert!(index + 64 <= PAGE / 8 + bits.leading_zeros() as usize);
        let words = self.plain(frame) as *mut u64;
        let mut rest = bits;
        while rest != 0 {
            // SAFETY: 1. As `bytes_mut`. 2. The highest word lies in the page, checked above; any bits are words.
            unsafe {
                let word = words.add(index + rest.trailing_zeros() as usize);
                word.write(word.read().wrapping_add(value));
            }
            rest &= rest - 1;
        }
    }

    /// Copies `length` bytes between two frames of plain bytes (the same frame is allowed).
    ///
    /// # Panics
    /// If a range leaves its frame.
    #[inline]
    pub fn copy(&mut self, from: Frame, from_offset: usize, to: Frame, to_offset: usize, length: usize) {
        assert!(from_offset + length <= PAGE && to_offset + length <= PAGE);
        let (source, target) = (self.plain(from), self.plain(to));
        // SAFETY: 1. Both are plain pages in the direct map, and the ranges lie in them, checked above.
        //         2. `&mut self` excludes references. 3. Overlap in one frame is handled by `copy_bytes`.
        unsafe { copy_bytes(source.add(from_offset), target.add(to_offset), length) }
    }
}

/// # Safety
/// `words` must be writable for `count` words.
#[inline]
unsafe fn fill_words(words: *mut u64, count: usize) {
    #[cfg(target_os = "none")]
    // SAFETY: the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!("rep stosq", inout("rcx") count => _, inout("rdi") words => _, in("rax") 0u64,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::write_bytes(words, 0, count);
    }
}

/// Copies in words of eight bytes where it can: one instruction count per word with `rep movsq`.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
#[inline]
pub(super) unsafe fn copy_bytes(from: *const u8, to: *mut u8, length: usize) {
    #[cfg(target_os = "none")]
    // SAFETY: 1. The caller's promise. 2. Overlap within one page copies forwards; a program that lends overlapping
    //            ranges of its own gets what it asked for, the kernel's memory is not involved.
    //         3. The direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!("rep movsq", "mov rcx, {tail}", "rep movsb", tail = in(reg) length % 8,
            inout("rcx") length / 8 => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    // SAFETY: the caller's promise; `copy` allows overlap.
    unsafe {
        core::ptr::copy(from, to, length);
    }
}

/// The lowest bit of `word` from which `count` are set.
fn ones_in_a_row(word: u64, count: usize) -> Option<usize> {
    if count > 64 {
        return None;
    }
    // Bit n of `starts` says that bits n to n + length - 1 of `word` are set.
    let (mut starts, mut length) = (word, 1);
    while length < count && starts != 0 {
        let step = length.min(count - length);
        starts &= starts >> step;
        length += step;
    }
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mm(pages: u64) -> Mm {
        let ranges = [PhysRange { start: 0x10000, end: 0x10000 + pages * PAGE_SIZE }];
        Mm::new(DirectMap::buffer(0x10000 + pages as usize * PAGE), &ranges, PhysRange::default()).unwrap()
    }

    #[test]
    fn every_frame_is_given_once_and_comes_back() {
        let mut mm = mm(300);
        let total = mm.free_frames();
        let mut taken = std::collections::BTreeSet::new();
        while let Some(frame) = mm.take(FrameKind::Content) {
            assert!(taken.insert(frame));
        }
        assert_eq!(taken.len() as u64, total);
        taken.iter().for_each(|f| mm.release(*f));
        assert_eq!(mm.free_frames(), total);
    }

    #[test]
    fn a_run_is_found_wherever_the_first_is_and_only_where_one_is() {
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            seed >> 33
        };
        for round in 0..400 {
            let mut mm = mm(300);
            let keep = 1 + random() % 40;
            let mut taken = Vec::new();
            while let Some(frame) = mm.take_dirty(FrameKind::Words) {
                taken.push(frame);
            }
            for frame in taken {
                if random() % keep != 0 || round % 8 == 0 {
                    mm.release(frame);
                }
            }
            let is_free = |n: usize| mm.is(Frame(n as u32), FrameKind::Free);
            let count = 1 + (random() % if round % 2 == 0 { 10 } else { 150 }) as usize;
            let expected = (0..=mm.frames() as usize - count).find(|first| (*first..first + count).all(is_free));
            let groups = 4 + (random() % 3) as usize;
            let mut found = mm.find_run(count, 0, groups);
            while let Run::Unfinished(next) = found {
                found = mm.find_run(count, next, groups);
            }
            assert_eq!(found, expected.map_or(Run::Nowhere, Run::At), "{count} in a row, {groups} groups at a time");
        }
    }

    #[test]
    fn a_run_is_contiguous_and_zero() {
        let mut mm = mm(200);
        let dirty = mm.take(FrameKind::Content).unwrap();
        mm.bytes_mut(dirty).fill(7);
        mm.release(dirty);
        let first = mm.take_run(70).unwrap();
        for n in first.0..first.0 + 70 {
            assert!(mm.is(Frame(n), FrameKind::Content) && mm.bytes(Frame(n)).iter().all(|b| *b == 0));
        }
        assert_eq!(mm.take_run(200), None);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_stops_the_kernel() {
        let mut mm = mm(20);
        let frame = mm.take(FrameKind::Content).unwrap();
        mm.release(frame);
        mm.release(frame);
    }

    #[test]
    #[should_panic(expected = "does not hold plain bytes")]
    fn a_page_table_is_not_reachable_as_bytes() {
        let mut mm = mm(20);
        let frame = mm.take(FrameKind::PageTable).unwrap();
        mm.bytes(frame);
    }
}
