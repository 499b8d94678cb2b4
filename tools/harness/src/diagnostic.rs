//! Complaints about a text file, shown the way a compiler shows them.

use std::{fmt::Write, ops::Range};

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the file.
    pub at: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// It may stay as it is.
    pub is_warning: bool,
}

impl Problem {
    /// A problem at `at`.
    pub fn new(at: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { at, message: message.into(), help: None, is_warning: false }
    }

    /// Something at `at` that is of no use.
    pub fn warning(at: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { is_warning: true, ..Problem::new(at, message) }
    }

    /// The same with advice.
    pub fn help(self, help: impl Into<String>) -> Problem {
        Problem { help: Some(help.into()), ..self }
    }

    /// The same with the nearest valid name as advice, or all of them where none is near.
    pub fn suggest<'a>(self, wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Problem {
        let valid: Vec<&str> = valid.into_iter().collect();
        match nearest(wrong, &valid) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None if valid.is_empty() => self,
            None => self.help(format!("valid here: {}", valid.join(", "))),
        }
    }

    /// The problem as text: message, place, the line with a caret under the culprit, advice.
    pub fn render(&self, file: &str, text: &str) -> String {
        let start = floor(text, self.at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        let number = text[..line_start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count();
        let end = floor(text, self.at.end).clamp(start, (line_start + line.len()).max(start));
        let carets = "^".repeat(text[start..end].chars().count().max(1));
        let gutter = " ".repeat(number.to_string().len());
        let indent: String = text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let mut out = format!("{}: {}\n", if self.is_warning { "warning" } else { "error" }, self.message);
        let _ = writeln!(out, "{gutter}--> {file}:{number}:{}", column + 1);
        let _ = writeln!(out, "{gutter} |\n{number} | {line}\n{gutter} | {indent}{carets}");
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{gutter} = help: {help}");
        }
        out
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The valid name that `wrong` was most likely meant to be.
pub fn nearest<'a>(wrong: &str, valid: &[&'a str]) -> Option<&'a str> {
    let near = (wrong.chars().count() / 3).max(2);
    let (distance, name) = valid.iter().map(|name| (edits(wrong, name), *name)).min()?;
    (distance <= near && distance < name.chars().count()).then_some(name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut cost = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = cost[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let plain = replaced.min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1);
                if swapped { plain.min(cost[i - 2][j - 2] + 1) } else { plain }
            };
        }
    }
    cost[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_place_and_points_at_it() {
        let text = "a = 1\nuses = [\"blok\"]\n";
        let shown = Problem::new(14..20, "unknown queue `blok`").help("did you mean `block`?").render("s.toml", text);
        let expected = "error: unknown queue `blok`\n --> s.toml:2:9\n  |\n2 | uses = [\"blok\"]\n  |         ^^^^^^\n  = help: did you mean `block`?\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn any_range_can_be_shown() {
        for text in ["", "é\n\u{1f600}", "a\nb\n\n"] {
            for start in 0..8 {
                for end in start..9 {
                    assert!(Problem::new(start..end, "x").render("f", text).starts_with("error: x\n"));
                }
            }
        }
    }

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        assert_eq!(nearest("blok", &["console", "block", "fs"]), Some("block"));
        assert_eq!(nearest("conosle", &["console", "block"]), Some("console"));
        assert_eq!(nearest("network", &["console", "block"]), None);
        assert_eq!(nearest("x", &["fs"]), None, "two edits of a two-letter name make any name");
    }
}
