//! The trace: a ring of the last events, in memory of its own that the root account pays for.
//!
//! | | always | with `trace=all`, or after `MachineTraceCalls` |
//! |---|---|---|
//! | interrupts, faults, deaths, starts, failed waits | yes | yes |
//! | switches, calls, deliveries, replies of the general path | yes | yes |
//! | those of the handoff | no | there is no handoff: all take the general path |
//!
//! So the handoff pays nothing for it, and an event is noted in one place.
//!
//! Words of the kernel's command line: `trace=N` for room for N events (rounded up to a power of two, 0: none), `trace=all`,
//! or both, `trace=N,all`.
//!
//! Invariants:
//! 1. The event with number n lies at place n modulo the ring's size; the last `written` of them, or as many as there is
//!    room for, are there.
//! 2. Nothing that a program does takes an event out but later events.
//! 3. Times in the ring are ticks; they become nanoseconds when it is read.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, Mm, Ref};
use crate::process::Process;
use crate::thread::Thread;
use abi::{PAGE_SIZE, TraceKind, TraceRecord};
use heapless::Vec;

/// Events that the ring has room for unless the command line says otherwise.
const USUAL: u32 = 1024;
/// Most of them.
const MOST: u32 = 1 << 20;
/// Events of a page.
const PER_PAGE: u64 = PAGE_SIZE / TraceRecord::SIZE as u64;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events.
    room: u32,
    /// Every call is noted.
    calls: bool,
}

impl Settings {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<Settings, &str> {
        let mut settings = Settings { room: USUAL, calls: false };
        for word in line.split_ascii_whitespace() {
            for part in word.strip_prefix("trace=").into_iter().flat_map(|value| value.split(',')) {
                match part.parse::<u32>() {
                    _ if part == "all" => settings.calls = true,
                    Ok(room) if room <= MOST && part.bytes().all(|byte| byte.is_ascii_digit()) => settings.room = room,
                    _ => return Err(word),
                }
            }
        }
        Ok(settings)
    }
}

/// The ring.
pub(crate) struct Trace {
    /// First of a run of frames; `None`: there is no ring.
    first: Option<Frame>,
    /// Places less one; a power of two less one.
    mask: u64,
    /// Events ever.
    written: u64,
    /// Every call takes the general path, and is noted.
    calls: bool,
}

impl Trace {
    /// An empty ring. `None`: there are not so many frames in a row.
    pub(crate) fn new(settings: Settings, mm: &mut Mm) -> Option<Trace> {
        let mut trace = Trace { first: None, mask: 0, written: 0, calls: settings.calls };
        if settings.room > 0 {
            let places = u64::from(settings.room).next_power_of_two().max(PER_PAGE);
            trace.mask = places - 1;
            trace.first = Some(mm.take_run((places / PER_PAGE) as usize)?);
        }
        Some(trace)
    }

    fn places(&self) -> u64 {
        self.mask + 1
    }

    /// Pages that the ring takes, of contents.
    pub(crate) fn pages(&self) -> u64 {
        self.first.map_or(0, |_| self.places() / PER_PAGE)
    }

    /// Whether every call is noted.
    #[inline(always)]
    pub(crate) fn notes_calls(&self) -> bool {
        self.calls
    }

    /// Where event number `n` lies: its frame, and its first word there.
    #[inline(always)]
    fn place(first: Frame, mask: u64, n: u64) -> (Frame, usize) {
        let place = n & mask;
        (Frame(first.0 + (place / PER_PAGE) as u32), (place % PER_PAGE) as usize * 4)
    }

    #[inline]
    fn note(&mut self, mm: &mut Mm, record: TraceRecord) {
        let Some(first) = self.first else { return };
        let (frame, at) = Trace::place(first, self.mask, self.written);
        let words = &mut mm.bytes_mut(frame).as_chunks_mut::<8>().0[at..at + 4];
        for (place, word) in words.iter_mut().zip(record.words()) {
            *place = word.to_le_bytes();
        }
        self.written += 1;
    }

    /// The number of the first event at or after `from` that is there, and as many as there are from it on.
    fn read(&self, mm: &Mm, from: u64) -> (u64, Vec<TraceRecord, { TraceRecord::MOST }>) {
        let Some(first) = self.first else { return (0, Vec::new()) };
        let start = from.max(self.written.saturating_sub(self.places()));
        let end = self.written.min(start.saturating_add(TraceRecord::MOST as u64));
        let record = |n| {
            let (frame, at) = Trace::place(first, self.mask, n);
            let word = |k| mm.word(frame, at + k);
            TraceRecord { time: word(0), what: word(1), first: word(2), second: word(3) }
        };
        (start, (start..end).map(record).collect())
    }
}

impl<M: Machine> Kernel<M> {
    /// Notes something that happened to a thread.
    #[inline]
    pub(crate) fn trace(&mut self, kind: TraceKind, thread: Ref<Thread>, first: u64, second: u64) {
        let Thread { number, process, .. } = self.threads[thread];
        let process = self.processes[process].id;
        self.trace_raw(TraceRecord::what(kind, number, process), first, second);
    }

    /// Notes something that happened to no thread.
    #[inline]
    pub(crate) fn trace_raw(&mut self, what: u64, first: u64, second: u64) {
        let time = self.machine.ticks();
        self.trace.note(&mut self.mm, TraceRecord { time, what, first, second });
    }

    /// Notes the end of a process or of its incarnation.
    pub(crate) fn trace_death(&mut self, process: Ref<Process>) {
        let Process { id, exit, .. } = self.processes[process];
        self.trace_raw(TraceRecord::what(TraceKind::Death, 0, id), exit as u64, 0);
    }

    /// Notes that a process got its first thread.
    pub(crate) fn trace_start(&mut self, process: Ref<Process>) {
        let Process { id, incarnation, name, .. } = self.processes[process];
        let half = |n: usize| u64::from_le_bytes(name[n..n + 8].try_into().unwrap_or_default());
        let incarnation = u16::try_from(incarnation).unwrap_or(u16::MAX);
        self.trace_raw(TraceRecord::what(TraceKind::Start, incarnation, id), half(0), half(8));
    }

    /// `MachineTrace`: the events from number `from` on, and where they begin, how many they are, and how many there ever
    /// were.
    pub(crate) fn read_trace(&self, from: u64) -> ([u64; 3], Vec<TraceRecord, { TraceRecord::MOST }>) {
        let (start, mut records) = self.trace.read(&self.mm, from);
        records.iter_mut().for_each(|record| record.time = self.clock.nanoseconds(record.time));
        ([start, records.len() as u64, self.trace.written], records)
    }

    /// `MachineTraceCalls`.
    pub(crate) fn trace_calls(&mut self, on: bool) {
        self.trace.calls = on;
        // Found again with the next choice of a thread; until then there is no handoff either way.
        self.handoff_allowed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;
    use crate::mm::DirectMap;
    use proptest::prelude::*;

    fn ring(line: &str) -> (Mm, Trace) {
        let free = PhysRange { start: PAGE_SIZE, end: 128 * PAGE_SIZE };
        let mut mm = Mm::new(DirectMap::buffer(128 * 4096), &[free], PhysRange::default()).unwrap();
        let free = mm.free_frames();
        let trace = Trace::new(Settings::parse(line).unwrap(), &mut mm).unwrap();
        assert_eq!(trace.pages(), free - mm.free_frames());
        (mm, trace)
    }

    fn record(n: u64) -> TraceRecord {
        TraceRecord { time: n, what: n << 24 | 3, first: !n, second: n * n }
    }

    #[test]
    fn the_words_of_the_command_line_set_room_and_calls() {
        let parsed = |line| Settings::parse(line).map(|s| (s.room, s.calls));
        assert_eq!(parsed("quiet"), Ok((USUAL, false)));
        assert_eq!(parsed("trace=0"), Ok((0, false)));
        assert_eq!(parsed("trace=all x"), Ok((USUAL, true)));
        assert_eq!(parsed("trace=5000,all"), Ok((5000, true)));
        for word in ["trace=", "trace=-1", "trace=+1", "trace=1048577", "trace=every", "trace=1,"] {
            assert_eq!(parsed(word), Err(word));
        }
    }

    #[test]
    fn without_room_nothing_is_noted() {
        let (mut mm, mut trace) = ring("trace=0");
        trace.note(&mut mm, record(1));
        assert_eq!(trace.read(&mm, 0), (0, Vec::new()));
        assert_eq!(trace.pages(), 0);
    }

    proptest! {
        #[test]
        fn the_ring_holds_the_last_events_in_their_order(count in 0u64..1500, from in 0u64..1600) {
            let (mut mm, mut trace) = ring("trace=200");
            (0..count).for_each(|n| trace.note(&mut mm, record(n)));
            let (start, records) = trace.read(&mm, from);
            prop_assert_eq!(start, from.max(count.saturating_sub(256)));
            prop_assert_eq!(records.len() as u64, count.saturating_sub(start).min(TraceRecord::MOST as u64));
            prop_assert!(records.iter().enumerate().all(|(k, r)| *r == record(start + k as u64)));
        }
    }
}
