//! x86-64: how the kernel is entered and left, and the machine that the object logic is given.

mod apic;
pub mod boot;
pub mod clock;
pub mod cpu;
pub mod dispatch;
mod entry;
mod ioapic;
mod loader;
pub mod log;
mod madt;
mod multiboot2;
mod paging;
mod panic;
mod physical;
mod pvh;
mod ranges;
mod start;

use kernel::machine::{IrqLine, Machine, MsiMessage, PortRange, VectorState};
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use cpu::PerCpu;
use dispatch::FIRST_IRQ;
use ioapic::IoApics;

/// The hardware of the processor that runs, and of the machine.
pub struct X86 {
    io_apics: IoApics,
    /// The processor has `rdrand`.
    has_random: bool,
}

impl X86 {
    /// This processor. The reference must not outlive the method that asks for it.
    #[inline(always)]
    fn cpu(&mut self) -> &mut PerCpu {
        // SAFETY: 1. Only this processor refers to its PerCpu, from here and from `dispatch`, which holds no reference
        //            while object logic runs; and object logic has only one value of this type, borrowed here.
        //         2. The entry code changes only the first fields, and not while Rust runs.
        unsafe { &mut *PerCpu::this() }
    }

    /// The vector of a handler slot.
    fn vector(slot: IrqLine) -> u8 {
        FIRST_IRQ as u8 + slot.0
    }

    /// This processor's number, as interrupts are addressed to it.
    fn target(&self) -> u32 {
        // SAFETY: as in `cpu`; nothing is changed.
        unsafe { (*PerCpu::this()).apic.id() }
    }
}

impl Machine for X86 {
    #[inline(always)]
    fn ticks(&self) -> u64 {
        clock::ticks()
    }

    #[inline]
    fn set_timer(&mut self, at: Option<u64>) {
        self.cpu().apic.set_timer(at, clock::ticks);
    }

    #[inline(always)]
    fn enter_space(&mut self, root: u64) {
        // SAFETY: object logic gives roots of address spaces only, and each of them shares the kernel's upper half, so
        // code, stack and data of the kernel stay where they are.
        unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
    }

    #[inline]
    fn invalidate(&mut self, address: u64) {
        tlb::flush(VirtAddr::new_truncate(address));
    }

    #[inline]
    fn open_ports(&mut self, ranges: &[PortRange]) {
        self.cpu().open_ports(ranges);
    }

    #[inline]
    fn reset_vectors(&mut self) {
        static INITIAL: VectorState = VectorState::INITIAL;
        // SAFETY: as in `load_vectors`.
        unsafe {
            core::arch::asm!("fxrstor64 [rip + {}]", sym INITIAL, options(nostack, preserves_flags, readonly));
        }
    }

    #[inline]
    fn save_vectors(&mut self, into: &mut VectorState) {
        // SAFETY: 512 bytes, aligned to 16 by the type; CR4.OSFXSR is set, so all of the state is stored.
        unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) into, options(nostack, preserves_flags)) };
    }

    #[inline]
    fn load_vectors(&mut self, from: &VectorState) {
        // SAFETY: 1. 512 bytes, aligned to 16 by the type. The kernel itself uses no vector register.
        //         2. The state was stored by `save_vectors` or is INITIAL, so no reserved bit of MXCSR is set.
        unsafe { core::arch::asm!("fxrstor64 [{}]", in(reg) from, options(nostack, preserves_flags)) };
    }

    fn route_line(&mut self, slot: IrqLine, gsi: u32, level: bool) -> bool {
        let target = self.target();
        self.io_apics.route(gsi, Self::vector(slot), level, target)
    }

    fn msi_message(&self, slot: IrqLine) -> MsiMessage {
        let address = 0xfee0_0000 | u64::from(self.target() & 0xff) << 12;
        MsiMessage { address, data: u32::from(Self::vector(slot)) }
    }

    fn mask_line(&mut self, gsi: u32) {
        self.io_apics.set_masked(gsi, true);
    }

    fn unmask_line(&mut self, gsi: u32) {
        self.io_apics.set_masked(gsi, false);
    }

    fn random(&mut self) -> Option<u64> {
        // Intel SDM vol. 1, section 7.3.17.1: a generator that has failed ten times in a row is broken.
        self.has_random.then(|| (0..10).find_map(|_| cpu::random()))?
    }

    fn log(&mut self, text: &[u8]) {
        log::write(text);
    }

    fn halt(&mut self, reason: &str) {
        panic::halt(reason)
    }
}
