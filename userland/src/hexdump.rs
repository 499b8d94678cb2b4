//! The canonical hexadecimal dump (`hexdump -C`).
//!
//! Invariant: the output depends on the bytes alone, not on how they were cut into pieces.

use alloc::{format, string::String};

/// Bytes in a row.
const ROW: usize = 16;

/// Turns a stream into rows. Equal rows after the first become one `*`.
#[derive(Debug, Default)]
pub struct Dump {
    row: [u8; ROW],
    filled: usize,
    offset: u64,
    last: Option<[u8; ROW]>,
    starred: bool,
}

impl Dump {
    /// Takes a piece; appends the rows that it completes.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut String) {
        while !bytes.is_empty() {
            let taken = bytes.len().min(ROW - self.filled);
            self.row[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == ROW {
                self.full_row(out);
            }
        }
    }

    /// Appends the rest and the length.
    pub fn finish(&mut self, out: &mut String) {
        if self.filled > 0 {
            self.write_row(out);
            self.offset += self.filled as u64;
            self.filled = 0;
        }
        if self.offset > 0 {
            out.push_str(&format!("{:08x}\n", self.offset));
        }
    }

    fn full_row(&mut self, out: &mut String) {
        if self.last == Some(self.row) {
            if !self.starred {
                out.push_str("*\n");
            }
            self.starred = true;
        } else {
            self.write_row(out);
            self.last = Some(self.row);
            self.starred = false;
        }
        self.offset += ROW as u64;
        self.filled = 0;
    }

    fn write_row(&self, out: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        out.push_str(&format!("{:08x}", self.offset));
        for at in 0..ROW {
            out.push_str(if at % 8 == 0 { "  " } else { " " });
            match self.row[..self.filled].get(at) {
                Some(byte) => {
                    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                    out.push(char::from(DIGITS[usize::from(byte & 15)]));
                }
                None => out.push_str("  "),
            }
        }
        out.push_str("  |");
        for byte in &self.row[..self.filled] {
            out.push(if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' });
        }
        out.push_str("|\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn dump(pieces: &[&[u8]]) -> String {
        let (mut dump, mut out) = (Dump::default(), String::new());
        pieces.iter().for_each(|piece| dump.feed(piece, &mut out));
        dump.finish(&mut out);
        out
    }

    #[test]
    fn rows_look_as_people_know_them() {
        let expected = "\
00000000  48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 0a 00 ff  |Hello, world!...|
00000010  61                                                |a|
00000011
";
        assert_eq!(dump(&[b"Hello, world!\n\x00\xffa"]), expected);
        assert_eq!(dump(&[]), "");
    }

    #[test]
    fn equal_rows_become_one_star() {
        let expected = "\
00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
00000040  01                                                |.|
00000041
";
        assert_eq!(dump(&[&[0; 64], &[1]]), expected);
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes: Vec<u8> = (0..200).map(|n| if n < 100 { 7 } else { n }).collect();
        let whole = dump(&[&bytes]);
        for size in 1..40 {
            assert_eq!(dump(&bytes.chunks(size).collect::<Vec<_>>()), whole, "pieces of {size}");
        }
    }
}
