//! From what the loader left to the machine as the object logic wants it.
//!
//! Invariants:
//! 1. What the loader left is copied before the first frame of memory is taken.
//! 2. `free` holds nothing that is in use: not the first MiB (firmware data, and whatever the loader put there), the
//!    image, the archive or the page tables.

use heapless::Vec;
use kernel::machine::{BootInfo, PhysRange};

use super::cpu::{self, PerCpu};
use super::ioapic::{self, IoApics};
use super::log::say;
use super::madt::Topology;
use super::paging::{self, BootMemory};
use super::{X86, apic::LocalApic, clock, multiboot2, pvh, ranges, start};

/// What is never handed out at the start of memory.
const LOW_MEMORY: PhysRange = PhysRange { start: 0, end: 1 << 20 };

/// What the entry code has in its registers.
pub struct Entry {
    /// The path, see [`start`].
    pub path: u64,
    /// Where the loader's information is.
    pub info: u64,
    /// The time-stamp counter at the first instruction.
    pub tsc: u64,
}

/// Takes over memory: reads what the loader left, and loads the kernel's own address space.
///
/// # Safety
/// To be called once, with the boot page tables loaded; no low address may be used afterwards.
pub unsafe fn memory(entry: &Entry) -> (BootInfo, Topology) {
    // SAFETY: the boot page tables are loaded (the caller's promise) until `install` below, and `memory` is not used
    // after it.
    let memory = unsafe { BootMemory::new() };
    let found = match entry.path {
        start::PVH => pvh::read(&memory, entry.info),
        start::MULTIBOOT2 => multiboot2::read(&memory, entry.info),
        _ => Err("the loader is not known"),
    };
    let found = found.unwrap_or_else(|defect| panic!("{defect}"));
    let topology = Topology::read(&memory, found.rsdp);

    let whole: Vec<PhysRange, 32> = found.ram.iter().copied().map(ranges::inward).collect();
    let mut free = whole.clone();
    for used in [LOW_MEMORY, paging::image(), ranges::outward(found.archive)] {
        ranges::subtract(&mut free, used);
    }
    let largest = free.iter().copied().filter(|r| r.end <= 1 << 32).max_by_key(|r| ranges::length(*r));
    let largest = largest.expect("no memory is left beside the kernel and the boot archive");
    let devices = core::iter::once(LocalApic::physical_address());
    let devices = devices.chain(topology.io_apics.iter().map(|apic| apic.address));
    // SAFETY: the ranges are as they must be by the lines above; low addresses are not used after this (the caller's
    // promise, and `found` and `topology` are copies).
    let (kernel_root, tables) = unsafe { paging::install(&whole, largest, devices) };
    ranges::subtract(&mut free, tables);

    let mut ram = Vec::new();
    for range in &found.ram {
        ranges::add(&mut ram, ranges::outward(*range));
    }
    let pages = |list: &[PhysRange]| list.iter().map(|r| ranges::length(*r)).sum::<u64>() / ranges::PAGE;
    say!("{} KiB of RAM, {} KiB free", pages(&ram) * 4, pages(&free) * 4);
    let boot = BootInfo {
        free,
        ram,
        archive: found.archive,
        cmdline: found.cmdline,
        rsdp: found.rsdp,
        tsc_hz: 0,
        entry_tsc: entry.tsc,
        kernel_root,
    };
    (boot, topology)
}

/// Takes over the processor: descriptor tables, protection, the doors.
pub fn processor() {
    // SAFETY: called by `main` once, on the boot processor and its stack, whose own these statics are.
    unsafe { PerCpu::init(cpu::BOOT_CPU.get(), cpu::BOOT_STACKS.get()) };
}

/// Takes over the interrupt controllers and measures the clocks.
pub fn machine(boot: &mut BootInfo, topology: &Topology) -> X86 {
    ioapic::silence_legacy();
    // SAFETY: `memory` has mapped the registers there, and nobody else uses them.
    let io_apics = unsafe { IoApics::new(topology, paging::io_apic) };
    // SAFETY: this processor's own; no other reference to it is alive. The registers are mapped.
    let apic = unsafe {
        let apic = &mut (*PerCpu::this()).apic;
        apic.enable();
        apic
    };
    let rates = clock::calibrate(apic).unwrap_or_else(|defect| panic!("{defect}"));
    apic.set_rate(rates.apic_counts, rates.ticks);
    boot.tsc_hz = rates.tsc_hz;
    say!("clock {} kHz, {} interrupt lines", rates.tsc_hz / 1000, io_apics.lines());
    X86 { io_apics, has_random: cpu::has_random() }
}
