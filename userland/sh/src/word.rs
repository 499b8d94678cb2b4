//! Words before and after expansion.
//!
//! Invariants:
//! 1. Quoted text is never split, and never taken for a pattern.
//! 2. A word with a quoted part expands to at least one argument; an unquoted one that expands to nothing vanishes.

use crate::glob;
use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// A word as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// Its parts, joined without blanks.
    pub parts: Vec<Part>,
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text for itself.
    Text {
        /// The text, without its quotes.
        text: String,
        /// It stood in quotes or after a backslash.
        quoted: bool,
    },
    /// `$NAME`.
    Variable {
        /// Its name.
        name: String,
        /// It stood in double quotes.
        quoted: bool,
    },
}

/// What expansion asks of the shell.
pub trait Scope {
    /// The value of a variable, `None` where it is not set.
    fn variable(&self, name: &str) -> Option<String>;
    /// The entries of a directory (`""`: the current one), `None` where it cannot be read.
    fn entries(&mut self, directory: &str) -> Option<Vec<String>>;
}

impl Word {
    /// Appends text; adjoining text with the same quoting becomes one part.
    pub fn push_str(&mut self, more: &str, is_quoted: bool) {
        match self.parts.last_mut() {
            Some(Part::Text { text, quoted }) if *quoted == is_quoted => text.push_str(more),
            _ => self.parts.push(Part::Text { text: more.into(), quoted: is_quoted }),
        }
    }

    /// Appends a character.
    pub fn push(&mut self, more: char, quoted: bool) {
        self.push_str(more.encode_utf8(&mut [0; 4]), quoted);
    }

    /// Whether it is exactly this text, without any quotes.
    pub fn is_bare(&self, wanted: &str) -> bool {
        matches!(&self.parts[..], [Part::Text { text, quoted: false }] if text == wanted)
    }

    /// Name and value where it is an assignment.
    pub fn as_assignment(&self) -> Option<(String, Word)> {
        let Some(Part::Text { text, quoted: false }) = self.parts.first() else { return None };
        let (name, value) = text.split_once('=')?;
        let begins_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !begins_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let mut rest = Word::default();
        if !value.is_empty() {
            rest.push_str(value, false);
        }
        rest.parts.extend(self.parts[1..].iter().cloned());
        Some((name.into(), rest))
    }

    /// The word with its variables replaced, as one text: for values of assignments and names of files.
    pub fn expand_whole(&self, scope: &dyn Scope) -> String {
        let mut whole = String::new();
        for part in &self.parts {
            match part {
                Part::Text { text, .. } => whole.push_str(text),
                Part::Variable { name, .. } => whole.push_str(&scope.variable(name).unwrap_or_default()),
            }
        }
        whole
    }

    /// The arguments that it stands for: variables replaced, unquoted values split at blanks, patterns replaced by the
    /// paths that match (or kept where none does).
    pub fn expand(&self, scope: &mut dyn Scope) -> Vec<String> {
        self.fields(scope).into_iter().flat_map(|field| field.paths(scope)).collect()
    }

    fn fields(&self, scope: &dyn Scope) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut current: Option<Field> = None;
        for part in &self.parts {
            match part {
                Part::Text { text, quoted } => current.get_or_insert_default().push(text, *quoted),
                Part::Variable { name, quoted: true } => {
                    let value = scope.variable(name).unwrap_or_default();
                    current.get_or_insert_default().push(&value, true);
                }
                Part::Variable { name, quoted: false } => {
                    let value = scope.variable(name).unwrap_or_default();
                    split_into(&value, &mut current, &mut fields);
                }
            }
        }
        fields.extend(current);
        fields
    }
}

/// Splits a value at its blanks: its first piece continues `current`, its last becomes it.
fn split_into(value: &str, current: &mut Option<Field>, fields: &mut Vec<Field>) {
    for (index, piece) in value.split([' ', '\t', '\n']).enumerate() {
        if index > 0 {
            fields.extend(current.take());
        }
        if !piece.is_empty() {
            current.get_or_insert_default().push(piece, false);
        }
    }
}

/// An argument in the making: its text, and the pattern that it is where unquoted `*`, `?` or `[` stand in it.
#[derive(Default)]
struct Field {
    text: String,
    pattern: String,
    magic: bool,
}

impl Field {
    fn push(&mut self, text: &str, quoted: bool) {
        self.text.push_str(text);
        for c in text.chars() {
            let special = matches!(c, '*' | '?' | '[' | ']' | '\\');
            if special && (quoted || c == '\\') {
                self.pattern.push('\\');
            }
            self.magic |= !quoted && matches!(c, '*' | '?' | '[');
            self.pattern.push(c);
        }
    }

    fn paths(self, scope: &mut dyn Scope) -> Vec<String> {
        let mut found = if self.magic { glob::paths(&self.pattern, &mut |dir| scope.entries(dir)) } else { Vec::new() };
        if found.is_empty() {
            found.push(self.text);
        }
        found
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text { text, .. } => f.write_str(text),
            Part::Variable { name, .. } => write!(f, "${name}"),
        })
    }
}

/// The text, quoted so that the shell reads it back as one word.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%^~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse;

    struct Fixed;

    impl Scope for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "?" => Some("7".into()),
                "two" => Some("a  b".into()),
                "edge" => Some(" x ".into()),
                "star" => Some("*.txt".into()),
                "empty" => Some("".into()),
                _ => None,
            }
        }

        fn entries(&mut self, directory: &str) -> Option<Vec<String>> {
            match directory {
                "" => Some(["b.txt", "a.txt", ".hidden.txt", "dir"].map(String::from).into()),
                "dir" | "dir/" => Some(["x y", "z*"].map(String::from).into()),
                _ => None,
            }
        }
    }

    fn expand(text: &str) -> Vec<String> {
        let script = parse(text).unwrap();
        script.items[0].first.commands[0].words.iter().flat_map(|word| word.expand(&mut Fixed)).collect()
    }

    #[test]
    fn an_unquoted_value_is_split_and_a_quoted_one_is_not() {
        assert_eq!(expand("e $two \"$two\""), ["e", "a", "b", "a  b"]);
        assert_eq!(expand("e x$two-y"), ["e", "xa", "b-y"]);
        assert_eq!(expand("e x${edge}y"), ["e", "x", "x", "y"]);
    }

    #[test]
    fn an_unset_variable_vanishes_unless_quoted() {
        assert_eq!(expand("e $nope $empty \"$nope\" x$nope"), ["e", "", "x"]);
    }

    #[test]
    fn patterns_match_sorted_and_only_unquoted() {
        assert_eq!(expand("e *.txt"), ["e", "a.txt", "b.txt"]);
        assert_eq!(expand("e '*.txt' \\*.txt \"*\""), ["e", "*.txt", "*.txt", "*"]);
        assert_eq!(expand("e $star \"$star\""), ["e", "a.txt", "b.txt", "*.txt"]);
        assert_eq!(expand("e .h*"), ["e", ".hidden.txt"]);
        assert_eq!(expand("e dir/*"), ["e", "dir/x y", "dir/z*"]);
        assert_eq!(expand("e d*/z\\*"), ["e", "dir/z*"]);
        assert_eq!(expand("e *.nope"), ["e", "*.nope"]);
    }

    #[test]
    fn the_status_is_a_variable() {
        assert_eq!(expand("e $? a$?b"), ["e", "7", "a7b"]);
    }

    #[test]
    fn a_quoted_text_reads_back_as_itself() {
        for text in ["", "plain", "a b", "it's", "$x", "*", "a\"b", "-n", "é", "a\nb", "\\", ";"] {
            assert_eq!(expand(&format!("e {}", quoted(text))), ["e", text], "{text:?}");
        }
    }
}
