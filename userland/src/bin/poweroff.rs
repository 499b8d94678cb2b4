//! Syncs the disk and switches the machine off.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, 0), run);

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    program.supervisor()?.poweroff().map_err(Stop::service)
}
