//! The shell's language: from text to a [`Script`].
//!
//! Grammar, lowest precedence first (newlines may follow `&&`, `||` and `|`):
//! ```text
//! script   := [ item { (';' | '&' | newline) item } ]
//! item     := pipeline { ('&&' | '||') pipeline }
//! pipeline := [ '!' ] command { '|' command }
//! command  := { NAME=word } { word | redirection }
//! redirection := [ '0' | '1' | '2' ] ( '<' | '>' | '>>' ) word  |  [ '1' | '2' ] '>&' ( '1' | '2' )
//! ```
//! Invariants of a parsed script:
//! 1. Every pipeline has a command, and every command a word, a redirection or an assignment.
//! 2. Nothing of the text is lost silently: what has no place in the grammar is an error that names it.
//! 3. Parsing never panics and uses memory in proportion to the text.

use crate::word::{Part, Word};
use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// A whole text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// What to run, in order.
    pub items: Vec<Item>,
}

/// What `;`, `&` or a newline ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The first pipeline.
    pub first: Pipeline,
    /// The others, each with what decides whether it runs.
    pub rest: Vec<(Connector, Pipeline)>,
    /// Ended by `&`.
    pub background: bool,
    /// The source, for `jobs`.
    pub text: String,
}

/// What stands between two pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connector {
    /// `&&`: only after success.
    And,
    /// `||`: only after failure.
    Or,
}

/// Commands joined by `|`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline {
    /// Begun by `!`: success and failure change places.
    pub negated: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// A program or builtin with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// `NAME=value` before the first word.
    pub assignments: Vec<(String, Word)>,
    /// Name and arguments, not yet expanded.
    pub words: Vec<Word>,
    /// In the order of the text.
    pub redirections: Vec<Redirection>,
}

/// Where a standard stream goes instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirection {
    /// 0, 1 or 2.
    pub stream: u8,
    /// Its new target.
    pub target: Target,
}

/// The target of a redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `< file`
    Read(Word),
    /// `> file`
    Write(Word),
    /// `>> file`
    Append(Word),
    /// `>&1`, `>&2`: what that stream is now.
    Same(u8),
}

/// Why a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyntaxError {
    /// It ends too early; more lines may complete it.
    Incomplete(&'static str),
    /// It cannot become right by adding to it.
    Wrong(String),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyntaxError::Incomplete(what) => write!(f, "syntax error: the command ends {what}"),
            SyntaxError::Wrong(what) => write!(f, "syntax error: {what}"),
        }
    }
}

/// Reads a text.
pub fn parse(text: &str) -> Result<Script, SyntaxError> {
    let mut parser = Parser { tokens: Lexer::new(text).tokens()?, next: 0, text };
    parser.script()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Word),
    Newline,
    Semicolon,
    Ampersand,
    And,
    Or,
    Pipe,
    Less(u8),
    Great(u8),
    GreatGreat(u8),
    GreatAnd(u8, u8),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::Word(_) => "word",
            Token::Newline => "end of line",
            Token::Semicolon => "';'",
            Token::Ampersand => "'&'",
            Token::And => "'&&'",
            Token::Or => "'||'",
            Token::Pipe => "'|'",
            Token::Less(_) => "'<'",
            Token::Great(_) => "'>'",
            Token::GreatGreat(_) => "'>>'",
            Token::GreatAnd(..) => "'>&'",
        }
    }
}

/// A token and where in the text it stands.
struct Placed {
    token: Token,
    start: usize,
    end: usize,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Placed>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, tokens: Vec::new() }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn tokens(mut self) -> Result<Vec<Placed>, SyntaxError> {
        loop {
            self.skip_blanks();
            let start = self.at;
            let Some(next) = self.peek() else { return Ok(self.tokens) };
            let token = match next {
                '\n' | ';' | '&' | '|' | '<' | '>' => self.operator()?,
                '(' | ')' => {
                    return Err(SyntaxError::Wrong(format!(
                        "'{next}' has no meaning here; quote it to use it as text"
                    )));
                }
                _ => self.word_or_numbered()?,
            };
            self.tokens.push(Placed { token, start, end: self.at });
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            if self.text[self.at..].starts_with("\\\n") {
                self.at += 2;
            } else if matches!(self.peek(), Some(' ' | '\t' | '\r')) {
                self.at += 1;
            } else if self.peek() == Some('#') {
                self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
            } else {
                return;
            }
        }
    }

    fn operator(&mut self) -> Result<Token, SyntaxError> {
        Ok(match self.take() {
            Some('\n') => Token::Newline,
            Some(';') => Token::Semicolon,
            Some('&') => {
                if self.take_if('&') {
                    Token::And
                } else {
                    Token::Ampersand
                }
            }
            Some('|') => {
                if self.take_if('|') {
                    Token::Or
                } else {
                    Token::Pipe
                }
            }
            Some('<') => Token::Less(0),
            _ => self.output(1)?,
        })
    }

    /// After `>`: `>>` appends, `>&N` copies.
    fn output(&mut self, stream: u8) -> Result<Token, SyntaxError> {
        if self.take_if('>') {
            return Ok(Token::GreatGreat(stream));
        }
        if !self.take_if('&') {
            return Ok(Token::Great(stream));
        }
        match self.take() {
            Some('1') => Ok(Token::GreatAnd(stream, 1)),
            Some('2') => Ok(Token::GreatAnd(stream, 2)),
            _ => Err(SyntaxError::Wrong("'>&' needs a stream after it: 1 (output) or 2 (errors)".into())),
        }
    }

    /// A word, or a redirection with the number of its stream (`2>`).
    fn word_or_numbered(&mut self) -> Result<Token, SyntaxError> {
        let bytes = &self.text.as_bytes()[self.at..];
        if let [digit @ b'0'..=b'9', direction @ (b'<' | b'>'), ..] = *bytes {
            let stream = digit - b'0';
            let allowed = if direction == b'<' { stream == 0 } else { stream == 1 || stream == 2 };
            if !allowed {
                let shown = char::from(direction);
                return Err(SyntaxError::Wrong(format!("'{stream}{shown}': streams are 0<, 1> and 2>")));
            }
            self.at += 2;
            return if direction == b'<' { Ok(Token::Less(0)) } else { self.output(stream) };
        }
        Ok(Token::Word(self.word()?))
    }

    fn word(&mut self) -> Result<Word, SyntaxError> {
        let mut word = Word::default();
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' => self.escaped(&mut word)?,
                '$' => self.variable(&mut word, false)?,
                '`' => return Err(SyntaxError::Wrong("'`': command substitution is not supported; quote it".into())),
                other => {
                    self.take();
                    word.push(other, false);
                }
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        self.take();
        let length = self.text[self.at..].find('\'').ok_or(SyntaxError::Incomplete("inside '...'"))?;
        word.push_str(&self.text[self.at..self.at + length], true);
        self.at += length + 1;
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        self.take();
        word.push_str("", true);
        loop {
            match self.peek().ok_or(SyntaxError::Incomplete("inside \"...\""))? {
                '"' => {
                    self.take();
                    return Ok(());
                }
                '\\' => {
                    self.take();
                    match self.take().ok_or(SyntaxError::Incomplete("inside \"...\""))? {
                        '\n' => {}
                        special @ ('"' | '\\' | '$' | '`') => word.push(special, true),
                        other => {
                            word.push('\\', true);
                            word.push(other, true);
                        }
                    }
                }
                '$' => self.variable(word, true)?,
                other => {
                    self.take();
                    word.push(other, true);
                }
            }
        }
    }

    fn escaped(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        self.take();
        match self.take().ok_or(SyntaxError::Incomplete("with a backslash"))? {
            '\n' => {}
            other => word.push(other, true),
        }
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `$?` and the like; a `$` before anything else is itself.
    fn variable(&mut self, word: &mut Word, quoted: bool) -> Result<(), SyntaxError> {
        self.take();
        if self.text[self.at..].starts_with('(') {
            return Err(SyntaxError::Wrong("'$(': command substitution is not supported; quote it".into()));
        }
        let braced = self.take_if('{');
        let rest = &self.text[self.at..];
        let length = name_length(rest);
        if !braced {
            if length == 0 {
                word.push('$', quoted);
            } else {
                word.parts.push(Part::Variable { name: rest[..length].into(), quoted });
                self.at += length;
            }
            return Ok(());
        }
        let close = rest.find('}').ok_or(SyntaxError::Incomplete("inside ${...}"))?;
        if length == 0 || length != close {
            return Err(SyntaxError::Wrong(format!("'${{{}}}' names no variable", &rest[..close])));
        }
        word.parts.push(Part::Variable { name: rest[..length].into(), quoted });
        self.at += close + 1;
        Ok(())
    }
}

/// How many bytes at the start of `text` are a variable's name: `?`, `$`, `!`, `#`, `@`, a digit, or an identifier.
fn name_length(text: &str) -> usize {
    match text.as_bytes().first() {
        Some(b'?' | b'$' | b'!' | b'#' | b'@' | b'0'..=b'9') => 1,
        Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
            text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        }
        _ => 0,
    }
}

struct Parser<'a> {
    tokens: Vec<Placed>,
    next: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    fn take_if(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.next += usize::from(found);
        found
    }

    fn skip_newlines(&mut self) {
        while self.take_if(&Token::Newline) {}
    }

    fn script(&mut self) -> Result<Script, SyntaxError> {
        let mut script = Script::default();
        loop {
            self.skip_newlines();
            if self.peek().is_none() {
                return Ok(script);
            }
            let mut item = self.item()?;
            match self.peek() {
                None => {}
                Some(Token::Semicolon | Token::Newline) => self.next += 1,
                Some(Token::Ampersand) => {
                    item.background = true;
                    self.next += 1;
                }
                Some(other) => return Err(SyntaxError::Wrong(format!("{} is out of place", other.name()))),
            }
            script.items.push(item);
        }
    }

    fn item(&mut self) -> Result<Item, SyntaxError> {
        let start = self.tokens.get(self.next).map_or(self.text.len(), |placed| placed.start);
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let connector = match self.peek() {
                Some(Token::And) => Connector::And,
                Some(Token::Or) => Connector::Or,
                _ => break,
            };
            self.next += 1;
            self.skip_newlines();
            let after = if connector == Connector::And { "after '&&'" } else { "after '||'" };
            self.need_more(after)?;
            rest.push((connector, self.pipeline()?));
        }
        let end = self.tokens[self.next - 1].end;
        Ok(Item { first, rest, background: false, text: self.text[start..end].into() })
    }

    fn need_more(&self, place: &'static str) -> Result<(), SyntaxError> {
        self.peek().map(|_| ()).ok_or(SyntaxError::Incomplete(place))
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let mut pipeline = Pipeline::default();
        while matches!(self.peek(), Some(Token::Word(word)) if word.is_bare("!")) {
            pipeline.negated = !pipeline.negated;
            self.next += 1;
            self.need_more("after '!'")?;
        }
        loop {
            pipeline.commands.push(self.command()?);
            if !self.take_if(&Token::Pipe) {
                return Ok(pipeline);
            }
            self.skip_newlines();
            self.need_more("after '|'")?;
        }
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        let mut command = Command::default();
        while let Some(token) = self.peek().cloned() {
            match token {
                Token::Word(word) => match word.as_assignment() {
                    Some(assignment) if command.words.is_empty() => command.assignments.push(assignment),
                    _ => command.words.push(word),
                },
                Token::Less(_) | Token::Great(_) | Token::GreatGreat(_) | Token::GreatAnd(..) => {
                    self.next += 1;
                    let redirection = self.redirection(token)?;
                    command.redirections.push(redirection);
                    continue;
                }
                _ => break,
            }
            self.next += 1;
        }
        if command == Command::default() {
            let found = self.peek().map_or("the end", Token::name);
            return Err(SyntaxError::Wrong(format!("a command is missing before {found}")));
        }
        Ok(command)
    }

    /// After the operator: its file.
    fn redirection(&mut self, operator: Token) -> Result<Redirection, SyntaxError> {
        if let Token::GreatAnd(stream, other) = operator {
            return Ok(Redirection { stream, target: Target::Same(other) });
        }
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(SyntaxError::Wrong(format!("a file name is missing after {}", operator.name())));
        };
        self.next += 1;
        Ok(match operator {
            Token::Less(stream) => Redirection { stream, target: Target::Read(word) },
            Token::GreatGreat(stream) => Redirection { stream, target: Target::Append(word) },
            Token::Great(stream) => Redirection { stream, target: Target::Write(word) },
            other => return Err(SyntaxError::Wrong(format!("{} is out of place", other.name()))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    fn texts(command: &Command) -> Vec<String> {
        command.words.iter().map(Word::to_string).collect()
    }

    fn only(text: &str) -> Command {
        let script = parse(text).unwrap();
        assert_eq!(script.items.len(), 1, "{text}");
        script.items[0].first.commands[0].clone()
    }

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn blanks_separate_words_and_quotes_join_them() {
        assert_eq!(texts(&only("  echo a\\ b 'c  d' \"e  f\"g'h' ")), ["echo", "a b", "c  d", "e  fgh"]);
        assert_eq!(texts(&only("echo '' \"\"")), ["echo", "", ""]);
    }

    #[test]
    fn operators_need_no_blanks_around_them() {
        let script = parse("a&&b||c;d&e|f>g").unwrap();
        assert_eq!(script.items.len(), 3);
        assert_eq!(script.items[0].rest[0].0, Connector::And);
        assert_eq!(script.items[0].rest[1].0, Connector::Or);
        assert!(script.items[1].background);
        assert_eq!(script.items[2].first.commands.len(), 2);
        assert_eq!(script.items[2].text, "e|f>g");
    }

    #[test]
    fn quoted_operators_are_text() {
        assert_eq!(texts(&only("echo ';' \"&&\" \\| '>' \\#")), ["echo", ";", "&&", "|", ">", "#"]);
    }

    #[test]
    fn a_comment_reaches_to_the_end_of_its_line() {
        let script = parse("echo a#b # c ; d\necho e").unwrap();
        assert_eq!(script.items.len(), 2);
        assert_eq!(texts(&script.items[0].first.commands[0]), ["echo", "a#b"]);
    }

    #[test]
    fn redirections_keep_their_order_and_stream() {
        let command = only("cmd <in 2>&1 >out 2>>err");
        let streams: Vec<u8> = command.redirections.iter().map(|r| r.stream).collect();
        assert_eq!(streams, vec![0, 2, 1, 2]);
        assert_eq!(command.redirections[1].target, Target::Same(1));
        assert!(matches!(command.redirections[3].target, Target::Append(_)));
    }

    #[test]
    fn a_digit_counts_as_a_stream_only_directly_before_the_arrow() {
        assert_eq!(texts(&only("echo 2 >x")), ["echo", "2"]);
        assert_eq!(texts(&only("echo a2>x")), ["echo", "a2"]);
        assert_eq!(only("echo 2>x").redirections[0].stream, 2);
        assert_eq!(wrong("echo 5>x"), "syntax error: '5>': streams are 0<, 1> and 2>");
    }

    #[test]
    fn variables_are_found_outside_single_quotes_only() {
        let command = only("echo $? \"$HOME\" '$x' ${y}z $");
        let variable = |name: &str, quoted| Part::Variable { name: name.into(), quoted };
        assert_eq!(command.words[1].parts, vec![variable("?", false)]);
        assert!(command.words[2].parts.contains(&variable("HOME", true)));
        assert_eq!(command.words[3].to_string(), "$x");
        assert_eq!(command.words[4].parts[0], variable("y", false));
        assert_eq!(command.words[5].to_string(), "$");
    }

    #[test]
    fn assignments_stand_before_the_first_word_only() {
        let command = only("a=1 b='x y' env c=2");
        assert_eq!(command.assignments.len(), 2);
        assert_eq!(command.assignments[1].0, "b");
        assert_eq!(texts(&command), ["env", "c=2"]);
        assert_eq!(texts(&only("'a'=1 x")), ["a=1", "x"], "a quoted name assigns nothing");
    }

    #[test]
    fn an_exclamation_mark_negates_a_pipeline() {
        assert!(parse("! true").unwrap().items[0].first.negated);
        assert!(!parse("! ! true").unwrap().items[0].first.negated);
        assert_eq!(texts(&only("echo !")), ["echo", "!"]);
    }

    #[test]
    fn what_more_lines_may_complete_is_incomplete() {
        for text in ["echo 'a", "echo \"a", "a |", "a &&\n", "a ||", "echo \\", "echo ${x", "!"] {
            assert!(matches!(parse(text), Err(SyntaxError::Incomplete(_))), "{text}");
        }
        assert_eq!(parse("a |\n b").unwrap().items[0].first.commands.len(), 2);
        assert_eq!(texts(&only("echo a\\\nb")), ["echo", "ab"]);
    }

    #[test]
    fn an_error_names_what_is_out_of_place() {
        assert_eq!(wrong("| a"), "syntax error: a command is missing before '|'");
        assert_eq!(wrong("a ; ; b"), "syntax error: a command is missing before ';'");
        assert_eq!(wrong("a && ; b"), "syntax error: a command is missing before ';'");
        assert_eq!(wrong("a > | b"), "syntax error: a file name is missing after '>'");
        assert_eq!(wrong("(a)"), "syntax error: '(' has no meaning here; quote it to use it as text");
        assert_eq!(wrong("echo $(a)"), "syntax error: '$(': command substitution is not supported; quote it");
        assert_eq!(wrong("echo ${a b}"), "syntax error: '${a b}' names no variable");
    }

    #[test]
    fn an_empty_text_is_an_empty_script() {
        for text in ["", "  ", "\n\n", "# only a comment", " \n # a \n"] {
            assert_eq!(parse(text), Ok(Script::default()), "{text:?}");
        }
    }

    /// A small generator of hostile texts: every operator, quote and letter in pseudo-random order.
    #[test]
    fn no_text_makes_the_parser_panic() {
        const ALPHABET: &[&str] = &[
            "a", "=", " ", "\n", ";", "&", "|", "<", ">", "'", "\"", "\\", "$", "{", "}", "?", "#", "2", "!", "(", "é",
            "`",
        ];
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push_str(ALPHABET[(state % ALPHABET.len() as u64) as usize]);
            }
            if let Ok(script) = parse(&text) {
                for item in &script.items {
                    for pipeline in core::iter::once(&item.first).chain(item.rest.iter().map(|(_, p)| p)) {
                        assert!(!pipeline.commands.is_empty());
                        assert!(pipeline.commands.iter().all(|c| *c != Command::default()));
                    }
                }
            }
        }
    }
}
