//! From the kernel's trace to a file for the Perfetto viewer (<https://ui.perfetto.dev>), in Perfetto's own format.
//!
//! 1. Each thread is a track of its process. What a thread does about a call is a slice of its track, from the call's
//!    delivery to its answer, the thread's next message, or its process's death; a call that it makes is a slice from
//!    there to the answer. Slices of one track nest. A slice that the trace does not see the end of has none.
//! 2. A request's arrows begin at the call of whoever was at work on nothing itself, go through every delivery, every call
//!    that is made at work on it and every answer to these, and end where it is answered. A redelivered call has kept its
//!    id, so the arrow goes on to the next incarnation.
//! 3. The track `processor` shows what runs, and interrupts.
//! 4. What is written is in the order of time.

mod packet;

use abi::{TraceKind, TraceRecord};
use anyhow::{Result, ensure};
use packet::{Event, Type};
use std::collections::{BTreeMap, BTreeSet};

/// The events in a file that `svc trace --raw` wrote.
pub fn decode(bytes: &[u8]) -> Result<Vec<TraceRecord>> {
    let (records, rest) = bytes.as_chunks();
    ensure!(rest.is_empty(), "a trace is a whole number of records; {} bytes are left over", rest.len());
    let records: Vec<TraceRecord> = records.iter().map(TraceRecord::from_bytes).collect();
    ensure!(records.is_sorted_by_key(|record| record.time), "the events of a trace are in the order of time");
    Ok(records)
}

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Track {
    Processor,
    Process(u64),
    /// A process's number, and a thread's.
    Thread(u64, u16),
}

impl Track {
    /// Its number in the file.
    fn uuid(self) -> u64 {
        match self {
            Track::Processor => 1,
            Track::Process(process) => process << 18 | 1 << 17,
            Track::Thread(process, thread) => process << 18 | 1 << 16 | u64::from(thread),
        }
    }

    fn process(self) -> Option<u64> {
        match self {
            Track::Processor => None,
            Track::Process(process) | Track::Thread(process, _) => Some(process),
        }
    }
}

/// A slice that has begun.
#[derive(Debug)]
struct Open {
    /// The call that it is about.
    call: u64,
    /// It is the work on the call, not the call itself.
    work: bool,
}

/// The conversion in progress.
#[derive(Default)]
struct Converter {
    events: Vec<u8>,
    names: BTreeMap<u64, String>,
    tracks: BTreeSet<Track>,
    open: BTreeMap<Track, Vec<Open>>,
    /// The request that a call belongs to: the first call of its chain.
    request: BTreeMap<u64, u64>,
    /// Who made a call that is not answered yet.
    callers: BTreeMap<u64, Track>,
    /// Somebody runs.
    busy: bool,
}

/// The trace as a file.
pub fn to_perfetto(records: &[TraceRecord]) -> Vec<u8> {
    let mut converter = Converter::default();
    // Names of processes that started before the first event was overwritten are not known; the others are, from the
    // start of the trace on.
    for record in records.iter().rev().filter(|record| record.kind() == Some(TraceKind::Start)) {
        let name = String::from_utf8_lossy(&record.name()).trim_end_matches('\0').to_owned();
        converter.names.insert(record.process(), name);
    }
    records.iter().for_each(|record| converter.take(record));
    converter.finish(records.last().map_or(0, |record| record.time))
}

impl Converter {
    fn take(&mut self, record: &TraceRecord) {
        let Some(kind) = record.kind() else { return };
        let at = record.time;
        let (process, thread) = (Track::Process(record.process()), Track::Thread(record.process(), record.thread()));
        match kind {
            TraceKind::Switch => self.runs(at, Some(record.process())),
            TraceKind::Idle => self.runs(at, None),
            TraceKind::Call => self.call(at, thread, record.first, record.second),
            TraceKind::Deliver => self.deliver(at, thread, record.first, record.second),
            TraceKind::Reply => self.reply(at, thread, record.first),
            TraceKind::Fail => self.answered(at, record.first, &record.to_string()),
            TraceKind::Irq => self.instant(at, Track::Processor, &record.to_string(), None),
            TraceKind::Fault => self.instant(at, thread, &record.to_string(), None),
            TraceKind::Start => self.instant(at, process, &record.to_string(), None),
            TraceKind::Death => {
                self.instant(at, process, &record.to_string(), None);
                self.end_process(at, record.process());
            }
        }
    }

    fn name(&self, process: u64) -> String {
        self.names.get(&process).cloned().unwrap_or_else(|| format!("process {process}"))
    }

    fn write(&mut self, track: Track, event: Event<'_>) {
        self.tracks.insert(track);
        self.events.extend(event.packet().into_bytes());
    }

    fn instant(&mut self, at: u64, track: Track, name: &str, flow: Option<(u64, bool)>) {
        self.write(track, Event { at, track: track.uuid(), kind: Type::Instant, name, flow, call: None });
    }

    fn end(&mut self, at: u64, track: Track) {
        self.write(track, Event { at, track: track.uuid(), kind: Type::End, name: "", flow: None, call: None });
    }

    fn runs(&mut self, at: u64, process: Option<u64>) {
        let track = Track::Processor;
        if std::mem::replace(&mut self.busy, process.is_some()) {
            self.end(at, track);
        }
        if let Some(process) = process {
            let name = self.name(process);
            self.write(
                track,
                Event { at, track: track.uuid(), kind: Type::Begin, name: &name, flow: None, call: None },
            );
        }
    }

    /// A slice begins, by which the request of its call comes.
    fn begin(&mut self, at: u64, track: Track, name: &str, open: Open, attempt: u64) {
        let request = *self.request.entry(open.call).or_insert(open.call);
        let (flow, call) = (Some((request, false)), Some((open.call, attempt + 1)));
        self.write(track, Event { at, track: track.uuid(), kind: Type::Begin, name, flow, call });
        self.open.entry(track).or_default().push(open);
    }

    /// Ends the innermost slices of a track, down to number `keep`.
    fn end_down_to(&mut self, at: u64, track: Track, keep: usize) {
        let ended = self.open.get_mut(&track).map_or(0, |slices| slices.drain(keep.min(slices.len())..).count());
        (0..ended).for_each(|_| self.end(at, track));
    }

    fn end_process(&mut self, at: u64, process: u64) {
        let of_process = |track: &Track| matches!(track, Track::Thread(of, _) if *of == process);
        let tracks: Vec<Track> = self.open.keys().copied().filter(of_process).collect();
        tracks.into_iter().for_each(|track| self.end_down_to(at, track, 0));
    }

    fn call(&mut self, at: u64, track: Track, call: u64, queue: u64) {
        // A call that it made before and that is still open ended without an event; it is not waited for any more.
        let slices = self.open.get(&track).map_or(&[][..], Vec::as_slice);
        let work = slices.iter().rposition(|open| open.work);
        let request = work.and_then(|work| self.request.get(&slices[work].call).copied()).unwrap_or(call);
        self.end_down_to(at, track, work.map_or(0, |work| work + 1));
        self.request.insert(call, request);
        self.callers.insert(call, track);
        self.begin(at, track, &format!("call to queue {queue}"), Open { call, work: false }, 0);
    }

    fn deliver(&mut self, at: u64, track: Track, call: u64, attempt: u64) {
        self.end_down_to(at, track, 0);
        let who = match self.callers.get(&call) {
            Some(Track::Thread(process, _)) => self.name(*process),
            _ => "a caller".to_owned(),
        };
        let name = if attempt == 0 { format!("for {who}") } else { format!("for {who}, redelivered") };
        self.begin(at, track, &name, Open { call, work: true }, attempt);
    }

    fn reply(&mut self, at: u64, track: Track, call: u64) {
        let depth = self.open.get(&track).and_then(|slices| slices.iter().position(|open| open.call == call));
        if let Some(depth) = depth {
            self.end_down_to(at, track, depth);
        }
        self.answered(at, call, "answer");
    }

    /// A call is over: its arrows go back to who made it, and end there if it was the request itself.
    fn answered(&mut self, at: u64, call: u64, how: &str) {
        let Some(caller) = self.callers.remove(&call) else { return };
        let slices = self.open.get(&caller).map_or(&[][..], Vec::as_slice);
        let Some(depth) = slices.iter().position(|open| open.call == call && !open.work) else { return };
        // An arrow leads to the begin of a slice, so the answer is one of its own, of no length.
        let request = self.request.get(&call).copied().unwrap_or(call);
        self.instant(at, caller, how, Some((request, request == call)));
        self.end_down_to(at, caller, depth);
    }

    /// What was found, with everything named before.
    fn finish(mut self, end: u64) -> Vec<u8> {
        self.runs(end, None);
        let processes: BTreeSet<u64> = self.tracks.iter().filter_map(|track| track.process()).collect();
        let mut file = packet::track(Track::Processor.uuid(), None, "processor").into_bytes();
        for process in processes {
            let uuid = Track::Process(process).uuid();
            file.extend(packet::process(uuid, process, &self.name(process)).into_bytes());
        }
        for track in &self.tracks {
            if let Track::Thread(process, thread) = *track {
                let parent = Some(Track::Process(process).uuid());
                file.extend(packet::track(track.uuid(), parent, &format!("thread {thread}")).into_bytes());
            }
        }
        file.append(&mut self.events);
        file
    }
}

#[cfg(test)]
mod tests;
