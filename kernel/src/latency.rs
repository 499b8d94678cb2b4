//! Latency: how long the kernel keeps interrupts off, measured with `latency=1` on the kernel's command line.
//!
//! The time between an entry into the kernel and the next moment in which an interrupt may come, in ticks of the
//! time-stamp counter; under `-icount shift=0` a tick is an instruction. The longest of each way into the kernel are
//! logged when the first program opens I/O ports, as it does to switch the machine off.
//!
//! Invariants:
//! 1. Without the word nothing is measured, and the handoff pays nothing.
//! 2. With it every call takes the general path. What is not measured: the doors in `arch` (below a hundred
//!    instructions), and the boot until the first program runs.

use crate::kernel::Kernel;
use crate::machine::{Machine, Resume};
use abi::Sysno;
use core::fmt::Write;

/// Ways into the kernel that are told apart: the system calls by their number, and those of [`Entry`].
const WAYS: usize = 256 + 4;
/// Lines of the report.
const SHOWN: usize = 8;

/// A way into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A system call; its number is not yet checked.
    Syscall(u8),
    Exception,
    Interrupt,
    Timer,
    /// After a moment in which interrupts were let in, the kernel goes on with work of its own.
    Own,
}

impl Entry {
    fn index(self) -> usize {
        match self {
            Entry::Syscall(number) => number.into(),
            Entry::Exception => 256,
            Entry::Interrupt => 257,
            Entry::Timer => 258,
            Entry::Own => 259,
        }
    }
    fn name(index: usize) -> &'static str {
        match index {
            256 => "an exception",
            257 => "an interrupt",
            258 => "the timer",
            259 => "the reaper",
            number => Sysno::try_from(number as u64).map_or("no system call", Sysno::name),
        }
    }
}

/// The longest stretches of this boot.
#[derive(Debug)]
pub struct Latency {
    on: bool,
    /// The present stretch, if it is measured: how it began, and when.
    present: Option<(Entry, u64)>,
    longest: [u32; WAYS],
}

impl Latency {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<Latency, &str> {
        let mut on = false;
        for word in line.split_ascii_whitespace() {
            if let Some(value) = word.strip_prefix("latency=") {
                on = if value == "1" { true } else { return Err(word) };
            }
        }
        Ok(Latency { on, present: None, longest: [0; WAYS] })
    }

    /// Whether anything is measured.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// The ways with the longest stretches, longest first.
    fn worst(&self) -> heapless::Vec<(usize, u32), SHOWN> {
        let mut worst: heapless::Vec<(usize, u32), SHOWN> = heapless::Vec::new();
        for (way, ticks) in self.longest.iter().copied().enumerate().filter(|(_, ticks)| *ticks > 0) {
            let at = worst.iter().position(|(_, other)| *other < ticks).unwrap_or(worst.len());
            if worst.is_full() && at < SHOWN {
                worst.pop();
            }
            // Where it is full still, this one is the shortest of all.
            let _ = worst.insert(at, (way, ticks));
        }
        worst
    }
}

impl<M: Machine> Kernel<M> {
    /// The kernel was entered.
    #[inline(always)]
    pub(crate) fn stretch_begins(&mut self, entry: Entry) {
        if self.latency.on {
            self.latency.present = Some((entry, self.machine.ticks()));
        }
    }

    /// The kernel is about to let interrupts in.
    #[inline(always)]
    pub(crate) fn stretch_ends(&mut self, resume: Resume) -> Resume {
        if self.latency.present.is_some() {
            self.note_stretch();
        }
        resume
    }

    #[cold]
    fn note_stretch(&mut self) {
        let Some((entry, began)) = self.latency.present.take() else { return };
        let ticks = u32::try_from(self.machine.ticks().saturating_sub(began)).unwrap_or(u32::MAX);
        let longest = &mut self.latency.longest[entry.index()];
        *longest = ticks.max(*longest);
    }

    /// Logs the longest stretches.
    pub(crate) fn report_latency(&mut self) {
        for (way, ticks) in self.latency.worst() {
            let mut line: heapless::String<80> = heapless::String::new();
            // The longest name of a system call has 16 bytes: it fits.
            let _ = writeln!(line, "kernel: interrupts off for {ticks} ticks in {}", Entry::name(way));
            self.machine.log(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_understood_or_refused_and_without_it_nothing_is_measured() {
        assert!(!Latency::parse("quiet exec=6c6174656e63793d31 latency").unwrap().is_on());
        assert!(Latency::parse("quiet latency=1").unwrap().is_on());
        for word in ["latency=", "latency=0", "latency=11"] {
            assert_eq!(Latency::parse(word).unwrap_err(), word);
        }
    }

    #[test]
    fn the_longest_ways_come_first_and_no_more_than_are_shown() {
        let mut latency = Latency::parse("latency=1").unwrap();
        for n in 0..20 {
            latency.longest[Entry::Syscall(n).index()] = (u32::from(n) * 7) % 20;
        }
        latency.longest[Entry::Own.index()] = 100;
        let worst: Vec<u32> = latency.worst().iter().map(|(_, ticks)| *ticks).collect();
        assert_eq!(worst, [100, 19, 18, 17, 16, 15, 14, 13]);
        assert_eq!(Entry::name(latency.worst()[0].0), "the reaper");
    }
}
