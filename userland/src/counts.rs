//! Lines, words and bytes of a stream (`wc`).

use alloc::{format, string::String};
use core::ops::AddAssign;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Newlines.
    pub lines: u64,
    /// Runs of bytes that are not blank.
    pub words: u64,
    /// Bytes.
    pub bytes: u64,
    in_word: bool,
}

/// Which counts to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Columns {
    pub lines: bool,
    pub words: bool,
    pub bytes: bool,
}

impl Counts {
    /// Takes a piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.lines += u64::from(*byte == b'\n');
            let blank = matches!(byte, b' ' | b'\t'..=b'\r');
            self.words += u64::from(!blank && !self.in_word);
            self.in_word = !blank;
        }
    }

    /// The line that `wc` prints: a lone count bare, several in columns.
    pub fn show(&self, columns: Columns, name: &str) -> String {
        let wanted = [(columns.lines, self.lines), (columns.words, self.words), (columns.bytes, self.bytes)];
        let several = wanted.iter().filter(|(show, _)| *show).count() > 1;
        let mut line = String::new();
        for (_, count) in wanted.iter().filter(|(show, _)| *show) {
            let shown = if several { format!("{count:7}") } else { format!("{count}") };
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&shown);
        }
        if !name.is_empty() {
            line.push(' ');
            line.push_str(name);
        }
        line.push('\n');
        line
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[&[u8]]) -> Counts {
        let mut counts = Counts::default();
        pieces.iter().for_each(|piece| counts.feed(piece));
        counts
    }

    #[test]
    fn words_are_runs_without_blanks_even_across_pieces() {
        let counts = count(&[b"one t", b"wo\nthree", b"\n"]);
        assert_eq!((counts.lines, counts.words, counts.bytes), (2, 3, 14));
        assert_eq!(count(&[b""]).words, 0);
        assert_eq!(count(&[b"\t\x0b\x0c\r\n x"]).words, 1);
    }

    #[test]
    fn a_lone_count_stands_bare() {
        let all = Columns { lines: true, words: true, bytes: true };
        let lines = Columns { words: false, bytes: false, ..all };
        let counts = count(&[b"a b\n"]);
        assert_eq!(counts.show(lines, ""), "1\n");
        assert_eq!(counts.show(lines, "f"), "1 f\n");
        assert_eq!(counts.show(all, "f"), "      1       2       4 f\n");
    }
}
