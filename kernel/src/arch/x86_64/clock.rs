//! How fast the time-stamp counter and the local APIC's timer run.
//!
//! Invariants:
//! 1. A measurement is a difference of two [`Sample`]s, each taken at once as nearly as can be seen; how late the second
//!    one is taken changes nothing, so a virtual machine that is held up for a while measures as well.
//! 2. What the processor says of its own frequency goes before what was measured.

use core::arch::x86_64::{__cpuid, _rdtsc};

use x86_64::instructions::port::Port;

use super::apic::LocalApic;

/// Counts of the programmable interval timer in a second.
const PIT_HZ: u64 = 1_193_182;
/// Length of a measurement: 2 ms.
const PIT_COUNTS: u64 = PIT_HZ / 500;
/// How often a sample is taken, to keep the one that took the shortest time.
const TRIES: usize = 5;
/// Polls after which a timer that has not counted is taken to be missing.
const PATIENCE: u32 = 1_000_000;

/// The frequencies.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Ticks of the time-stamp counter in a second.
    pub tsc_hz: u64,
    /// So many counts of the local APIC's timer go by in `ticks` ticks.
    pub apic_counts: u64,
    /// See `apic_counts`.
    pub ticks: u64,
}

/// The time-stamp counter.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { _rdtsc() }
}

/// Three clocks read at the same time, which lies within `span` ticks.
#[derive(Clone, Copy)]
struct Sample {
    tsc: u64,
    span: u64,
    pit: u16,
    apic: u32,
}

/// Measures. The error is a sentence for people.
pub fn calibrate(apic: &LocalApic) -> Result<Rates, &'static str> {
    apic.start_counting();
    let mut pit = Pit::start();
    let first = best(&mut pit, apic);
    let told = told_frequency();
    for _ in 0..PATIENCE {
        let now = pit.sample(apic);
        let long_enough = match told {
            Some(hz) => now.tsc - first.tsc >= hz / 500,
            None => pit_counts(first, now) >= PIT_COUNTS,
        };
        if long_enough {
            let last = best(&mut pit, apic);
            let ticks = last.tsc - first.tsc;
            let measured = ticks * PIT_HZ / pit_counts(first, last).max(1);
            let apic_counts = u64::from(first.apic.wrapping_sub(last.apic));
            if apic_counts == 0 {
                return Err("the local APIC's timer does not count");
            }
            return Ok(Rates { tsc_hz: told.unwrap_or(measured), apic_counts, ticks });
        }
    }
    Err("the interval timer does not count, and the processor does not tell its frequency")
}

/// Counts of the interval timer between two samples; it counts down.
fn pit_counts(first: Sample, last: Sample) -> u64 {
    u64::from(first.pit.wrapping_sub(last.pit))
}

/// The best of some samples.
fn best(pit: &mut Pit, apic: &LocalApic) -> Sample {
    let mut best = pit.sample(apic);
    for _ in 1..TRIES {
        let sample = pit.sample(apic);
        if sample.span < best.span {
            best = sample;
        }
    }
    best
}

/// Channel 2 of the programmable interval timer, which can be read without an interrupt.
struct Pit {
    command: Port<u8>,
    data: Port<u8>,
}

impl Pit {
    /// Lets it count down from 65536, for 55 ms, and then again.
    fn start() -> Pit {
        let mut gate = Port::<u8>::new(0x61);
        let mut pit = Pit { command: Port::new(0x43), data: Port::new(0x42) };
        // SAFETY: these are the timer's ports on every PC, or nothing; the kernel alone uses them. Mode 2 counts for
        // ever; the speaker stays off.
        unsafe {
            let old = gate.read();
            gate.write(old & !2 | 1);
            pit.command.write(0b1011_0100);
            pit.data.write(0);
            pit.data.write(0);
        }
        pit
    }

    fn sample(&mut self, apic: &LocalApic) -> Sample {
        // SAFETY: as in `start`. Latching makes the two bytes belong together.
        unsafe {
            let before = ticks();
            self.command.write(0b1000_0000);
            let apic = apic.count();
            let after = ticks();
            let pit = u16::from_le_bytes([self.data.read(), self.data.read()]);
            Sample { tsc: before + (after - before) / 2, span: after - before, pit, apic }
        }
    }
}

/// What the processor or the hypervisor says of the time-stamp counter, in Hz.
fn told_frequency() -> Option<u64> {
    let highest = __cpuid(0).eax;
    if highest >= 0x15 {
        let leaf = __cpuid(0x15);
        let (denominator, numerator, crystal) = (u64::from(leaf.eax), u64::from(leaf.ebx), u64::from(leaf.ecx));
        if denominator != 0 && numerator != 0 && crystal != 0 {
            return Some(crystal * numerator / denominator);
        }
    }
    let hypervisor = __cpuid(1).ecx >> 31 & 1 != 0;
    if hypervisor && (0x4000_0010..0x4000_0100).contains(&__cpuid(0x4000_0000).eax) {
        let kilohertz = u64::from(__cpuid(0x4000_0010).eax);
        return (kilohertz != 0).then_some(kilohertz * 1000);
    }
    None
}
