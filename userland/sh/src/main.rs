//! The shell as a program: the interpreter of the library, over the capabilities that it was handed.
//!
//! `sh` reads commands from a person (where it was handed a `console`) or from standard input, `sh -c TEXT [NAME [ARG]...]`
//! runs a text, `sh FILE [ARG]...` a file.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

mod native;
mod programs;
mod stream;
mod terminal;

use alloc::{format, string::String, vec::Vec};
use libipc::{Startup, Stream};
use native::Native;
use sh::{session, shell::Shell};

libipc::entry!(main);

const USAGE: &str = "usage: sh [-c COMMAND | FILE [ARGUMENT]...]";
/// Most bytes of a script.
const LONGEST_SCRIPT: u64 = 1 << 20;

fn main(startup: Startup<'static>) -> i32 {
    let arguments: Vec<String> = startup.args().skip(1).map(String::from).collect();
    let system = match Native::new(&startup) {
        Ok(system) => system,
        Err(why) => {
            libipc::eprintln!("sh: cannot start: {why}");
            return sh::shell::NOT_EXECUTABLE;
        }
    };
    let mut shell = Shell::new(system, startup.env("pwd").unwrap_or("/"));
    shell.number = shell.system.own_number();
    for (name, value) in startup.envs().filter(|(name, _)| *name != "pwd") {
        shell.set(name, value.into());
        if let Some(variable) = shell.variables.get_mut(name) {
            variable.exported = true;
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--help"] => {
            libipc::println!("{USAGE}\nthe shell; `help` lists what it knows");
            0
        }
        ["-c", text, ref rest @ ..] => {
            shell.parameters = if rest.is_empty() { [String::from("sh")].into() } else { owned(rest) };
            shell.run_text(text)
        }
        ["-c"] => wrong("option '-c' needs a value"),
        [option, ..] if option.starts_with('-') && option.len() > 1 => wrong(&format!("unknown option '{option}'")),
        [file, ..] => {
            shell.parameters = owned(&arguments);
            match shell.system.script(file) {
                Ok(text) => shell.run_text(&text),
                Err(why) => {
                    shell.complain(&format!("{file}: {why}"));
                    sh::shell::NOT_FOUND
                }
            }
        }
        [] if shell.system.has_terminal() => session::interact(&mut shell),
        [] => from_input(&mut shell, &startup),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| String::from(*text)).collect()
}

fn wrong(why: &str) -> i32 {
    libipc::eprintln!("sh: {why}\n{USAGE}");
    2
}

/// Runs what comes through standard input, read to its end first.
fn from_input(shell: &mut Shell<Native>, startup: &Startup<'static>) -> i32 {
    let mut text = Vec::new();
    let read = startup.queue("stdin").map(Stream::borrowed).map(|mut input| input.read_to_end(&mut text));
    if let Ok(Err(error)) = read {
        shell.complain(&format!("standard input: {}", stream::reason(&error)));
        return 1;
    }
    shell.run_text(&String::from_utf8_lossy(&text))
}
