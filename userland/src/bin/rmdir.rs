//! Removes empty directories.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(1, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    for path in &given.operands {
        if let Err(error) = program.files.rmdir(path) {
            program.fail_at(path, &error);
        }
    }
    Ok(())
}
