//! Shows how long the machine has run.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(0, 0), run);

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    let up = program.supervisor()?.uptime().map_err(Stop::service)?;
    program.say(&format!("up {}\n", units::duration(up)))
}
