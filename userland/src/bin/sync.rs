//! Brings everything written to the disk: when it ends, that survives a power cut.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop, reason};

userland::program!(Accepts::operands(0, 0), run);

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    if let Err(error) = program.files.sync() {
        program.fail(format!("/: {}", reason(&error)));
    }
    Ok(())
}
