//! Writes its arguments.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::{Program, Stop};

userland::raw_program!(run);

/// Whatever does not stand first is text, also what looks like an option.
fn run(program: &mut Program, arguments: &[&str]) -> Result<(), Stop> {
    let (newline, words) = match arguments {
        ["-n", words @ ..] => (false, words),
        ["--help"] => return program.help(),
        words => (true, words),
    };
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            program.say(" ")?;
        }
        program.say(word)?;
    }
    if newline { program.say("\n") } else { Ok(()) }
}
