//! The frames of exec mode: how several byte streams share one serial line without losing a byte.
//!
//! A frame is the byte 1Dh, a channel byte, the length of the payload (u16, little-endian), and the payload. Bytes
//! outside of frames are log text.
//!
//! Always true:
//! 1. The payload of a frame has 1 to [`MAX_PAYLOAD`] bytes, except of `R` and `Z`, which have none.
//! 2. The decoder holds no payload: it passes bytes on one by one, so any split of the input gives the same result.
//! 3. Any bytes can be fed to the decoder; those that make no frame for it are skipped.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First byte of every frame.
pub const MARK: u8 = 0x1d;
/// Bytes before the payload.
pub const HEADER: usize = 4;
/// Most bytes of payload.
pub const MAX_PAYLOAD: usize = 4096;

/// Guest to host: standard output.
pub const STDOUT: u8 = b'O';
/// Guest to host: standard error.
pub const STDERR: u8 = b'E';
/// Guest to host: the exit status, an `i32`, little-endian. Nothing follows it.
pub const EXIT: u8 = b'X';
/// Guest to host, without payload: input is taken from now on, and what was sent earlier may be lost.
pub const READY: u8 = b'R';
/// Host to guest: bytes for standard input.
pub const STDIN: u8 = b'I';
/// Host to guest: standard input is at its end.
pub const STDIN_END: u8 = b'Z';

/// The first bytes of a frame on `channel` with `length` bytes of payload, which is at most [`MAX_PAYLOAD`].
pub const fn header(channel: u8, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= MAX_PAYLOAD);
    let [low, high] = (length as u16).to_le_bytes();
    [MARK, channel, low, high]
}

/// What a byte meant to the [`Decoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A byte of standard input.
    Input(u8),
    /// The end of standard input.
    End,
    /// Part of a header, or nothing.
    Nothing,
}

/// Takes frames from the host apart. Plain numbers, so that it can lie in persistent memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Decoder {
    /// Bytes of the header seen, 0 to 3; 4 while in the payload.
    seen: u8,
    channel: u8,
    /// Bytes of payload still to come.
    left: u16,
}

impl Decoder {
    /// Whether the numbers can have come about (they may have been read from persistent memory).
    pub fn is_sane(&self) -> bool {
        self.seen <= 4 && usize::from(self.left) <= MAX_PAYLOAD && (self.seen < 4 || self.left > 0)
    }

    /// How many bytes will complete what has begun: a header or a payload.
    pub fn needs(&self) -> u64 {
        if self.seen < 4 { u64::from(4 - self.seen) } else { u64::from(self.left) }
    }

    /// Takes the next byte of the line.
    pub fn feed(&mut self, byte: u8) -> Meaning {
        match self.seen {
            0 => {
                self.seen = u8::from(byte == MARK);
                Meaning::Nothing
            }
            1 => self.channel(byte),
            2 => {
                self.left = u16::from(byte);
                self.seen = 3;
                Meaning::Nothing
            }
            3 => self.length(byte),
            _ => self.payload(byte),
        }
    }

    fn channel(&mut self, byte: u8) -> Meaning {
        self.channel = byte;
        // After a stray mark a frame may begin with the very next byte.
        self.seen = match byte {
            STDIN | STDIN_END => 2,
            MARK => 1,
            _ => 0,
        };
        Meaning::Nothing
    }

    fn length(&mut self, byte: u8) -> Meaning {
        self.left |= u16::from(byte) << 8;
        let end = self.channel == STDIN_END;
        match usize::from(self.left) {
            0 => {
                *self = Decoder::default();
                if end { Meaning::End } else { Meaning::Nothing }
            }
            1..=MAX_PAYLOAD => {
                self.seen = 4;
                Meaning::Nothing
            }
            _ => {
                *self = Decoder::default();
                Meaning::Nothing
            }
        }
    }

    fn payload(&mut self, byte: u8) -> Meaning {
        self.left = self.left.saturating_sub(1);
        let last = self.left == 0;
        let end = self.channel == STDIN_END;
        if last {
            *self = Decoder::default();
        }
        match (end, last) {
            (false, _) => Meaning::Input(byte),
            (true, true) => Meaning::End,
            (true, false) => Meaning::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = header(channel, payload.len()).to_vec();
        bytes.extend(payload);
        bytes
    }

    fn decode(bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut decoder, mut input, mut ends) = (Decoder::default(), Vec::new(), 0);
        for &byte in bytes {
            match decoder.feed(byte) {
                Meaning::Input(b) => input.push(b),
                Meaning::End => ends += 1,
                Meaning::Nothing => {}
            }
            assert!(decoder.is_sane());
        }
        (input, ends)
    }

    #[test]
    fn every_byte_value_passes_through_a_frame() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&frame(STDIN, &all)), (all, 0));
    }

    #[test]
    fn a_frame_of_the_largest_size_passes_and_a_larger_one_is_skipped() {
        let full = vec![MARK; MAX_PAYLOAD];
        assert_eq!(decode(&frame(STDIN, &full)), (full.clone(), 0));
        let mut too_long = vec![MARK, STDIN, 0x01, 0x10];
        too_long.extend(frame(STDIN, b"ok"));
        assert_eq!(decode(&too_long), (b"ok".to_vec(), 0));
    }

    #[test]
    fn the_decoder_knows_how_much_completes_what_has_begun() {
        let mut decoder = Decoder::default();
        let needs: Vec<u64> = frame(STDIN, b"abc")
            .into_iter()
            .map(|byte| {
                let needs = decoder.needs();
                decoder.feed(byte);
                needs
            })
            .collect();
        assert_eq!(needs, [4, 3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn the_end_of_input_comes_with_and_without_payload() {
        let mut bytes = frame(STDIN, b"a");
        bytes.extend(frame(STDIN_END, b""));
        assert_eq!(decode(&bytes), (b"a".to_vec(), 1));
        assert_eq!(decode(&frame(STDIN_END, b"xyz")), (vec![], 1));
    }

    #[test]
    fn bytes_outside_of_frames_and_frames_of_unknown_channels_are_skipped() {
        let mut bytes = b"noise".to_vec();
        bytes.extend([MARK]);
        bytes.extend(frame(STDIN, b"one"));
        bytes.extend([MARK, b'?', b'\n']);
        bytes.extend(frame(STDIN, b"two"));
        assert_eq!(decode(&bytes), (b"onetwo".to_vec(), 0));
    }

    #[test]
    fn what_the_encoder_writes_the_decoder_reads_for_every_length() {
        for length in 1..=MAX_PAYLOAD {
            let payload: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            assert_eq!(decode(&frame(STDIN, &payload)).0, payload);
        }
    }
}
