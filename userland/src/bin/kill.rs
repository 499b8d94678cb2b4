//! Ends processes that the shell has started.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Program, Stop, units};

userland::raw_program!(run);

/// Names of signals with the numbers that they have on other systems: the status becomes 128 and the number.
const SIGNALS: [(&str, i32); 4] = [("HUP", 1), ("INT", 2), ("KILL", 9), ("TERM", 15)];

fn run(program: &mut Program, arguments: &[&str]) -> Result<(), Stop> {
    let (signal, processes) = match arguments {
        ["--help", ..] => return program.help(),
        ["--", processes @ ..] => (15, processes),
        [option, processes @ ..] if option.starts_with('-') => {
            let unknown = || Stop::usage(format!("unknown option '{option}'"));
            (signal(&option[1..]).ok_or_else(unknown)?, processes)
        }
        processes => (15, processes),
    };
    if processes.is_empty() {
        return Err(Stop::usage("missing operand".into()));
    }
    for text in processes {
        match units::parse_count(text) {
            None => program.fail(format!("{text}: not a process number")),
            Some(number) => match program.process(number) {
                None => program.fail(format!("{number}: no such process among the jobs of this shell")),
                Some(process) => {
                    if let Err(error) = process.kill(128 + signal) {
                        program.fail(format!("{number}: {error}"));
                    }
                }
            },
        }
    }
    Ok(())
}

fn signal(text: &str) -> Option<i32> {
    let named = SIGNALS.iter().find(|(name, _)| *name == text.trim_start_matches("SIG")).map(|(_, number)| *number);
    named.or_else(|| units::parse_count(text).and_then(|n| i32::try_from(n).ok()).filter(|n| (1..=64).contains(n)))
}
