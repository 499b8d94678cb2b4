//! The line editor: bytes of the terminal in, edits and bytes for the terminal out.
//!
//! Invariants:
//! 1. `cursor` is at most the number of characters in `line`.
//! 2. A line never wraps: at most [`WIDTH`] - 1 columns are used, and a longer line is scrolled sideways.
//! 3. What the terminal shows is prompt and visible part of the line, with its cursor where the editor's is.

use crate::{history::History, keys::Decoder, keys::Key};
use alloc::{format, string::String, vec::Vec};

/// Columns that every terminal has.
pub const WIDTH: usize = 80;

/// Ways to go on at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Where in the text before the cursor the completed word begins, in bytes.
    pub start: usize,
    /// What the word may become, as it is to stand in the line (quoted where needed, `/` after a directory).
    pub candidates: Vec<String>,
}

/// Finds completions.
pub trait Completer {
    /// For the text before the cursor.
    fn complete(&mut self, before: &str) -> Completion;
}

/// What the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Entered this line.
    Line(String),
    /// Pressed ^C: the line is given up.
    Interrupt,
    /// Pressed ^D on an empty line.
    EndOfInput,
}

/// A line in the making.
#[derive(Debug, Default)]
pub struct Editor {
    prompt: String,
    line: Vec<char>,
    cursor: usize,
    scroll: usize,
    decoder: Decoder,
    /// Index of the shown line of the history; its length for the new line.
    recalled: usize,
    draft: Vec<char>,
    killed: Vec<char>,
    tabbed: bool,
}

impl Editor {
    /// Begins a line: shows the prompt.
    pub fn begin(&mut self, prompt: &str, history: &History, out: &mut Vec<u8>) {
        self.prompt = prompt.into();
        self.line.clear();
        self.draft.clear();
        self.cursor = 0;
        self.scroll = 0;
        self.recalled = history.len();
        self.tabbed = false;
        out.extend_from_slice(self.prompt.as_bytes());
    }

    /// The text so far.
    pub fn text(&self) -> String {
        self.line.iter().collect()
    }

    /// Takes a byte of input. After an outcome, [`Editor::begin`] begins the next line.
    pub fn feed(
        &mut self,
        byte: u8,
        history: &History,
        completer: &mut dyn Completer,
        out: &mut Vec<u8>,
    ) -> Option<Outcome> {
        let key = self.decoder.feed(byte)?;
        let tabbed = core::mem::take(&mut self.tabbed);
        match key {
            Key::Enter => {
                out.extend_from_slice(b"\r\n");
                return Some(Outcome::Line(self.text()));
            }
            Key::Control('C') => {
                out.extend_from_slice(b"^C\r\n");
                return Some(Outcome::Interrupt);
            }
            Key::Control('D') if self.line.is_empty() => {
                out.extend_from_slice(b"\r\n");
                return Some(Outcome::EndOfInput);
            }
            Key::Char(c) => self.insert(c, out),
            Key::Tab => self.complete(completer, tabbed, out),
            Key::Control('L') => {
                out.extend_from_slice(b"\x1b[H\x1b[2J");
                self.draw(out);
            }
            Key::Up | Key::Control('P') => self.recall(self.recalled.checked_sub(1), history, out),
            Key::Down | Key::Control('N') => self.recall(Some(self.recalled + 1), history, out),
            other => self.edit(other, out),
        }
        None
    }

    /// Keys that change line and cursor alone.
    fn edit(&mut self, key: Key, out: &mut Vec<u8>) {
        let end = self.line.len();
        match key {
            Key::Left | Key::Control('B') => self.cursor = self.cursor.saturating_sub(1),
            Key::Right | Key::Control('F') => self.cursor = (self.cursor + 1).min(end),
            Key::Home | Key::Control('A') => self.cursor = 0,
            Key::End | Key::Control('E') => self.cursor = end,
            Key::WordLeft | Key::Alt('b') => self.cursor = self.word_left(false),
            Key::WordRight | Key::Alt('f') => self.cursor = self.word_right(),
            Key::Backspace => self.remove(self.cursor.saturating_sub(1), self.cursor, false),
            Key::Delete | Key::Control('D') => self.remove(self.cursor, (self.cursor + 1).min(end), false),
            Key::Control('K') => self.remove(self.cursor, end, true),
            Key::Control('U') => self.remove(0, self.cursor, true),
            Key::Control('W') => self.remove(self.word_left(true), self.cursor, true),
            Key::Alt('d') => self.remove(self.cursor, self.word_right(), true),
            Key::Control('T') => self.transpose(),
            Key::Control('Y') => {
                let killed = self.killed.clone();
                self.cursor += killed.len();
                let at = self.cursor - killed.len();
                self.line.splice(at..at, killed);
            }
            _ => return,
        }
        self.draw(out);
    }

    fn insert(&mut self, c: char, out: &mut Vec<u8>) {
        self.line.insert(self.cursor, c);
        self.cursor += 1;
        let fits = self.line.len() - self.scroll <= self.columns();
        if self.cursor == self.line.len() && fits {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.draw(out);
        }
    }

    fn remove(&mut self, from: usize, to: usize, keep: bool) {
        let removed: Vec<char> = self.line.drain(from..to).collect();
        self.cursor = from;
        if keep && !removed.is_empty() {
            self.killed = removed;
        }
    }

    fn transpose(&mut self) {
        let at = self.cursor.min(self.line.len().saturating_sub(1));
        if at > 0 {
            self.line.swap(at - 1, at);
            self.cursor = at + 1;
        }
    }

    /// Where the word to the left begins; of everything between blanks, or of letters and digits.
    fn word_left(&self, blanks_only: bool) -> usize {
        let inside = |c: char| if blanks_only { !c.is_whitespace() } else { c.is_alphanumeric() };
        let mut at = self.cursor;
        while at > 0 && !inside(self.line[at - 1]) {
            at -= 1;
        }
        while at > 0 && inside(self.line[at - 1]) {
            at -= 1;
        }
        at
    }

    fn word_right(&self) -> usize {
        let mut at = self.cursor;
        while at < self.line.len() && !self.line[at].is_alphanumeric() {
            at += 1;
        }
        while at < self.line.len() && self.line[at].is_alphanumeric() {
            at += 1;
        }
        at
    }

    fn recall(&mut self, index: Option<usize>, history: &History, out: &mut Vec<u8>) {
        let Some(index) = index.filter(|index| *index <= history.len()) else {
            out.push(0x07);
            return;
        };
        if self.recalled == history.len() {
            self.draft = self.line.clone();
        }
        self.line = history.get(index).map_or_else(|| self.draft.clone(), |line| line.chars().collect());
        self.recalled = index;
        self.cursor = self.line.len();
        self.draw(out);
    }

    fn complete(&mut self, completer: &mut dyn Completer, again: bool, out: &mut Vec<u8>) {
        let before: String = self.line[..self.cursor].iter().collect();
        let found = completer.complete(&before);
        let Some(word) = before.get(found.start..) else { return };
        let mut common = common_prefix(&found.candidates);
        if found.candidates.len() == 1 && !common.ends_with('/') {
            common.push(' ');
        }
        if !found.candidates.is_empty() && common != word && common.len() >= word.len() {
            let from = before[..found.start].chars().count();
            self.line.splice(from..self.cursor, common.chars());
            self.cursor = from + common.chars().count();
            self.draw(out);
        } else if again && found.candidates.len() > 1 {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(columns(&found.candidates).as_bytes());
            self.draw(out);
        } else {
            out.push(0x07);
            self.tabbed = true;
        }
    }

    /// Columns for the line, beside the prompt.
    fn columns(&self) -> usize {
        (WIDTH - 1).saturating_sub(self.prompt.chars().count()).max(8)
    }

    /// Draws prompt and line anew.
    fn draw(&mut self, out: &mut Vec<u8>) {
        let columns = self.columns();
        if self.line.len() <= columns {
            self.scroll = 0;
        } else if self.cursor < self.scroll {
            self.scroll = self.cursor;
        } else if self.cursor > self.scroll + columns {
            // By more than one, so that the next characters need no new drawing.
            self.scroll = self.cursor - columns * 2 / 3;
        }
        let end = self.line.len().min(self.scroll + columns);
        let visible: String = self.line[self.scroll..end].iter().collect();
        let back = end - self.cursor;
        out.extend_from_slice(format!("\r{}{visible}\x1b[K", self.prompt).as_bytes());
        if back > 0 {
            out.extend_from_slice(format!("\x1b[{back}D").as_bytes());
        }
    }
}

/// What all begin with.
fn common_prefix(texts: &[String]) -> String {
    let mut common = texts.first().cloned().unwrap_or_default();
    for text in texts {
        let same = common.char_indices().zip(text.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        common.truncate(same.unwrap_or(common.len().min(text.len())));
    }
    common
}

/// The texts in columns, down first; with a line end of the terminal after each row.
fn columns(texts: &[String]) -> String {
    let shown = |text: &str| -> String {
        text.trim_end_matches('/').rsplit('/').next().unwrap_or(text).trim_matches('\'').into()
    };
    let names: Vec<String> =
        texts.iter().map(|text| if text.ends_with('/') { shown(text) + "/" } else { shown(text) }).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let across = (WIDTH / widest).max(1);
    let rows = names.len().div_ceil(across);
    let mut all = String::new();
    for row in 0..rows {
        let line: Vec<String> = names.iter().skip(row).step_by(rows).map(|name| format!("{name:widest$}")).collect();
        all.push_str(line.concat().trim_end());
        all.push_str("\r\n");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words(&'static [&'static str]);

    impl Completer for Words {
        fn complete(&mut self, before: &str) -> Completion {
            let start = before.rfind(' ').map_or(0, |at| at + 1);
            let fits = |word: &&&str| word.starts_with(&before[start..]);
            Completion { start, candidates: self.0.iter().filter(fits).map(|word| String::from(*word)).collect() }
        }
    }

    /// A terminal of one line: enough to check invariant 3.
    fn screen(out: &[u8]) -> (String, usize) {
        let text = String::from_utf8(out.to_vec()).unwrap();
        let (mut cells, mut at): (Vec<char>, usize) = (Vec::new(), 0);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' => at = 0,
                '\n' => cells.clear(),
                '\x07' => {}
                '\x1b' => {
                    chars.next();
                    let mut number = String::new();
                    while chars.peek().is_some_and(char::is_ascii_digit) {
                        number.push(chars.next().unwrap());
                    }
                    match chars.next() {
                        Some('K') => cells.truncate(at),
                        Some('D') => at -= number.parse::<usize>().unwrap(),
                        Some('H') => at = 0,
                        Some('J') => cells.clear(),
                        other => panic!("unknown sequence {other:?}"),
                    }
                }
                c => {
                    cells.resize(cells.len().max(at + 1), ' ');
                    cells[at] = c;
                    at += 1;
                    assert!(at < WIDTH, "the line wraps");
                }
            }
        }
        (cells.into_iter().collect(), at)
    }

    fn history() -> History {
        let mut history = History::default();
        history.add("first");
        history.add("second");
        history
    }

    /// Types and checks that the screen agrees with the editor all the time.
    fn typed(bytes: &[u8]) -> (Editor, Vec<u8>, Option<Outcome>) {
        let (mut editor, mut out) = (Editor::default(), Vec::new());
        let history = history();
        editor.begin("$ ", &history, &mut out);
        for byte in bytes {
            let outcome = editor.feed(*byte, &history, &mut Words(&["cat", "cp", "dir/", "a b"]), &mut out);
            if outcome.is_some() {
                return (editor, out, outcome);
            }
            if editor.line.len() <= editor.columns() {
                let (line, at) = screen(&out);
                assert_eq!(line.trim_end(), format!("$ {}", editor.text()).trim_end());
                assert_eq!(at, 2 + editor.cursor);
            }
        }
        (editor, out, None)
    }

    fn line(bytes: &[u8]) -> String {
        let bytes = [bytes, b"\r"].concat();
        match typed(&bytes).2 {
            Some(Outcome::Line(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn typing_at_the_end_sends_each_character_once() {
        let (_, out, _) = typed(b"echo hi");
        assert_eq!(out, b"$ echo hi");
    }

    #[test]
    fn letters_go_in_at_the_cursor() {
        assert_eq!(line(b"ac\x1b[Db"), "abc");
        assert_eq!(line(b"bc\x01a\x05d"), "abcd");
        assert_eq!(line("é\x1b[Da".as_bytes()), "aé");
    }

    #[test]
    fn kills_and_yanks_move_text() {
        assert_eq!(line(b"one two three\x17\x17\x19"), "one two ");
        assert_eq!(line(b"one two\x15x"), "x");
        assert_eq!(line(b"one two\x01\x0bx\x19"), "xone two");
        assert_eq!(line(b"one two\x1bb\x04\x7f"), "onewo");
        assert_eq!(line(b"ba\x14"), "ab");
    }

    #[test]
    fn history_goes_up_and_down_and_keeps_the_draft() {
        assert_eq!(line(b"\x1b[A"), "second");
        assert_eq!(line(b"\x1b[A\x1b[A\x1b[A"), "first");
        assert_eq!(line(b"draft\x1b[A\x1b[A\x1b[B\x1b[B"), "draft");
        assert_eq!(line(b"\x1b[A!\x1b[B\x1b[A"), "second");
    }

    #[test]
    fn tab_completes_what_is_certain_and_lists_what_is_not() {
        assert_eq!(line(b"ca\tx"), "cat x");
        assert_eq!(line(b"d\tx"), "dir/x");
        assert_eq!(line(b"c\tp"), "cp");
        let (_, out, _) = typed(b"c\t\t");
        assert!(String::from_utf8(out).unwrap().contains("\r\ncat  cp\r\n"));
        let (_, out, _) = typed(b"zzz\t");
        assert_eq!(out.last(), Some(&7));
    }

    #[test]
    fn control_c_and_d_end_the_line() {
        assert_eq!(typed(b"abc\x03").2, Some(Outcome::Interrupt));
        assert_eq!(typed(b"\x04").2, Some(Outcome::EndOfInput));
        assert_eq!(typed(b"a\x04").2, None);
    }

    #[test]
    fn a_long_line_scrolls_and_never_wraps() {
        let mut bytes = b"x".repeat(300);
        bytes.extend_from_slice(b"\x01\x05\x01y\x1b[C\x1b[C");
        let (editor, out, _) = typed(&bytes);
        screen(&out);
        assert_eq!(editor.line.len(), 301);
        assert_eq!(editor.line[0], 'y');
    }

    #[test]
    fn no_input_breaks_the_editor() {
        let pieces: &[&[u8]] = &[
            b"a",
            b" ",
            b"\x01",
            b"\x05",
            b"\x0b",
            b"\x15",
            b"\x17",
            b"\x19",
            b"\x14",
            b"\x7f",
            b"\x04",
            b"\t",
            b"\x0c",
            b"\x1b[A",
            b"\x1b[B",
            b"\x1b[C",
            b"\x1b[D",
            b"\x1bb",
            b"\x1bf",
            b"\x1bd",
            b"\x1b[3~",
            b"c",
            b"\xff",
            "é".as_bytes(),
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..2000 {
            let mut bytes = Vec::new();
            for _ in 0..40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend_from_slice(pieces[(state % pieces.len() as u64) as usize]);
            }
            typed(&bytes);
        }
    }
}
