//! Options and operands of a program, in the manner of Unix.
//!
//! `-a -b`, `-ab`, `-n 5`, `-n5`, `--` (what follows are operands), `-` (an operand), `--help`.

use alloc::{format, string::String, vec::Vec};

/// What a program accepts.
#[derive(Debug, Clone, Copy)]
pub struct Accepts {
    /// Letters of options without a value.
    pub flags: &'static str,
    /// Letters of options with a value.
    pub values: &'static str,
    /// Fewest operands.
    pub least: usize,
    /// Most operands.
    pub most: usize,
    /// Long names of options without a value, with their letters.
    pub long: &'static [(&'static str, char)],
    /// Operands and purpose, for `--help`, of a program that the catalogue does not know.
    pub about: Option<(&'static str, &'static str)>,
}

impl Accepts {
    /// Operands only: any number from `least`.
    pub const fn operands(least: usize, most: usize) -> Accepts {
        Accepts { flags: "", values: "", least, most, long: &[], about: None }
    }

    /// The same with options without a value.
    pub const fn flags(self, flags: &'static str) -> Accepts {
        Accepts { flags, ..self }
    }

    /// The same with long names for options without a value.
    pub const fn long(self, long: &'static [(&'static str, char)]) -> Accepts {
        Accepts { long, ..self }
    }

    /// The same for a program that the catalogue does not know: what `--help` shows as its operands and its purpose.
    pub const fn about(self, operands: &'static str, purpose: &'static str) -> Accepts {
        Accepts { about: Some((operands, purpose)), ..self }
    }

    /// The same with options with a value.
    pub const fn values(self, values: &'static str) -> Accepts {
        Accepts { values, ..self }
    }
}

/// What a program was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given<'a> {
    flags: Vec<char>,
    values: Vec<(char, &'a str)>,
    /// The operands, in order.
    pub operands: Vec<&'a str>,
}

/// Why arguments are not to be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `--help` was asked for.
    Help,
    /// They make no sense; says why.
    Wrong(String),
}

impl<'a> Given<'a> {
    /// Sorts the arguments after the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = &'a str>, accepts: &Accepts) -> Result<Given<'a>, Refusal> {
        let mut given = Given::default();
        let mut arguments = arguments.into_iter();
        let mut only_operands = false;
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix('-') {
                _ if only_operands => given.operands.push(argument),
                None | Some("") => given.operands.push(argument),
                Some("-") => only_operands = true,
                Some("-help") => return Err(Refusal::Help),
                Some(long) if long.starts_with('-') => {
                    let known = accepts.long.iter().find(|(name, _)| *name == &long[1..]);
                    let unknown = || Refusal::Wrong(format!("unknown option '{argument}'"));
                    given.flags.push(known.ok_or_else(unknown)?.1);
                }
                Some(letters) => given.letters(letters, &mut arguments, accepts)?,
            }
        }
        given.count(accepts)?;
        Ok(given)
    }

    fn letters(
        &mut self,
        letters: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
        accepts: &Accepts,
    ) -> Result<(), Refusal> {
        for (at, letter) in letters.char_indices() {
            if accepts.flags.contains(letter) {
                self.flags.push(letter);
            } else if accepts.values.contains(letter) {
                let attached = &letters[at + letter.len_utf8()..];
                let value = if attached.is_empty() { rest.next() } else { Some(attached) };
                let missing = || Refusal::Wrong(format!("option '-{letter}' needs a value"));
                self.values.push((letter, value.ok_or_else(missing)?));
                return Ok(());
            } else {
                return Err(Refusal::Wrong(format!("unknown option '-{letter}'")));
            }
        }
        Ok(())
    }

    fn count(&self, accepts: &Accepts) -> Result<(), Refusal> {
        if self.operands.len() < accepts.least {
            return Err(Refusal::Wrong("missing operand".into()));
        }
        match self.operands.get(accepts.most) {
            Some(extra) => Err(Refusal::Wrong(format!("extra operand '{extra}'"))),
            None => Ok(()),
        }
    }

    /// Whether the option was given.
    pub fn has(&self, flag: char) -> bool {
        self.flags.contains(&flag)
    }

    /// The value given last to the option.
    pub fn value(&self, letter: char) -> Option<&'a str> {
        self.values.iter().rev().find(|(given, _)| *given == letter).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTS: Accepts = Accepts::operands(0, usize::MAX).flags("rf").values("n");

    fn wrong(arguments: &[&'static str], accepts: &Accepts) -> String {
        match Given::parse(arguments.iter().copied(), accepts) {
            Err(Refusal::Wrong(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_come_alone_or_together_and_anywhere() {
        let given = Given::parse(["-rf", "a", "-n", "3", "b"], &ACCEPTS).unwrap();
        assert!(given.has('r') && given.has('f'));
        assert_eq!(given.value('n'), Some("3"));
        assert_eq!(given.operands, ["a", "b"]);
        assert_eq!(Given::parse(["-rn5"], &ACCEPTS).unwrap().value('n'), Some("5"));
    }

    #[test]
    fn a_long_option_is_its_letter() {
        let accepts = ACCEPTS.long(&[("force", 'f')]);
        assert!(Given::parse(["--force", "a"], &accepts).unwrap().has('f'));
        assert_eq!(wrong(&["--forced"], &accepts), "unknown option '--forced'");
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert_eq!(Given::parse(["-n1", "-n2"], &ACCEPTS).unwrap().value('n'), Some("2"));
    }

    #[test]
    fn two_dashes_end_the_options_and_one_is_an_operand() {
        assert_eq!(Given::parse(["--", "-r", "--help"], &ACCEPTS).unwrap().operands, ["-r", "--help"]);
        assert_eq!(Given::parse(["-"], &ACCEPTS).unwrap().operands, ["-"]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        assert_eq!(wrong(&["-x"], &ACCEPTS), "unknown option '-x'");
        assert_eq!(wrong(&["--verbose"], &ACCEPTS), "unknown option '--verbose'");
        assert_eq!(wrong(&["-n"], &ACCEPTS), "option '-n' needs a value");
        assert_eq!(wrong(&[], &Accepts::operands(1, 2)), "missing operand");
        assert_eq!(wrong(&["a", "b", "c"], &Accepts::operands(1, 2)), "extra operand 'c'");
        assert_eq!(Given::parse(["a", "--help"], &ACCEPTS), Err(Refusal::Help));
    }
}
