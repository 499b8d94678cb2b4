//! Runs one instruction that a program must not run.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::cpu::{IMPOSSIBLE, PRIVILEGED, UNKNOWN};
use hostile::{Given, Verdict};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let wanted = |(name, _): &&hostile::cpu::Instruction| *name == given.argument();
    let Some((_, execute)) = PRIVILEGED.iter().chain(UNKNOWN).chain(IMPOSSIBLE).find(wanted) else {
        return Err("no such instruction".into());
    };
    execute();
    Err("it was not stopped".into())
}
