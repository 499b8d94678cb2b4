//! The interactive shell: prompt, line, run, again.

use crate::complete::Completions;
use crate::editor::{Editor, Outcome};
use crate::shell::{INTERRUPTED, Shell};
use crate::syntax::{self, SyntaxError};
use crate::system::System;
use alloc::{collections::VecDeque, format, string::String, vec::Vec};

/// The prompt of a line that continues the one before.
const MORE: &str = "> ";

/// Reads and runs lines until `exit` or the end of input: the status to end with.
pub fn interact<S: System>(shell: &mut Shell<S>) -> i32 {
    shell.interactive = true;
    let mut editor = Editor::default();
    let mut typed = VecDeque::new();
    let mut text = String::new();
    while shell.exit.is_none() {
        if text.is_empty() {
            shell.report_jobs();
        }
        let prompt = if text.is_empty() { format!("tessera:{}$ ", shell.here) } else { MORE.into() };
        shell.system.claim_terminal();
        match read_line(shell, &mut editor, &mut typed, &prompt) {
            Some(Outcome::Line(line)) => {
                text.push_str(&line);
                if matches!(syntax::parse(&text), Err(SyntaxError::Incomplete(_))) {
                    text.push('\n');
                    continue;
                }
                shell.history.add(text.trim_end_matches('\n'));
                shell.run_text(&text);
            }
            Some(Outcome::Interrupt) => shell.status = INTERRUPTED,
            Some(Outcome::EndOfInput) if !text.is_empty() => shell.complain("the input ends inside a command"),
            Some(Outcome::EndOfInput) | None => return shell.status,
        }
        text.clear();
    }
    shell.exit.unwrap_or(shell.status)
}

/// One line from the terminal; `None`: the terminal is gone.
fn read_line<S: System>(
    shell: &mut Shell<S>,
    editor: &mut Editor,
    typed: &mut VecDeque<u8>,
    prompt: &str,
) -> Option<Outcome> {
    let [_, terminal, _] = shell.system.standard();
    let mut out = Vec::new();
    editor.begin(prompt, &shell.history, &mut out);
    loop {
        let outcome = loop {
            let Some(byte) = typed.pop_front() else { break None };
            let mut completer = Completions(&mut shell.system);
            let outcome = editor.feed(byte, &shell.history, &mut completer, &mut out);
            if outcome.is_some() {
                break outcome;
            }
        };
        // Where the terminal takes nothing the read below fails as well, and that ends the shell.
        let _ = shell.system.write(&terminal, &out);
        out.clear();
        if outcome.is_some() {
            return outcome;
        }
        typed.extend(shell.system.read_terminal()?);
    }
}
