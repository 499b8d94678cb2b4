//! The trace: a ring of the last events, in memory of its own that the root account pays for. It is always on: calls,
//! deliveries and replies of the handoff are noted like those of the general path, at a dozen instructions each.
//!
//! Words of the kernel's command line: `trace=N` for room for N events (rounded up to a power of two), `trace=0` for no
//! ring: then the entry code leads to handoffs that have no trace compiled in.
//!
//! Invariants:
//! 1. The last events are there, as many as there is room for, in their order.
//! 2. Nothing that a program does takes an event out but later events.
//! 3. Times in the ring are ticks; they become nanoseconds when it is read.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Mm, Ref, Ring};
use crate::process::Process;
use crate::thread::Thread;
use abi::{TraceKind, TraceRecord};
use heapless::Vec;

/// Events that the ring has room for unless the command line says otherwise.
const USUAL: u32 = 2048;
/// Most of them.
const MOST: u32 = 1 << 20;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events.
    room: u32,
}

impl Settings {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<Settings, &str> {
        let mut settings = Settings { room: USUAL };
        for word in line.split_ascii_whitespace() {
            let Some(value) = word.strip_prefix("trace=") else { continue };
            match value.parse::<u32>() {
                Ok(room) if room <= MOST && value.bytes().all(|byte| byte.is_ascii_digit()) => settings.room = room,
                _ => return Err(word),
            }
        }
        Ok(settings)
    }
}

/// The ring, if there is one.
pub(crate) struct Trace(Option<Ring>);

impl Trace {
    /// An empty ring. `None`: there are not so many frames in a row.
    pub(crate) fn new(settings: Settings, mm: &mut Mm) -> Option<Trace> {
        Some(Trace(match settings.room {
            0 => None,
            room => Some(Ring::new(mm, room)?),
        }))
    }

    /// Whether there is a ring.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Pages that the ring takes, of contents.
    pub(crate) fn pages(&self) -> u64 {
        self.0.as_ref().map_or(0, Ring::pages)
    }

    #[inline(always)]
    fn note(&mut self, record: TraceRecord) {
        if let Some(ring) = &mut self.0 {
            ring.push(record.words());
        }
    }

    /// The number of the first event at or after `from` that is there, as many as there are from it on, and how many there
    /// ever were.
    fn read(&self, from: u64) -> (u64, Vec<TraceRecord, { TraceRecord::MOST }>, u64) {
        let Some(ring) = &self.0 else { return (0, Vec::new(), 0) };
        let written = ring.written();
        let start = from.max(written.saturating_sub(ring.places()));
        let end = written.min(start.saturating_add(TraceRecord::MOST as u64));
        let record = |n| {
            let [time, what, first, second] = ring.get(n);
            TraceRecord { time, what, first, second }
        };
        (start, (start..end).map(record).collect(), written)
    }
}

impl<M: Machine> Kernel<M> {
    /// Notes something that happened to a thread.
    #[inline]
    pub(crate) fn trace(&mut self, kind: TraceKind, thread: Ref<Thread>, first: u64, second: u64) {
        self.trace_at(self.machine.ticks(), kind, thread, first, second);
    }

    /// The same, at a time that is known already.
    #[inline(always)]
    pub(crate) fn trace_at(&mut self, time: u64, kind: TraceKind, thread: Ref<Thread>, first: u64, second: u64) {
        let what = kind as u64 | self.threads[thread].label;
        self.trace.note(TraceRecord { time, what, first, second });
    }

    /// Notes something that happened to no thread.
    #[inline]
    pub(crate) fn trace_raw(&mut self, what: u64, first: u64, second: u64) {
        let time = self.machine.ticks();
        self.trace.note(TraceRecord { time, what, first, second });
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
        let (start, mut records, written) = self.trace.read(from);
        records.iter_mut().for_each(|record| record.time = self.clock.nanoseconds(record.time));
        ([start, records.len() as u64, written], records)
    }

    /// Whether there is a trace.
    pub fn traces(&self) -> bool {
        self.trace.is_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;
    use crate::mm::DirectMap;
    use abi::PAGE_SIZE;
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
    fn the_words_of_the_command_line_set_the_room() {
        let parsed = |line| Settings::parse(line).map(|s| s.room);
        assert_eq!(parsed("quiet"), Ok(USUAL));
        assert_eq!(parsed("trace=0"), Ok(0));
        assert_eq!(parsed("trace=5000 x"), Ok(5000));
        for word in ["trace=", "trace=-1", "trace=+1", "trace=1048577", "trace=every", "trace=1,"] {
            assert_eq!(parsed(word), Err(word));
        }
    }

    #[test]
    fn without_room_nothing_is_noted() {
        let (_, mut trace) = ring("trace=0");
        trace.note(record(1));
        assert_eq!(trace.read(0), (0, Vec::new(), 0));
        assert_eq!(trace.pages(), 0);
        assert!(!trace.is_on());
    }

    proptest! {
        #[test]
        fn the_ring_holds_the_last_events_in_their_order(count in 0u64..1500, from in 0u64..1600) {
            let (_mm, mut trace) = ring("trace=200");
            (0..count).for_each(|n| trace.note(record(n)));
            let (start, records, written) = trace.read(from);
            prop_assert_eq!(start, from.max(count.saturating_sub(256)));
            prop_assert_eq!(records.len() as u64, count.saturating_sub(start).min(TraceRecord::MOST as u64));
            prop_assert_eq!(written, count);
            prop_assert!(records.iter().enumerate().all(|(k, r)| *r == record(start + k as u64)));
        }
    }
}
