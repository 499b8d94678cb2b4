//! Exec mode's wire format on COM1.
//!
//! A frame is [`START`], a channel byte, a little-endian `u16` length of at most [`MAX_PAYLOAD`], and the payload. From
//! the guest, everything outside frames is log text; to the guest there is nothing outside frames. The decoder loses no
//! byte: what is no well-formed frame comes out as log text.

/// The first byte of a frame.
pub const START: u8 = 0x1d;
/// The longest payload.
pub const MAX_PAYLOAD: usize = 4096;

/// To the guest: bytes of the command's standard input.
pub const STDIN: u8 = b'I';
/// To the guest: the end of the command's standard input; no payload.
pub const STDIN_END: u8 = b'Z';

const STDOUT: u8 = b'O';
const STDERR: u8 = b'E';
const STATUS: u8 = b'X';
const READY: u8 = b'R';

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Kernel and server log.
    Log(Vec<u8>),
    /// The command wrote to its standard output.
    Stdout(Vec<u8>),
    /// The command wrote to its standard error.
    Stderr(Vec<u8>),
    /// The command ended; nothing of it follows.
    Status(i32),
    /// The console takes input from now on. What is sent earlier may be lost in the UART's reset.
    Ready,
}

/// The frame that carries `payload`, of at most [`MAX_PAYLOAD`] bytes, on `channel`.
pub fn encode(channel: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= MAX_PAYLOAD, "a frame carries at most {MAX_PAYLOAD} bytes");
    let mut frame = vec![START, channel];
    frame.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Splits the guest's bytes into events, in whatever pieces they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes more bytes and returns what they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let (mut events, mut at) = (Vec::new(), 0);
        while at < self.pending.len() {
            let rest = &self.pending[at..];
            match parse(rest) {
                Parsed::Frame(event, length) => {
                    events.push(event);
                    at += length;
                }
                Parsed::Text(length) => {
                    log(&mut events, &rest[..length]);
                    at += length;
                }
                Parsed::Incomplete => break,
            }
        }
        self.pending.drain(..at);
        events
    }

    /// The machine is gone: what was held back for a frame that never ended.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

enum Parsed {
    Frame(Event, usize),
    Text(usize),
    Incomplete,
}

/// Looks at the beginning of `bytes`, which is not empty.
fn parse(bytes: &[u8]) -> Parsed {
    if bytes[0] != START {
        return Parsed::Text(bytes.iter().position(|byte| *byte == START).unwrap_or(bytes.len()));
    }
    let Some(channel) = bytes.get(1) else { return Parsed::Incomplete };
    if ![STDOUT, STDERR, STATUS, READY].contains(channel) {
        return Parsed::Text(1);
    }
    let Some(&[low, high]) = bytes.get(2..4) else { return Parsed::Incomplete };
    let length = usize::from(u16::from_le_bytes([low, high]));
    if length > MAX_PAYLOAD || (*channel == STATUS && length != 4) {
        return Parsed::Text(1);
    }
    let Some(payload) = bytes.get(4..4 + length) else { return Parsed::Incomplete };
    let event = match (*channel, payload) {
        (STDOUT, payload) => Event::Stdout(payload.to_vec()),
        (STDERR, payload) => Event::Stderr(payload.to_vec()),
        (STATUS, &[a, b, c, d]) => Event::Status(i32::from_le_bytes([a, b, c, d])),
        _ => Event::Ready,
    };
    Parsed::Frame(event, 4 + length)
}

/// Adds log text, to the event before it where that is log text too.
fn log(events: &mut Vec<Event>, text: &[u8]) {
    match events.last_mut() {
        Some(Event::Log(before)) => before.extend_from_slice(text),
        _ => events.push(Event::Log(text.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = b"boot\n".to_vec();
        bytes.extend(encode(READY, b""));
        bytes.extend(encode(STDOUT, b"a\x1dO\0\0b"));
        bytes.extend(b"log between");
        bytes.extend(encode(STDERR, &[0x1d; 4096]));
        bytes.extend(encode(STATUS, &(-7_i32).to_le_bytes()));
        bytes
    }

    /// Neighbouring log pieces joined, so that the cutting does not show.
    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::default();
        let mut all = Vec::new();
        for event in pieces.iter().flat_map(|piece| decoder.feed(piece)).collect::<Vec<_>>() {
            if let Event::Log(text) = event { log(&mut all, &text) } else { all.push(event) }
        }
        assert_eq!(decoder.finish(), b"");
        all
    }

    #[test]
    fn frames_and_log_text_are_told_apart() {
        let expected = [
            Event::Log(b"boot\n".to_vec()),
            Event::Ready,
            Event::Stdout(b"a\x1dO\0\0b".to_vec()),
            Event::Log(b"log between".to_vec()),
            Event::Stderr(vec![0x1d; 4096]),
            Event::Status(-7),
        ];
        assert_eq!(decode(&[&stream()]), expected);
    }

    #[test]
    fn the_cutting_of_the_stream_does_not_matter() {
        let bytes = stream();
        let whole = decode(&[&bytes]);
        for cut in 0..=bytes.len() {
            assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), whole);
    }

    #[test]
    fn what_is_no_frame_is_log_text() {
        for bytes in [&b"\x1dQ\x01\0x"[..], b"\x1dO\xff\xffx", b"\x1dX\x03\0abc", b"\x1d\x1d?"] {
            assert_eq!(decode(&[bytes]), [Event::Log(bytes.to_vec())]);
        }
    }

    #[test]
    fn an_unfinished_frame_is_given_back_at_the_end() {
        let mut decoder = Decoder::default();
        let cut = [&encode(STDOUT, b"12345")[..7], b"\n"].concat();
        assert_eq!(decoder.feed(&cut), []);
        assert_eq!(decoder.finish(), cut);
    }
}
