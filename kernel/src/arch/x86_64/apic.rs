//! The local APIC: the timer, and the end of interrupts (Intel SDM vol. 3, chapter 11).
//!
//! Invariants:
//! 1. `armed` is what the timer was last asked for; `None` exactly when the hardware counter stands still.
//! 2. The timer never fires later than asked for (plus one count). It may fire earlier, where the wait is longer than
//!    the counter; the object logic then asks again.

use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use super::dispatch::{SPURIOUS, TIMER};
use super::paging::LOCAL_APIC;

/// Registers, by offset in the page.
#[derive(Clone, Copy)]
enum Register {
    Id = 0x20,
    TaskPriority = 0x80,
    EndOfInterrupt = 0xb0,
    SpuriousVector = 0xf0,
    LvtTimer = 0x320,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    DivideConfiguration = 0x3e0,
}

/// Of a local vector: no interrupts.
const MASKED: u32 = 1 << 16;
/// Of the spurious vector: the APIC works.
const ENABLED: u32 = 1 << 8;
/// Divide configuration for a divisor of 1.
const BY_ONE: u32 = 0b1011;

/// One processor's local APIC.
pub struct LocalApic {
    /// Reached through model-specific registers, not memory.
    x2apic: bool,
    armed: Option<u64>,
    /// Counts per tick of the time-stamp counter, times 2^32.
    rate: u64,
    /// Most ticks that the counter can wait.
    longest: u64,
}

impl LocalApic {
    /// Before `enable`.
    pub const UNKNOWN: LocalApic = LocalApic { x2apic: false, armed: None, rate: 0, longest: 0 };

    /// Physical address of the registers of this processor's APIC.
    pub fn physical_address() -> u64 {
        ApicBase::read().0.start_address().as_u64()
    }

    /// Switches this processor's APIC on: everything masked, the timer stopped.
    ///
    /// # Safety
    /// The registers must be mapped at [`LOCAL_APIC`], and `self` must be of the processor that runs.
    pub unsafe fn enable(&mut self) {
        let (frame, mut flags) = ApicBase::read();
        self.x2apic = core::arch::x86_64::__cpuid(1).ecx >> 21 & 1 != 0;
        flags |= ApicBaseFlags::LAPIC_ENABLE;
        flags.set(ApicBaseFlags::X2APIC_ENABLE, self.x2apic);
        // SAFETY: the address stays, and the processor has the mode that is switched on.
        unsafe { ApicBase::write(frame, flags) };
        self.write(Register::TaskPriority, 0);
        for local in [Register::LvtTimer, Register::LvtLint0, Register::LvtLint1, Register::LvtError] {
            self.write(local, MASKED);
        }
        self.write(Register::SpuriousVector, ENABLED | SPURIOUS as u32);
        self.write(Register::DivideConfiguration, BY_ONE);
        self.write(Register::InitialCount, 0);
    }

    /// Lets the counter run from its maximum down, without an interrupt, to see how fast it is.
    pub fn start_counting(&self) {
        self.write(Register::InitialCount, u32::MAX);
    }

    /// The counter.
    pub fn count(&self) -> u32 {
        self.read(Register::CurrentCount)
    }

    /// Makes the timer ready: `counts` of it go by in `ticks` of the time-stamp counter.
    pub fn set_rate(&mut self, counts: u64, ticks: u64) {
        self.rate = (((counts as u128) << 32) / ticks.max(1) as u128).clamp(1, u64::MAX as u128) as u64;
        self.longest = (((u32::MAX as u128) << 32) / self.rate as u128).min(u64::MAX as u128) as u64;
        self.write(Register::InitialCount, 0);
        self.write(Register::LvtTimer, TIMER as u32);
        self.armed = None;
    }

    /// Asks for one interrupt at tick `at`, instead of any asked for before.
    pub fn set_timer(&mut self, at: Option<u64>, now: impl FnOnce() -> u64) {
        if self.armed == at {
            return;
        }
        self.armed = at;
        let count = at.map_or(0, |at| self.counts(at.saturating_sub(now())));
        self.write(Register::InitialCount, count);
    }

    /// The counter's value for a wait of `ticks`: at least 1, at most what it holds.
    fn counts(&self, ticks: u64) -> u32 {
        let counts = ((ticks.min(self.longest) as u128 * self.rate as u128) >> 32) as u64 + 1;
        u32::try_from(counts).unwrap_or(u32::MAX)
    }

    /// The timer's interrupt has come: it is not armed any more.
    pub fn timer_fired(&mut self) {
        self.armed = None;
    }

    /// The interrupt in service is done with.
    pub fn end_of_interrupt(&self) {
        self.write(Register::EndOfInterrupt, 0);
    }

    /// The processor's number as interrupt messages name it.
    pub fn id(&self) -> u32 {
        let raw = self.read(Register::Id);
        if self.x2apic { raw } else { raw >> 24 }
    }

    fn write(&self, register: Register, value: u32) {
        if self.x2apic {
            // SAFETY: the APIC is in x2APIC mode, and has this register.
            unsafe { Msr::new(0x800 + (register as u32 >> 4)).write(u64::from(value)) }
        } else {
            // SAFETY: the page is mapped, uncached (contract of `enable`), and the register is in it.
            unsafe { ((LOCAL_APIC + register as u64) as *mut u32).write_volatile(value) }
        }
    }

    fn read(&self, register: Register) -> u32 {
        if self.x2apic {
            // SAFETY: as in `write`; reading has no effect.
            unsafe { Msr::new(0x800 + (register as u32 >> 4)).read() as u32 }
        } else {
            // SAFETY: as in `write`; reading has no effect.
            unsafe { ((LOCAL_APIC + register as u64) as *const u32).read_volatile() }
        }
    }
}
