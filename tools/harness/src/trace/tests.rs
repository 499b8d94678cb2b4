//! Traces made by hand, and what must be true of the file that comes of any.

#[path = "../../tests/perfetto/mod.rs"]
mod perfetto;

use super::*;
use perfetto::read;

const APP: u64 = 9;
const FS: u64 = 4;
const BLOCK: u64 = 3;

fn event(time: u64, kind: TraceKind, process: u64, first: u64, second: u64) -> TraceRecord {
    // One thread a process, with its process's number.
    let thread = if matches!(kind, TraceKind::Death) { 0 } else { process as u16 };
    TraceRecord { time, what: TraceRecord::what(kind, thread, process), first, second }
}

/// An app's call to fs, whose call to block is open when fs dies; the next incarnation gets the app's call again.
fn over_a_death() -> Vec<TraceRecord> {
    use TraceKind::*;
    let start = |time, process, name: &[u8; 8], incarnation| TraceRecord {
        time,
        what: TraceRecord::what(Start, incarnation, process),
        first: u64::from_le_bytes(*name),
        second: 0,
    };
    vec![
        start(0, FS, b"fs\0\0\0\0\0\0", 1),
        start(0, APP, b"cp\0\0\0\0\0\0", 1),
        event(100, Switch, APP, 0, 0),
        event(1000, Call, APP, 0x11, 7),
        event(1000, Deliver, FS, 0x11, 0),
        event(1100, Switch, FS, 0, 0),
        event(2000, Call, FS, 0x22, 8),
        event(2000, Deliver, BLOCK, 0x22, 0),
        event(2100, Irq, 0, 3, 0),
        event(3000, Death, FS, 137, 0),
        start(4000, FS, b"fs\0\0\0\0\0\0", 2),
        event(5000, Deliver, FS, 0x11, 1),
        event(5100, Call, FS, 0x33, 8),
        event(5200, Deliver, BLOCK, 0x33, 0),
        event(6000, Reply, BLOCK, 0x33, 0),
        event(7000, Reply, FS, 0x11, 0),
        event(7100, Idle, 0, 0, 0),
    ]
}

#[test]
fn a_request_s_arrows_go_through_every_server_and_over_the_death_of_one() {
    let shown = read(&to_perfetto(&over_a_death()));
    assert_eq!(shown.flows.len(), 1, "all is one request");
    let way: Vec<(&str, &str)> = shown
        .way(0x11)
        .into_iter()
        .map(|slice| (slice.process.as_ref().map_or("", |(_, name)| name.as_str()), slice.name.as_str()))
        .collect();
    let expected = [
        ("cp", "call to queue 7"),
        ("fs", "for cp"),
        ("fs", "call to queue 8"),
        ("process 3", "for fs"),
        ("fs", "for cp, redelivered"),
        ("fs", "call to queue 8"),
        ("process 3", "for fs"),
        ("fs", "answer"),
        ("cp", "answer"),
    ];
    assert_eq!(way, expected);
    assert!(shown.flows[&0x11].1, "its arrows have an end");
    let again = shown.slices.iter().find(|slice| slice.name == "for cp, redelivered").expect("it is shown");
    assert_eq!((again.start, again.end, again.call, again.attempt), (5000, Some(7000), Some(0x11), Some(2)));
    assert_eq!((again.track.as_str(), again.process.clone()), ("thread 4", Some((4, "fs".to_owned()))));
}

#[test]
fn the_processor_shows_what_runs_and_interrupts() {
    let shown = read(&to_perfetto(&over_a_death()));
    let track = shown.slices.iter().filter(|slice| slice.track == "processor");
    let seen: Vec<(&str, u64, Option<u64>)> =
        track.map(|slice| (slice.name.as_str(), slice.start, slice.end)).collect();
    assert_eq!(seen, [("cp", 100, Some(1100)), ("fs", 1100, Some(7100)), ("irq 3", 2100, Some(2100))]);
}

#[test]
fn any_part_of_a_trace_makes_a_sound_file() {
    let whole = over_a_death();
    for from in 0..whole.len() {
        for to in from..=whole.len() {
            let shown = read(&to_perfetto(&whole[from..to]));
            assert!(to - from < 4 || !shown.slices.is_empty());
        }
    }
}

#[test]
fn numbers_of_any_size_are_written_as_they_are() {
    let mut records = over_a_death();
    let last = u64::MAX;
    records.extend([
        event(last - 1, TraceKind::Call, APP, last, last),
        event(last - 1, TraceKind::Deliver, FS, last, last - 1),
        event(last, TraceKind::Reply, FS, last, 0),
    ]);
    let shown = read(&to_perfetto(&records));
    let call = shown.slices.iter().find(|slice| slice.call == Some(last)).expect("the call is shown");
    assert_eq!(
        (call.start, call.end, call.name.as_str()),
        (last - 1, Some(last), "call to queue 18446744073709551615")
    );
    assert!(shown.slices.iter().any(|slice| slice.attempt == Some(last)), "an attempt is counted from one");
    assert!(shown.flows[&last].1);
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let bytes: Vec<u8> = over_a_death().iter().flat_map(TraceRecord::to_bytes).collect();
    assert_eq!(decode(&bytes).expect("it is whole"), over_a_death());
    assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    let backwards: Vec<u8> = over_a_death().iter().rev().flat_map(TraceRecord::to_bytes).collect();
    assert!(decode(&backwards).is_err_and(|error| error.to_string().contains("order of time")));
}
