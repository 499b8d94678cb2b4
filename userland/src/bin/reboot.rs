//! Syncs the disk and restarts the machine.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, 0), run);

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    program.supervisor()?.reboot().map_err(Stop::service)
}
