//! The last lines that each service logged.
//!
//! 1. A line has at most [`MAX_LINE`] bytes and no control characters: nobody draws on the terminal through the log.
//! 2. Each ring holds at most [`MAX_LINES`] lines and [`MAX_BYTES`] bytes; the oldest go first.

use alloc::{collections::VecDeque, string::String, vec::Vec};

/// Bytes of a line.
pub const MAX_LINE: usize = 1024;
/// Lines of a ring.
pub const MAX_LINES: usize = 128;
/// Bytes of a ring.
pub const MAX_BYTES: usize = 8 << 10;

/// One service's ring of lines. Lines are numbered over all rings, so that those of several can be told in order.
#[derive(Default)]
pub struct Journal {
    lines: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Journal {
    /// Adds a line, whose number is greater than those of all lines before.
    pub fn push(&mut self, number: u64, line: String) {
        self.bytes += line.len();
        self.lines.push_back((number, line));
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// The last lines, at most `count`.
    pub fn last(&self, count: usize) -> Vec<&str> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).map(|(_, line)| line.as_str()).collect()
    }

    /// The first line whose number is at least `number`, with its number.
    pub fn line(&self, number: u64) -> Option<(u64, &str)> {
        let at = self.lines.partition_point(|(known, _)| *known < number);
        self.lines.get(at).map(|(number, line)| (*number, line.as_str()))
    }
}

/// What came as a log message, as one clean line.
pub fn clean(raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(MAX_LINE)];
    let text = String::from_utf8_lossy(raw);
    let mut line: String = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while line.len() > MAX_LINE {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn lines_keep_their_numbers_when_the_oldest_go() {
        let mut journal = Journal::default();
        for n in 0..1000 {
            journal.push(n, format!("line {n}"));
        }
        let (first, text) = journal.line(0).expect("some are kept");
        assert_eq!((first, text), (1000 - MAX_LINES as u64, "line 872"));
        assert_eq!(journal.line(999), Some((999, "line 999")));
        assert_eq!(journal.line(1000), None);
    }

    #[test]
    fn long_lines_push_out_old_ones_by_their_bytes() {
        let mut journal = Journal::default();
        for n in 0..20 {
            journal.push(n, "x".repeat(MAX_LINE));
        }
        assert_eq!(journal.line(0).map(|(first, _)| first), Some(12));
    }

    #[test]
    fn a_line_cannot_draw_on_the_terminal() {
        assert_eq!(clean(b"one\x1b[2Jtwo\nthree\r\n"), "one [2Jtwo three");
        assert_eq!(clean(b"bad \xff byte"), "bad \u{fffd} byte");
        assert_eq!(clean(&[b'a'; 5000]).len(), MAX_LINE);
        assert!(clean(&[0xff; 5000]).len() <= MAX_LINE);
        assert_eq!(clean(b""), "".to_string());
    }
}
