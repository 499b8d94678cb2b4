//! The packets of a Perfetto trace, as far as a trace of ours needs them.
//!
//! 1. Numbers of fields are those of the published schema (`perfetto/protos/perfetto/trace/`: `trace.proto`,
//!    `trace_packet.proto`, `track_event/track_event.proto` and its neighbours).
//! 2. What is written can be read with any protobuf reader: keys, lengths and numbers are varints, ids of flows eight bytes.

/// A message that is being written (protobuf's wire format).
#[derive(Default, Clone, Debug)]
pub struct Message(Vec<u8>);

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    /// A number, an enumeration or a truth.
    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    /// A number of eight bytes.
    pub fn fixed(mut self, field: u64, value: u64) -> Message {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A text.
    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    /// A message in the message.
    pub fn message(self, field: u64, message: Message) -> Message {
        self.bytes(field, &message.0)
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes of the message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// All packets come from one writer.
const WRITER: u64 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`: nothing before this packet is needed to read it.
const FROM_HERE: u64 = 1;

/// A packet of a trace (`Trace.packet`), without its time.
pub fn packet(field: u64, content: Message) -> Message {
    let packet = Message::default().number(10, WRITER).number(13, FROM_HERE).message(field, content);
    Message::default().message(1, packet)
}

/// A packet that describes a track (`TrackDescriptor`).
pub fn track(uuid: u64, parent: Option<u64>, name: &str) -> Message {
    let track = Message::default().number(1, uuid).text(2, name);
    packet(60, parent.into_iter().fold(track, |track, parent| track.number(5, parent)))
}

/// A packet that describes the track of a process (`ProcessDescriptor`).
pub fn process(uuid: u64, pid: u64, name: &str) -> Message {
    let pid = pid.min(i32::MAX as u64);
    packet(60, Message::default().number(1, uuid).message(3, Message::default().number(1, pid).text(6, name)))
}

/// What happens on a track (`TrackEvent.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// Something that happens on a track (`TrackEvent`).
#[derive(Debug)]
pub struct Event<'n> {
    pub at: u64,
    pub track: u64,
    pub kind: Type,
    pub name: &'n str,
    /// The flow that comes by, and whether it ends here.
    pub flow: Option<(u64, bool)>,
    /// The call that it is about, and its attempt.
    pub call: Option<(u64, u64)>,
}

impl Event<'_> {
    /// The packet.
    pub fn packet(&self) -> Message {
        let mut event = Message::default().number(9, self.kind as u64).number(11, self.track);
        if self.kind != Type::End {
            event = event.text(22, "tessera").text(23, self.name);
        }
        if let Some((id, last)) = self.flow {
            event = event.fixed(if last { 48 } else { 47 }, id);
        }
        if let Some((call, attempt)) = self.call {
            // `DebugAnnotation`: a name, and a number that is shown in hexadecimal; or a plain one.
            event = event.message(4, Message::default().text(10, "call").number(7, call));
            event = event.message(4, Message::default().text(10, "attempt").number(3, attempt));
        }
        let packet = Message::default().number(8, self.at).number(10, WRITER).message(11, event);
        Message::default().message(1, packet)
    }
}
