//! File-name patterns: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a character that stands for itself.

use alloc::{format, string::String, vec, vec::Vec};

/// The paths that match a pattern, sorted. `entries` lists a directory; a leading dot is matched only by a dot.
pub fn paths(pattern: &str, entries: &mut dyn FnMut(&str) -> Option<Vec<String>>) -> Vec<String> {
    let (mut found, rest) = match pattern.strip_prefix('/') {
        Some(rest) => (vec![String::from("/")], rest),
        None => (vec![String::new()], pattern),
    };
    for component in rest.split('/').filter(|component| !component.is_empty()) {
        found = found.iter().flat_map(|base| matches_in(base, component, entries)).collect();
    }
    if pattern.ends_with('/') {
        found.iter_mut().for_each(|path| path.push('/'));
    }
    found.sort();
    found
}

/// The paths in directory `base` whose last component matches.
fn matches_in(base: &str, component: &str, entries: &mut dyn FnMut(&str) -> Option<Vec<String>>) -> Vec<String> {
    let join = |name: &str| match base {
        "" => String::from(name),
        base if base.ends_with('/') => format!("{base}{name}"),
        base => format!("{base}/{name}"),
    };
    if component == "." || component == ".." {
        return vec![join(component)];
    }
    let names = entries(base).unwrap_or_default();
    let visible =
        |name: &&String| !name.starts_with('.') || component.starts_with('.') && *name != "." && *name != "..";
    names.iter().filter(visible).filter(|name| matches(component, name)).map(|name| join(name)).collect()
}

/// Whether the whole name matches the pattern. Takes time in proportion to the product of the two lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, n));
            p += 1;
            continue;
        }
        if n == name.len() && p == pattern.len() {
            return true;
        }
        let step = name.get(n).and_then(|c| one(&pattern[p..], *c));
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after_star, from))) if from < name.len() => {
                retry = Some((after_star, from + 1));
                (p, n) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character with the start of the pattern: how many characters of the pattern that took.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', set @ ..] => match class(set, c) {
            Some((hit, length)) => hit.then_some(length + 1),
            None => (c == '[').then_some(1),
        },
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// Reads a set after its `[`: whether `c` is in it, and its length with the `]`. `None`: it is not closed.
fn class(set: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some('!' | '^'));
    let mut at = usize::from(negated);
    let mut hit = false;
    let first = at;
    loop {
        let low = match *set.get(at)? {
            ']' if at > first => return Some((hit != negated, at + 1)),
            '\\' => {
                at += 1;
                *set.get(at)?
            }
            other => other,
        };
        at += 1;
        match (set.get(at), set.get(at + 1)) {
            (Some('-'), Some(&high)) if high != ']' => {
                hit |= low <= c && c <= high;
                at += 2;
            }
            _ => hit |= low == c,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run_and_question_marks_one_character() {
        for (pattern, name) in
            [("*", ""), ("*", "abc"), ("a*c", "abbc"), ("a*", "a"), ("?b?", "abc"), ("*a*a*", "banana"), ("é?", "éa")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a*c", "abcd"), ("?", ""), ("?", "ab"), ("*.txt", "txt"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn sets_have_ranges_and_negation() {
        assert!(matches("[a-c]x", "bx"));
        assert!(!matches("[a-c]x", "dx"));
        assert!(matches("[!a-c]", "d"));
        assert!(matches("[]]", "]"));
        assert!(matches("[a-]", "-"));
        assert!(matches("[ab", "[ab"), "an unclosed set is text");
    }

    #[test]
    fn a_backslash_makes_the_next_character_plain() {
        assert!(matches("\\*", "*"));
        assert!(!matches("\\*", "a"));
        assert!(matches("[\\]]", "]"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "a*".repeat(40) + "b";
        assert!(!matches(&pattern, &"a".repeat(200)));
    }

    #[test]
    fn paths_are_matched_component_by_component() {
        let mut list = |directory: &str| {
            Some(match directory {
                "/" => vec!["bin".into(), "boot".into(), "etc".into()],
                "/bin" => vec!["cat".into(), "cp".into()],
                "/boot" => vec!["cfg".into()],
                _ => return None,
            })
        };
        assert_eq!(paths("/b*/c*", &mut list), ["/bin/cat", "/bin/cp", "/boot/cfg"]);
        assert_eq!(paths("/e*/", &mut list), ["/etc/"]);
        assert!(paths("/nope/*", &mut list).is_empty());
    }
}
