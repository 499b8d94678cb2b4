//! From the kernel's trace to a file for the Perfetto viewer (<https://ui.perfetto.dev>), in the trace event format that
//! Chrome made: JSON, times in microseconds.
//!
//! 1. Each thread is a track of its process. What a thread does about a call is a slice of its track, from the call's
//!    delivery to its answer, the thread's next message, or its process's death; a call that it makes is a slice from
//!    there to the answer. Slices of one track nest.
//! 2. A request's arrows begin at the call of whoever was at work on nothing itself, go through every delivery, every call
//!    that is made at work on it and every answer to these, and end where it is answered. A redelivered call has kept its
//!    id, so the arrow goes on to the next incarnation.
//! 3. Process 0 shows what the processor runs, and interrupts.

use abi::{TraceKind, TraceRecord};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The events in a file that `svc trace --raw` wrote.
pub fn decode(bytes: &[u8]) -> Result<Vec<TraceRecord>> {
    let (records, rest) = bytes.as_chunks();
    ensure!(rest.is_empty(), "a trace is a whole number of records; {} bytes are left over", rest.len());
    Ok(records.iter().map(TraceRecord::from_bytes).collect())
}

/// Process and thread.
type Track = (u64, u16);

/// A slice that has begun.
#[derive(Debug)]
struct Open {
    name: String,
    start: u64,
    /// The call that it is about.
    call: u64,
    /// It is the work on the call, not the call itself.
    work: bool,
    attempt: u64,
}

/// The conversion in progress.
#[derive(Default)]
struct Converter {
    events: Vec<Value>,
    names: BTreeMap<u64, String>,
    tracks: BTreeSet<Track>,
    open: BTreeMap<Track, Vec<Open>>,
    /// The request that a call belongs to: the first call of its chain.
    request: BTreeMap<u64, u64>,
    /// Requests whose arrows have a first point.
    begun: BTreeSet<u64>,
    /// Who made a call that is not answered yet.
    callers: BTreeMap<u64, Track>,
    runs: Option<(Track, u64)>,
}

/// Microseconds.
fn time(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

/// The trace as a JSON document.
pub fn to_json(records: &[TraceRecord]) -> Value {
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
        let (at, track) = (record.time, (record.process(), record.thread()));
        match kind {
            TraceKind::Switch => self.runs(at, Some(track)),
            TraceKind::Idle => self.runs(at, None),
            TraceKind::Call => self.call(at, track, record.first, record.second),
            TraceKind::Deliver => self.deliver(at, track, record.first, record.second),
            TraceKind::Reply => self.reply(at, track, record.first),
            TraceKind::Fail => self.fail(at, record.first),
            TraceKind::Irq => self.instant(at, (0, 0), format!("irq {}", record.first), "t"),
            TraceKind::Fault => self.instant(at, track, record.to_string(), "p"),
            TraceKind::Start => self.instant(at, (track.0, 0), record.to_string(), "p"),
            TraceKind::Death => {
                self.instant(at, (track.0, 0), record.to_string(), "p");
                self.end_process(at, track.0);
            }
        }
    }

    fn name(&self, process: u64) -> String {
        self.names.get(&process).cloned().unwrap_or_else(|| format!("process {process}"))
    }

    fn runs(&mut self, at: u64, track: Option<Track>) {
        let before = std::mem::replace(&mut self.runs, track.map(|track| (track, at)));
        if let Some(((process, _), start)) = before {
            self.slice((0, 0), &self.name(process), start, at, json!({}));
        }
    }

    fn slice(&mut self, (pid, tid): Track, name: &str, start: u64, end: u64, args: Value) {
        self.events.push(json!({"ph": "X", "name": name, "cat": "tessera", "pid": pid, "tid": tid,
            "ts": time(start), "dur": time(end - start), "args": args}));
    }

    fn instant(&mut self, at: u64, (pid, tid): Track, name: String, scope: &str) {
        self.tracks.insert((pid, tid));
        self.events.push(json!({"ph": "i", "name": name, "cat": "tessera", "pid": pid, "tid": tid, "ts": time(at),
            "s": scope}));
    }

    /// A point of a request's arrows, in the innermost slice that is open there; `last` ends them.
    fn arrow(&mut self, at: u64, (pid, tid): Track, request: u64, last: bool) {
        let first = self.begun.insert(request);
        let step = if first {
            "s"
        } else if last {
            "f"
        } else {
            "t"
        };
        self.events.push(json!({"ph": step, "name": "request", "cat": "request", "id": request, "bp": "e",
            "pid": pid, "tid": tid, "ts": time(at)}));
    }

    fn begin(&mut self, track: Track, open: Open) {
        self.tracks.insert(track);
        self.open.entry(track).or_default().push(open);
    }

    /// Ends the innermost slices of a track, down to number `keep`.
    fn end_down_to(&mut self, at: u64, track: Track, keep: usize) {
        let mut ended = self.open.get_mut(&track).map(|slices| slices.split_off(keep.min(slices.len())));
        for Open { name, start, call, attempt, .. } in ended.iter_mut().flatten().rev() {
            let args = json!({"call": format!("{call:#x}"), "attempt": *attempt + 1});
            self.slice(track, name, *start, at, args);
        }
    }

    fn end_process(&mut self, at: u64, process: u64) {
        let tracks: Vec<Track> = self.open.keys().copied().filter(|track| track.0 == process).collect();
        tracks.into_iter().for_each(|track| self.end_down_to(at, track, 0));
    }

    /// The call that a track is at work on.
    fn work(&self, track: Track) -> Option<u64> {
        self.open.get(&track)?.iter().rev().find(|open| open.work).map(|open| open.call)
    }

    fn call(&mut self, at: u64, track: Track, call: u64, queue: u64) {
        // A call that it made before and that is still open ended without an event; it is not waited for any more.
        let slices = self.open.get(&track).map_or(&[][..], Vec::as_slice);
        let keep = slices.iter().rposition(|open| open.work).map_or(0, |at| at + 1);
        self.end_down_to(at, track, keep);
        let work = self.work(track);
        let request = work.and_then(|work| self.request.get(&work).copied()).unwrap_or(call);
        self.request.insert(call, request);
        self.callers.insert(call, track);
        self.begin(track, Open { name: format!("call to queue {queue}"), start: at, call, work: false, attempt: 0 });
        self.arrow(at, track, request, false);
    }

    fn deliver(&mut self, at: u64, track: Track, call: u64, attempt: u64) {
        self.end_down_to(at, track, 0);
        let who = self.callers.get(&call).map_or_else(|| "a caller".into(), |(process, _)| self.name(*process));
        let name = if attempt == 0 { format!("for {who}") } else { format!("for {who}, redelivered") };
        self.begin(track, Open { name, start: at, call, work: true, attempt });
        if let Some(request) = self.request.get(&call).copied() {
            self.arrow(at, track, request, false);
        }
    }

    fn reply(&mut self, at: u64, track: Track, call: u64) {
        let depth = self.open.get(&track).and_then(|slices| slices.iter().position(|open| open.call == call));
        if let Some(depth) = depth {
            self.end_down_to(at, track, depth);
        }
        self.answered(at, call);
    }

    fn fail(&mut self, at: u64, call: u64) {
        self.answered(at, call);
    }

    /// A call is over: its arrows go back to who made it, and end there if it was the request itself.
    fn answered(&mut self, at: u64, call: u64) {
        let Some(caller) = self.callers.remove(&call) else { return };
        let slices = self.open.get(&caller).map_or(&[][..], Vec::as_slice);
        let Some(depth) = slices.iter().position(|open| open.call == call && !open.work) else { return };
        // Within the slice that ends here, by the shortest time that can be told.
        let within = slices.last().map_or(at, |open| (at - 1).max(open.start));
        if let Some(request) = self.request.get(&call).copied() {
            self.arrow(within, caller, request, request == call);
        }
        self.end_down_to(at, caller, depth);
    }

    /// Ends what is open, and names everything.
    fn finish(mut self, end: u64) -> Value {
        self.runs(end, None);
        let tracks: Vec<Track> = self.open.keys().copied().collect();
        tracks.into_iter().for_each(|track| self.end_down_to(end, track, 0));
        self.tracks.insert((0, 0));
        self.names.insert(0, "processor".into());
        let mut named: Vec<Value> = Vec::new();
        for (pid, tid) in &self.tracks {
            let (process, thread) = (self.name(*pid), format!("thread {tid}"));
            named.push(json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": process}}));
            named.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": thread}}));
        }
        named.append(&mut self.events);
        json!({"displayTimeUnit": "ns", "traceEvents": named})
    }
}

#[cfg(test)]
mod tests;
