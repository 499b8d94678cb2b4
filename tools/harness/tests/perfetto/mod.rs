//! Reads a Perfetto trace with another library's protobuf, by the published schema, and looks at it as the viewer's
//! importer does.
//!
//! 1. Messages have the names and numbers of `perfetto/protos/perfetto/trace/`; of each, the fields that are looked at.
//! 2. Slices of a track are a stack; a flow is active from its first event to its last, and each event of it makes an arrow
//!    from the slice of the event before.

use prost::Message;
use std::collections::BTreeMap;

#[derive(Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

#[derive(Message)]
struct TracePacket {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(uint32, optional, tag = "13")]
    sequence_flags: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "3")]
    process: Option<ProcessDescriptor>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
}

#[derive(Message)]
struct ProcessDescriptor {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(string, optional, tag = "6")]
    process_name: Option<String>,
}

#[derive(Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<DebugAnnotation>,
    #[prost(int32, optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    terminating_flow_ids: Vec<u64>,
}

#[derive(Message)]
struct DebugAnnotation {
    #[prost(uint64, optional, tag = "3")]
    uint_value: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pointer_value: Option<u64>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

/// A slice, or something that takes no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The process of its track, if it has one: number and name.
    pub process: Option<(i32, String)>,
    /// The name of its track.
    pub track: String,
    pub name: String,
    pub start: u64,
    pub end: Option<u64>,
    /// How many slices it is in.
    pub depth: usize,
    pub call: Option<u64>,
    pub attempt: Option<u64>,
}

/// What a viewer shows of a trace.
#[derive(Debug, Default)]
pub struct Shown {
    pub slices: Vec<Slice>,
    /// The slices that each flow comes by, in their order; and whether it ends.
    pub flows: BTreeMap<u64, (Vec<usize>, bool)>,
}

impl Shown {
    /// The slice in which this event is, with the flows that come by it.
    fn flows(&mut self, event: &TrackEvent, slice: usize) {
        for flow in &event.flow_ids {
            let (slices, ended) = self.flows.entry(*flow).or_default();
            assert!(!*ended, "flow {flow:#x} goes on after its end");
            slices.push(slice);
        }
        for flow in &event.terminating_flow_ids {
            let (slices, ended) = self.flows.get_mut(flow).unwrap_or_else(|| panic!("flow {flow:#x} ends unbegun"));
            slices.push(slice);
            assert!(!std::mem::replace(ended, true), "flow {flow:#x} ends twice");
        }
    }

    /// The flows that a slice is in.
    pub fn way(&self, flow: u64) -> Vec<&Slice> {
        self.flows[&flow].0.iter().map(|slice| &self.slices[*slice]).collect()
    }
}

/// What the tracks of a trace are called.
fn tracks(packets: &[TracePacket]) -> BTreeMap<u64, (Option<(i32, String)>, String)> {
    let mut tracks = BTreeMap::<u64, (Option<(i32, String)>, String)>::new();
    for track in packets.iter().filter_map(|packet| packet.track_descriptor.as_ref()) {
        let process = track.process.as_ref().map(|process| {
            (process.pid.expect("a process has a number"), process.process_name.clone().expect("and a name"))
        });
        let parent =
            track.parent_uuid.map(|parent| tracks.get(&parent).expect("a parent is described first").0.clone());
        let name = track.name.clone().or_else(|| process.clone().map(|(_, name)| name)).expect("a track has a name");
        let uuid = track.uuid.filter(|uuid| *uuid != 0).expect("a track has a number, and 0 is none");
        let old = tracks.insert(uuid, (process.or(parent.flatten()), name));
        assert!(old.is_none(), "track {uuid:#x} is described twice");
    }
    tracks
}

/// Reads a trace; panics at the first thing that a viewer would complain about or leave out.
pub fn read(file: &[u8]) -> Shown {
    let packets = Trace::decode(file).expect("it is a trace").packet;
    let tracks = tracks(&packets);
    let (mut shown, mut now) = (Shown::default(), 0);
    let mut open: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    assert!(packets.first().is_none_or(|first| first.sequence_flags == Some(1)), "the first packet begins a sequence");
    for packet in &packets {
        assert_eq!(packet.trusted_packet_sequence_id, Some(1), "one writer has written it all");
        let Some(event) = &packet.track_event else { continue };
        let at = packet.timestamp.expect("an event has a time");
        assert!(at >= now, "time goes back from {now} to {at}");
        now = at;
        let uuid = event.track_uuid.expect("an event is on a track");
        let (process, track) = tracks.get(&uuid).expect("the track of an event is described").clone();
        let stack = open.entry(uuid).or_default();
        let kind = event.r#type.expect("an event has a type");
        if kind == 2 {
            let slice = stack.pop().expect("a slice that ends has begun");
            shown.slices[slice].end = Some(at);
            continue;
        }
        let name = event.name.clone().expect("it has a name");
        let value = |wanted: &str| {
            let note = event.debug_annotations.iter().find(|note| note.name.as_deref() == Some(wanted))?;
            note.uint_value.or(note.pointer_value)
        };
        let (depth, call, attempt) = (stack.len(), value("call"), value("attempt"));
        let slice = shown.slices.len();
        match kind {
            1 => stack.push(slice),
            3 => {}
            _ => panic!("an event of type {kind}"),
        }
        let end = (kind == 3).then_some(at);
        shown.slices.push(Slice { process, track, name, start: at, end, depth, call, attempt });
        shown.flows(event, slice);
    }
    shown
}
