//! From the bytes of a terminal to keys: UTF-8, control characters, and the escape sequences of VT100 and xterm.
//!
//! Invariant: every byte is consumed; no sequence of bytes leaves the decoder waiting for more than one character or
//! one escape sequence, and malformed input becomes nothing rather than text.

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    /// Control and a letter (`Control('A')`), as far as it has no name of its own here.
    Control(char),
    /// Escape (or Alt) and a character.
    Alt(char),
    /// Return.
    Enter,
    /// Tab.
    Tab,
    /// Deletes to the left.
    Backspace,
    /// Deletes to the right.
    Delete,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Arrow with Control or Alt.
    WordLeft,
    /// Arrow with Control or Alt.
    WordRight,
    /// To the start.
    Home,
    /// To the end.
    End,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// After `ESC [`: the first and the last parameter.
    Bracket(u16, u16),
    /// After `ESC O`.
    Letter,
    /// Inside a UTF-8 character: what is known of it, and the bytes still missing.
    Utf8(u32, u8, u32),
}

/// Decodes byte by byte.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    after_return: bool,
}

impl Decoder {
    /// Takes a byte; a key where it ends one.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::take(&mut self.after_return);
        match core::mem::take(&mut self.state) {
            State::Ground => self.ground(byte, after_return),
            State::Escape => self.escape(byte),
            State::Bracket(first, last) => self.bracket(byte, first, last),
            State::Letter => named(byte, false),
            State::Utf8(so_far, missing, least) => self.continuation(byte, so_far, missing, least),
        }
    }

    fn ground(&mut self, byte: u8, after_return: bool) -> Option<Key> {
        match byte {
            b'\r' => {
                self.after_return = true;
                Some(Key::Enter)
            }
            b'\n' => (!after_return).then_some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x08 | 0x7f => Some(Key::Backspace),
            0x1b => {
                self.state = State::Escape;
                None
            }
            0x00..0x20 => Some(Key::Control(char::from(byte + 0x40))),
            0x20..0x7f => Some(Key::Char(char::from(byte))),
            0xc2..0xe0 => self.begin(u32::from(byte & 0x1f), 1, 0x80),
            0xe0..0xf0 => self.begin(u32::from(byte & 0x0f), 2, 0x800),
            0xf0..0xf5 => self.begin(u32::from(byte & 0x07), 3, 0x1_0000),
            _ => None,
        }
    }

    fn begin(&mut self, bits: u32, missing: u8, least: u32) -> Option<Key> {
        self.state = State::Utf8(bits, missing, least);
        None
    }

    fn continuation(&mut self, byte: u8, so_far: u32, missing: u8, least: u32) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            return self.ground(byte, false);
        }
        let value = so_far << 6 | u32::from(byte & 0x3f);
        if missing > 1 {
            self.state = State::Utf8(value, missing - 1, least);
            return None;
        }
        char::from_u32(value).filter(|c| value >= least && !c.is_control()).map(Key::Char)
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Bracket(0, 0),
            b'O' => self.state = State::Letter,
            0x1b => self.state = State::Escape,
            0x7f | 0x08 => return Some(Key::Control('W')),
            0x20..0x7f => return Some(Key::Alt(char::from(byte))),
            _ => {}
        }
        None
    }

    fn bracket(&mut self, byte: u8, first: u16, last: u16) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let last = last.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                self.state = State::Bracket(first, last);
                None
            }
            b';' => {
                self.state = State::Bracket(if first == 0 { last } else { first }, 0);
                None
            }
            b'~' => match if first == 0 { last } else { first } {
                1 | 7 => Some(Key::Home),
                4 | 8 => Some(Key::End),
                3 => Some(Key::Delete),
                _ => None,
            },
            0x20..0x40 => {
                self.state = State::Bracket(first, last);
                None
            }
            0x1b => {
                self.state = State::Escape;
                None
            }
            _ => named(byte, first == 1 && last > 1),
        }
    }
}

/// The key of a final letter; `modified` with Shift, Alt or Control.
fn named(letter: u8, modified: bool) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if modified => Key::WordRight,
        b'D' if modified => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.feed(*byte)).collect()
    }

    #[test]
    fn arrows_come_in_both_dialects() {
        assert_eq!(keys(b"\x1b[A\x1bOA\x1b[D\x1bOC"), [Key::Up, Key::Up, Key::Left, Key::Right]);
        assert_eq!(keys(b"\x1b[1;5C\x1b[1;3D\x1bb"), [Key::WordRight, Key::WordLeft, Key::Alt('b')]);
        assert_eq!(keys(b"\x1b[1~\x1b[4~\x1b[3~\x1b[H\x1b[F"), [Key::Home, Key::End, Key::Delete, Key::Home, Key::End]);
    }

    #[test]
    fn unknown_sequences_vanish_whole() {
        assert_eq!(keys(b"\x1b[15~a\x1b[200~b\x1b[?25hc"), [Key::Char('a'), Key::Char('b'), Key::Char('c')]);
    }

    #[test]
    fn return_newline_and_both_together_are_one_enter() {
        assert_eq!(keys(b"\r"), [Key::Enter]);
        assert_eq!(keys(b"\n"), [Key::Enter]);
        assert_eq!(keys(b"\r\n"), [Key::Enter]);
        assert_eq!(keys(b"\n\n"), [Key::Enter, Key::Enter]);
    }

    #[test]
    fn utf8_is_decoded_and_broken_utf8_dropped() {
        assert_eq!(keys("aé€😀".as_bytes()), [Key::Char('a'), Key::Char('é'), Key::Char('€'), Key::Char('😀')]);
        assert_eq!(keys(b"\xc3a\xff\xe2\x82b\xc0\xaf\xed\xa0\x80"), [Key::Char('a'), Key::Char('b')]);
    }

    #[test]
    fn every_pair_and_triple_of_bytes_is_digested() {
        for first in [0x1bu8, 0xc3, 0xe2, 0xf0, b'a'] {
            for second in 0..=255 {
                for third in [b'[', b'A', b';', b'9', 0x80, 0x1b, 0xff] {
                    let mut decoder = Decoder::default();
                    for byte in [first, second, third] {
                        let _ = decoder.feed(byte);
                    }
                    let rest: Vec<Key> = b"\x18\x18\x18\x18x".iter().filter_map(|byte| decoder.feed(*byte)).collect();
                    assert_eq!(rest.last(), Some(&Key::Char('x')), "{first:x} {second:x} {third:x}");
                }
            }
        }
    }
}
