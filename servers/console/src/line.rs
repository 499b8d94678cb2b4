//! The line discipline: what a typed byte does to the line being edited, to the screen and to the reader.
//!
//! Always true:
//! 1. In [`Mode::Cooked`] a reader sees whole lines, each ended by LF or, after ^D, by nothing.
//! 2. In [`Mode::Raw`] a reader sees every byte as it came, and nothing is echoed.
//! 3. A byte is echoed if and only if it went into the line; rubbing it out takes as many columns away as it took.
//! 4. The line never holds more than [`LINE_MAX`] bytes; what does not fit is answered with a bell.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes in the line being edited, its LF not counted.
pub const LINE_MAX: usize = 512;

/// Most bytes that one typed byte can cause to be echoed: ^U and ^W rub out up to a whole line, two columns a byte,
/// three bytes a column.
pub const ECHO_MAX: usize = LINE_MAX * 6 + 4;

/// Most bytes that one typed byte can pass on to the reader.
pub const PASS_MAX: usize = LINE_MAX + 1;

/// How input is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Lines are edited and echoed here.
    #[default]
    Cooked,
    /// Every byte goes to the reader, who does all the rest.
    Raw,
}

/// What the rest of the console does about a typed byte.
pub trait Sink {
    /// Shows bytes on the screen.
    fn echo(&mut self, bytes: &[u8]);
    /// Passes bytes on to readers.
    fn pass(&mut self, bytes: &[u8]);
    /// The bytes passed on so far are all that the next reader gets, even if there are none: end of file.
    fn end(&mut self);
    /// ^C was typed: what was typed and not yet read is void.
    fn interrupt(&mut self);
}

/// The line being edited. Plain numbers, so that it can lie in persistent memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Line {
    length: u64,
    bytes: [u8; LINE_MAX],
}

impl Default for Line {
    fn default() -> Self {
        Line { length: 0, bytes: [0; LINE_MAX] }
    }
}

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const BELL: &[u8] = b"\x07";

const fn control(letter: u8) -> u8 {
    letter & 0x1f
}

impl Line {
    /// Whether the numbers can have come about (they may have been read from persistent memory).
    pub fn is_sane(&self) -> bool {
        self.length <= LINE_MAX as u64
    }

    /// The bytes typed so far.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length as usize).unwrap_or(&[])
    }

    /// Takes the line as it is, without its end, and begins a new one.
    pub fn take(&mut self, sink: &mut impl Sink) {
        sink.pass(self.bytes());
        self.length = 0;
    }

    /// Takes a typed byte.
    pub fn feed(&mut self, mode: Mode, byte: u8, sink: &mut impl Sink) {
        if mode == Mode::Raw {
            return sink.pass(&[byte]);
        }
        const INTERRUPT: u8 = control(b'C');
        const END: u8 = control(b'D');
        const KILL_LINE: u8 = control(b'U');
        const KILL_WORD: u8 = control(b'W');
        match byte {
            b'\r' | b'\n' => self.enter(sink),
            BACKSPACE | DELETE => self.rub_out(sink),
            KILL_LINE => {
                while self.length > 0 {
                    self.rub_out(sink);
                }
            }
            KILL_WORD => self.rub_out_word(sink),
            INTERRUPT => {
                self.length = 0;
                sink.echo(b"^C\n");
                sink.interrupt();
            }
            END => {
                self.take(sink);
                sink.end();
            }
            _ => self.insert(byte, sink),
        }
    }

    fn enter(&mut self, sink: &mut impl Sink) {
        sink.echo(b"\n");
        self.take(sink);
        sink.pass(b"\n");
    }

    fn insert(&mut self, byte: u8, sink: &mut impl Sink) {
        let Some(place) = self.bytes.get_mut(self.length as usize) else {
            return sink.echo(BELL);
        };
        *place = byte;
        self.length += 1;
        match columns(byte) {
            2 => sink.echo(&[b'^', byte ^ 0x40]),
            _ => sink.echo(&[byte]),
        }
    }

    /// Removes the last character: of UTF-8 its continuation bytes too.
    fn rub_out(&mut self, sink: &mut impl Sink) {
        while let Some(&last) = self.bytes().last() {
            self.length -= 1;
            for _ in 0..columns(last) {
                sink.echo(b"\x08 \x08");
            }
            if !is_continuation(last) {
                break;
            }
        }
    }

    fn rub_out_word(&mut self, sink: &mut impl Sink) {
        while self.bytes().last() == Some(&b' ') {
            self.rub_out(sink);
        }
        while self.bytes().last().is_some_and(|b| *b != b' ') {
            self.rub_out(sink);
        }
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Columns that an echoed byte takes: control characters show as ^X; of UTF-8 only the first byte counts.
fn columns(byte: u8) -> usize {
    match byte {
        0..0x20 => 2,
        _ if is_continuation(byte) => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen {
        echo: Vec<u8>,
        passed: Vec<u8>,
        ends: Vec<usize>,
        interrupts: usize,
    }

    impl Sink for Seen {
        fn echo(&mut self, bytes: &[u8]) {
            self.echo.extend(bytes);
        }
        fn pass(&mut self, bytes: &[u8]) {
            self.passed.extend(bytes);
        }
        fn end(&mut self) {
            self.ends.push(self.passed.len());
        }
        fn interrupt(&mut self) {
            self.interrupts += 1;
        }
    }

    fn typed(mode: Mode, bytes: &[u8]) -> Seen {
        let (mut line, mut seen) = (Line::default(), Seen::default());
        for &byte in bytes {
            let (echoed, passed) = (seen.echo.len(), seen.passed.len());
            line.feed(mode, byte, &mut seen);
            assert!(line.is_sane());
            assert!(seen.echo.len() - echoed <= ECHO_MAX && seen.passed.len() - passed <= PASS_MAX);
        }
        seen
    }

    /// What a terminal shows on its last line after these bytes.
    fn screen(echo: &[u8]) -> String {
        let (mut cells, mut at) = (Vec::new(), 0);
        for c in String::from_utf8_lossy(echo).chars() {
            match c {
                '\n' => {
                    cells.clear();
                    at = 0;
                }
                '\u{8}' => at -= 1,
                '\u{7}' => {}
                c => {
                    cells.truncate(at.max(cells.len()));
                    if at < cells.len() {
                        cells[at] = c
                    } else {
                        cells.push(c)
                    }
                    at += 1;
                }
            }
        }
        cells.into_iter().collect::<String>().trim_end().to_string()
    }

    #[test]
    fn return_ends_the_line_as_line_feed() {
        let seen = typed(Mode::Cooked, b"ls -l\r");
        assert_eq!(seen.passed, b"ls -l\n");
        assert_eq!(seen.echo, b"ls -l\n");
    }

    #[test]
    fn nothing_is_passed_on_before_the_line_ends() {
        assert_eq!(typed(Mode::Cooked, b"half a line").passed, b"");
    }

    #[test]
    fn backspace_and_delete_rub_out_and_stop_at_the_start_of_the_line() {
        let seen = typed(Mode::Cooked, b"ab\x7f\x08\x08\x7fcd\r");
        assert_eq!(seen.passed, b"cd\n");
        assert_eq!(screen(&typed(Mode::Cooked, b"ab\x7fc").echo), "ac");
    }

    #[test]
    fn a_character_of_several_bytes_is_rubbed_out_as_one() {
        let seen = typed(Mode::Cooked, "aä€\u{7f}\u{7f}b\r".as_bytes());
        assert_eq!(seen.passed, b"ab\n");
        assert_eq!(screen(&typed(Mode::Cooked, "aä€\u{7f}\u{7f}b".as_bytes()).echo), "ab");
    }

    #[test]
    fn a_control_character_is_shown_in_two_columns_and_rubbed_out_in_two() {
        let seen = typed(Mode::Cooked, b"a\x01");
        assert_eq!(screen(&seen.echo), "a^A");
        assert_eq!(screen(&typed(Mode::Cooked, b"a\x01\x7fb").echo), "ab");
    }

    #[test]
    fn control_u_takes_the_line_and_control_w_the_word() {
        assert_eq!(typed(Mode::Cooked, b"wrong\x15right\r").passed, b"right\n");
        assert_eq!(typed(Mode::Cooked, b"cat one  \x17two\r").passed, b"cat two\n");
        assert_eq!(screen(&typed(Mode::Cooked, b"cat one\x17two").echo), "cat two");
    }

    #[test]
    fn control_c_drops_the_line_and_interrupts() {
        let seen = typed(Mode::Cooked, b"sleep\x03ls\r");
        assert_eq!((seen.passed.as_slice(), seen.interrupts), (&b"ls\n"[..], 1));
    }

    #[test]
    fn control_d_on_an_empty_line_is_the_end_and_after_text_passes_the_text() {
        let seen = typed(Mode::Cooked, b"\x04");
        assert_eq!((seen.passed.as_slice(), seen.ends.as_slice()), (&b""[..], &[0][..]));
        let seen = typed(Mode::Cooked, b"ab\x04\x04");
        assert_eq!((seen.passed.as_slice(), seen.ends.as_slice()), (&b"ab"[..], &[2, 2][..]));
    }

    #[test]
    fn raw_mode_passes_every_byte_and_echoes_nothing() {
        let all: Vec<u8> = (0..=255).collect();
        let seen = typed(Mode::Raw, &all);
        assert_eq!((seen.passed, seen.echo.len(), seen.interrupts, seen.ends.len()), (all, 0, 0, 0));
    }

    #[test]
    fn a_line_too_long_rings_the_bell_and_keeps_what_fits() {
        let mut bytes = vec![b'x'; LINE_MAX + 3];
        bytes.push(b'\r');
        let seen = typed(Mode::Cooked, &bytes);
        assert_eq!(seen.passed.len(), LINE_MAX + 1);
        assert_eq!(seen.echo.iter().filter(|b| **b == 7).count(), 3);
    }

    #[test]
    fn rubbing_out_a_full_line_of_control_characters_stays_within_the_bound() {
        let mut bytes = vec![1; LINE_MAX];
        bytes.push(control(b'U'));
        assert_eq!(screen(&typed(Mode::Cooked, &bytes).echo), "");
    }
}
