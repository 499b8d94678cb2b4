//! Lines entered before.
//!
//! Invariants: never more than [`History::LIMIT`] lines; no line twice in a row; no empty line.

use alloc::{collections::VecDeque, string::String};

/// The lines, oldest first.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<String>,
    dropped: usize,
}

impl History {
    /// Most lines kept.
    pub const LIMIT: usize = 200;

    /// Remembers a line.
    pub fn add(&mut self, line: &str) {
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == Self::LIMIT {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line.into());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line at `index`, 0 the oldest.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.lines.get(index).map(String::as_str)
    }

    /// The lines with their numbers since the shell began, from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(index, line)| (self.dropped + index + 1, line.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn repeated_and_empty_lines_are_not_kept() {
        let mut history = History::default();
        for line in ["a", "a", "", "  ", "b", "a"] {
            history.add(line);
        }
        assert_eq!(history.numbered().collect::<alloc::vec::Vec<_>>(), [(1, "a"), (2, "b"), (3, "a")]);
    }

    #[test]
    fn the_oldest_line_goes_when_it_is_full_and_numbers_stay() {
        let mut history = History::default();
        for n in 0..=History::LIMIT {
            history.add(&format!("line {n}"));
        }
        assert_eq!(history.len(), History::LIMIT);
        assert_eq!(history.numbered().next(), Some((2, "line 1")));
    }
}
