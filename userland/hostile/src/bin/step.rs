//! Steps into a system call with the trap flag set.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::{Given, Verdict, cpu};

hostile::attack!(run);

fn run(_: &Given) -> Verdict {
    cpu::step_into_call();
    Err("it was not stopped".into())
}
