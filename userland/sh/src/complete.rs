//! Tab completion: of programs and builtins in command position, of paths elsewhere.

use crate::builtin;
use crate::editor::{Completer, Completion};
use crate::system::System;
use crate::word::quoted;
use alloc::{format, string::String, vec::Vec};

/// Where programs are looked up.
pub const PROGRAMS: &str = "/bin";

/// Completes with what the system has.
pub struct Completions<'a, S: System>(pub &'a mut S);

impl<S: System> Completer for Completions<'_, S> {
    fn complete(&mut self, before: &str) -> Completion {
        let word = last_word(before);
        let mut candidates = if word.is_command && !word.text.contains('/') {
            self.commands(&word.text)
        } else {
            self.paths(&word.text)
        };
        candidates.sort();
        candidates.dedup();
        Completion { start: word.start, candidates }
    }
}

impl<S: System> Completions<'_, S> {
    fn commands(&mut self, prefix: &str) -> Vec<String> {
        let programs = self.0.entries(PROGRAMS).unwrap_or_default();
        let programs = programs.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name);
        let builtins = builtin::ALL.iter().map(|(name, _)| String::from(*name));
        programs.chain(builtins).filter(|name| name.starts_with(prefix)).collect()
    }

    fn paths(&mut self, prefix: &str) -> Vec<String> {
        let (directory, name) = prefix.rfind('/').map_or(("", prefix), |at| prefix.split_at(at + 1));
        let entries = self.0.entries(directory).unwrap_or_default();
        let wanted =
            |entry_name: &str| entry_name.starts_with(name) && (name.starts_with('.') || !entry_name.starts_with('.'));
        let fits = entries.iter().filter(|entry| wanted(&entry.name));
        fits.map(|entry| quoted(&format!("{directory}{}", entry.name)) + if entry.is_dir { "/" } else { "" }).collect()
    }
}

/// The word that is being typed.
struct LastWord {
    /// Where it begins.
    start: usize,
    /// It, without its quotes.
    text: String,
    /// It names a command.
    is_command: bool,
}

/// Finds the last word of a line that may end inside quotes.
fn last_word(before: &str) -> LastWord {
    let mut word = LastWord { start: 0, text: String::new(), is_command: true };
    let mut quote = None;
    let mut chars = before.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.text.extend(chars.next().map(|(_, c)| c)),
            (Some(_), c) => word.text.push(c),
            (None, ' ' | '\t') => {
                let ended = word.start < at;
                word.is_command &= !ended;
                word = LastWord { start: at + 1, text: String::new(), is_command: word.is_command };
            }
            (None, ';' | '&' | '|' | '<' | '>') => {
                let is_command = !matches!(c, '<' | '>');
                word = LastWord { start: at + 1, text: String::new(), is_command };
            }
            (None, c) => word.text.push(c),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(before: &str) -> (usize, String, bool) {
        let word = last_word(before);
        (word.start, word.text, word.is_command)
    }

    #[test]
    fn the_first_word_of_a_command_is_a_command() {
        assert_eq!(word(""), (0, "".into(), true));
        assert_eq!(word("  l"), (2, "l".into(), true));
        assert_eq!(word("a; l"), (3, "l".into(), true));
        assert_eq!(word("a |l"), (3, "l".into(), true));
        assert_eq!(word("a && "), (5, "".into(), true));
        assert_eq!(word("ls x"), (3, "x".into(), false));
        assert_eq!(word("ls  "), (4, "".into(), false));
        assert_eq!(word("ls > x"), (5, "x".into(), false));
    }

    #[test]
    fn quotes_and_backslashes_belong_to_the_word() {
        assert_eq!(word("ls 'a b"), (3, "a b".into(), false));
        assert_eq!(word("ls a\\ b"), (3, "a b".into(), false));
        assert_eq!(word("ls \"a;b"), (3, "a;b".into(), false));
    }
}
