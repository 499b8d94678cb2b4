//! Lists programs and builtins.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, catalogue, reason};

userland::program!(Accepts::operands(0, 1), run);

const INTRODUCTION: &str = "\
Commands are joined by ; && || | and &, files by < > >> 2> and 2>&1. Quote with '...', \"...\" and \\.
$? is the last status, $NAME a variable. Tab completes, ^C stops the running command, ^D leaves.
Status 1: it failed, 2: called wrongly, 126: no program, 127: not found, 128 and more: ended by a fault
(132 instruction, 136 arithmetic, 137 memory, 139 address), by kill (143) or by ^C (130).
NAME --help tells more about each.

";

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    if let [name] = given.operands[..] {
        return one(program, name);
    }
    program.say(INTRODUCTION)?;
    let mut table = Table::new(&[Align::Left, Align::Left]);
    for name in programs(program) {
        let text = catalogue::find(&name).map_or("", |(_, _, text)| *text);
        table.row([&format!("  {name}"), text]);
    }
    program.say("Programs in /bin:\n")?;
    program.say(&table.show())?;
    let mut table = Table::new(&[Align::Left, Align::Left]);
    for (name, text) in sh::builtin::ALL {
        table.row([&format!("  {name}"), *text]);
    }
    program.say("\nBuiltins of the shell:\n")?;
    program.say(&table.show())
}

fn one(program: &mut Program, name: &str) -> Result<(), Stop> {
    if let Some((name, operands, text)) = catalogue::find(name) {
        return program.say(&format!("usage: {name} {operands}\n{text}\n"));
    }
    match sh::builtin::ALL.iter().find(|(builtin, _)| *builtin == name) {
        Some((name, text)) => program.say(&format!("{name} (builtin): {text}\n")),
        None => Err(Stop::Failed(format!("{name}: nothing is known about it; `help` lists what there is"))),
    }
}

/// What is in /bin, sorted.
fn programs(program: &mut Program) -> Vec<String> {
    match program.files.entries("/bin") {
        Ok(entries) => {
            let mut names: Vec<String> =
                entries.into_iter().map(|entry| entry.name).filter(|name| !name.starts_with('.')).collect();
            names.sort();
            names
        }
        Err(error) => {
            program.fail(format!("/bin: {}", reason(&error)));
            Vec::new()
        }
    }
}
