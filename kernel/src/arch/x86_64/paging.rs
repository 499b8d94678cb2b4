//! The kernel's own address space: the upper half, which every address space shares.
//!
//! | addresses | what | protection |
//! |---|---|---|
//! | `DIRECT_MAP` + physical | all RAM, and nothing else | read, write; the kernel's code and constants: read |
//! | `KERNEL_BASE` + physical | the kernel's image | code: execute; constants: read; data: read, write |
//! | `DEVICES` | local APIC, I/O APICs | read, write, uncached |
//!
//! Invariants:
//! 1. No page of the upper half is writable and executable, and none is accessible from user mode.
//! 2. Every entry of the root's upper half that will ever be used is there before the root is loaded, so that copies of
//!    the root stay right.
//! 3. The lower half is empty.

use kernel::machine::PhysRange;
use kernel::mm::DIRECT_MAP;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::mapper::{MapToError, OffsetPageTable};
use x86_64::structures::paging::page::PageSize;
use x86_64::structures::paging::{
    FrameAllocator, Mapper, Page, PageTable, PageTableFlags as Flags, PhysFrame, Size1GiB, Size2MiB, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use super::physical::Physical;
use super::ranges::{self, PAGE};

/// Where the kernel's image is: its physical address + this. `linker.ld` says the same.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Where device registers are mapped, a page each.
const DEVICES: u64 = 0xffff_ffff_c000_0000;
/// The local APIC's registers.
pub const LOCAL_APIC: u64 = DEVICES;
/// What the boot page tables map.
const BOOT_MAPPED: u64 = 4 << 30;

/// Where the I/O APIC with this index is mapped.
pub fn io_apic(index: usize) -> u64 {
    LOCAL_APIC + PAGE * (1 + index as u64)
}

/// A symbol of the linker script.
macro_rules! symbol {
    ($name:ident) => {{
        unsafe extern "C" {
            static $name: u8;
        }
        &raw const $name as u64
    }};
}

/// The kernel's image in physical memory, without the part that is needed for booting only.
pub fn image() -> PhysRange {
    PhysRange { start: symbol!(__text_start) - KERNEL_BASE, end: symbol!(__data_end) - KERNEL_BASE }
}

/// The kernel's code, by address.
pub fn code() -> core::ops::Range<u64> {
    symbol!(__text_start)..symbol!(__text_end)
}

/// Physical memory while the boot page tables are loaded: the first 4 GiB.
pub struct BootMemory(());

impl BootMemory {
    /// # Safety
    /// The boot page tables must be loaded as long as the value, or anything read through it, is in use.
    pub unsafe fn new() -> BootMemory {
        BootMemory(())
    }
}

impl Physical for BootMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        // SAFETY: 1. The first 4 GiB are mapped where they are (contract of `new`); 0 would be no reference.
        //         2. Nobody writes while booting but `Pool`, which takes free memory; and bytes have any value.
        (address != 0 && end <= BOOT_MAPPED)
            .then(|| unsafe { core::slice::from_raw_parts(address as *const u8, length) })
    }
}

/// Free memory out of which the page tables are taken, from its start on.
struct Pool {
    free: PhysRange,
}

// SAFETY: each frame is handed out once.
unsafe impl FrameAllocator<Size4KiB> for Pool {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = self.free.start;
        self.free.start += PAGE;
        (self.free.start <= self.free.end).then(|| PhysFrame::containing_address(PhysAddr::new(frame)))
    }
}

/// Builds the kernel's address space, loads it and returns the address of its root. The page tables are taken from the
/// start of `free`, the return value's second part is what they took.
///
/// # Safety
/// 1. The boot page tables must be loaded.
/// 2. `free` must be RAM that nobody uses, `ram` all RAM in whole pages, and `devices` pages of device registers: the
///    local APIC's, then the I/O APICs'.
/// 3. Nothing at a low address may be used afterwards.
pub unsafe fn install(ram: &[PhysRange], free: PhysRange, devices: impl Iterator<Item = u64>) -> (u64, PhysRange) {
    let mut pool = Pool { free: PhysRange { start: free.start, end: free.end.min(BOOT_MAPPED) } };
    let root = pool.allocate_frame().expect(NO_ROOM).start_address().as_u64();
    // SAFETY: the frame is free memory (2), mapped where it is (1).
    let table = unsafe {
        (root as *mut PageTable).write(PageTable::new());
        &mut *(root as *mut PageTable)
    };
    let mut space = Space {
        // SAFETY: all of the first 4 GiB, where `pool`'s frames are, is mapped at offset 0 (1).
        tables: unsafe { OffsetPageTable::new(table, VirtAddr::zero()) },
        pool: &mut pool,
        // CPUID 80000001h, EDX bit 26.
        huge: core::arch::x86_64::__cpuid(0x8000_0001).edx >> 26 & 1 != 0,
    };
    space.map_image();
    space.map_ram(ram);
    for (index, address) in devices.enumerate() {
        let page = PhysRange { start: address & !(PAGE - 1), end: (address & !(PAGE - 1)) + PAGE };
        let uncached = Flags::NO_CACHE | Flags::WRITE_THROUGH;
        space.map(DEVICES + PAGE * index as u64, page, Flags::WRITABLE | Flags::NO_EXECUTE | uncached);
    }
    // SAFETY: the code, the stack and all statics are in the image, which is mapped where it runs; low addresses are
    // not used any more (3).
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
    (root, PhysRange { start: free.start, end: pool.free.start })
}

/// Why a page table could not be had.
const NO_ROOM: &str = "not enough memory for the kernel's page tables";

/// An address space that is being built.
struct Space<'a> {
    tables: OffsetPageTable<'a>,
    pool: &'a mut Pool,
    /// The processor has pages of 1 GiB.
    huge: bool,
}

impl Space<'_> {
    /// The image, each section with its own protection, without the guard page.
    fn map_image(&mut self) {
        let guard = super::cpu::guard_page();
        let data = Flags::WRITABLE | Flags::NO_EXECUTE;
        let sections = [
            (code().start, code().end, Flags::empty()),
            (symbol!(__rodata_start), symbol!(__rodata_end), Flags::NO_EXECUTE),
            (symbol!(__data_start), guard, data),
            (guard + PAGE, symbol!(__data_end), data),
        ];
        for (start, end, flags) in sections {
            let range = PhysRange { start: start - KERNEL_BASE, end: end - KERNEL_BASE };
            self.map(start, ranges::outward(range), flags);
        }
    }

    /// The direct map.
    fn map_ram(&mut self, ram: &[PhysRange]) {
        let constant = PhysRange { start: image().start, end: symbol!(__rodata_end) - KERNEL_BASE };
        for range in ram {
            let below = PhysRange { start: range.start, end: range.end.min(constant.start) };
            let above = PhysRange { start: range.start.max(constant.end), end: range.end };
            let inside = PhysRange { start: range.start.max(constant.start), end: range.end.min(constant.end) };
            self.map(DIRECT_MAP + below.start, below, Flags::WRITABLE | Flags::NO_EXECUTE);
            self.map(DIRECT_MAP + inside.start, inside, Flags::NO_EXECUTE);
            self.map(DIRECT_MAP + above.start, above, Flags::WRITABLE | Flags::NO_EXECUTE);
        }
    }

    /// Maps `range` at `at`, with the largest pages that fit. Both are page-aligned; an empty range is no work.
    fn map(&mut self, at: u64, range: PhysRange, flags: Flags) {
        let flags = flags | Flags::PRESENT | Flags::GLOBAL;
        let (mut at, mut physical) = (at, range.start);
        while physical < range.end {
            let fits = |size: u64| (at | physical) % size == 0 && range.end - physical >= size;
            let size = if self.huge && fits(Size1GiB::SIZE) {
                self.map_page::<Size1GiB>(at, physical, flags)
            } else if fits(Size2MiB::SIZE) {
                self.map_page::<Size2MiB>(at, physical, flags)
            } else {
                self.map_page::<Size4KiB>(at, physical, flags)
            };
            at += size;
            physical += size;
        }
    }

    /// Maps one page; returns its size.
    fn map_page<S: PageSize>(&mut self, at: u64, physical: u64, flags: Flags) -> u64
    where
        for<'t> OffsetPageTable<'t>: Mapper<S>,
    {
        let page = Page::<S>::containing_address(VirtAddr::new(at));
        let frame = PhysFrame::containing_address(PhysAddr::new(physical));
        // SAFETY: the table is not loaded yet, so no translation changes under anybody; what it makes reachable is the
        // kernel's own memory, once writable at most where it is executable nowhere (invariant 1).
        match unsafe { self.tables.map_to(page, frame, flags, self.pool) } {
            Ok(flush) => flush.ignore(),
            Err(MapToError::FrameAllocationFailed) => panic!("{NO_ROOM}"),
            Err(_) => panic!("the kernel's address space overlaps itself at {at:#x}"),
        }
        S::SIZE
    }
}
