//! Ends with status 1.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, usize::MAX), run);

fn run(_: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    Err(Stop::Status(1))
}
