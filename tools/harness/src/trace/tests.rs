//! Traces made by hand, and what must be true of the file that comes of any.

use super::*;

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

/// What a viewer relies on: arrows begin once, go forwards, end at most once and lie in slices; slices of a track nest.
fn check(document: &Value) {
    let events = document["traceEvents"].as_array().expect("a list of events");
    let number = |event: &Value, key: &str| event[key].as_f64().unwrap_or_else(|| panic!("{key} in {event}"));
    let track = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64());
    let slices: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    let range = |slice: &Value| (number(slice, "ts"), number(slice, "ts") + number(slice, "dur"));
    let mut arrows: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["cat"] == "request") {
        arrows.entry(event["id"].as_u64().expect("an id")).or_default().push(event);
        let at = number(event, "ts");
        let inside = |slice: &&&Value| track(slice) == track(event) && range(slice).0 <= at && at <= range(slice).1;
        assert!(slices.iter().any(|slice| inside(&slice)), "{event} is in no slice");
    }
    for points in arrows.values() {
        let steps: Vec<&str> = points.iter().map(|point| point["ph"].as_str().unwrap_or("")).collect();
        assert_eq!(steps[0], "s");
        assert!(steps[1..].iter().all(|step| *step != "s"), "{steps:?}");
        assert!(steps[..steps.len() - 1].iter().all(|step| *step != "f"), "{steps:?}");
        assert!(points.is_sorted_by_key(|point| number(point, "ts")));
    }
    for (n, slice) in slices.iter().enumerate() {
        let (start, end) = range(slice);
        for other in slices[n + 1..].iter().filter(|other| track(other) == track(slice)) {
            let (from, to) = range(other);
            let apart = to <= start || end <= from;
            let nested = start <= from && to <= end || from <= start && end <= to;
            assert!(apart || nested, "{slice} and {other} overlap");
        }
    }
}

#[test]
fn a_request_s_arrows_go_through_every_server_and_over_the_death_of_one() {
    let document = to_json(&over_a_death());
    check(&document);
    let text = document.to_string();
    let again: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(again, document);
    let arrows = again["traceEvents"].as_array().expect("events").iter().filter(|event| event["cat"] == "request");
    let way: Vec<(&str, u64)> =
        arrows.map(|a| (a["ph"].as_str().unwrap_or(""), a["pid"].as_u64().unwrap_or(0))).collect();
    let expected =
        [("s", APP), ("t", FS), ("t", FS), ("t", BLOCK), ("t", FS), ("t", FS), ("t", BLOCK), ("t", FS), ("f", APP)];
    assert_eq!(way, expected);
    assert!(text.contains("for cp, redelivered") && text.contains(r#""name":"fs""#), "{text}");
}

#[test]
fn any_part_of_a_trace_makes_a_sound_file() {
    let whole = over_a_death();
    for from in 0..whole.len() {
        for to in from..=whole.len() {
            check(&to_json(&whole[from..to]));
        }
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let bytes: Vec<u8> = over_a_death().iter().flat_map(TraceRecord::to_bytes).collect();
    assert_eq!(decode(&bytes).expect("it is whole"), over_a_death());
    assert!(decode(&bytes[..bytes.len() - 1]).is_err());
}
