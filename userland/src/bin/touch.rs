//! Makes files that are not there, and sets the time of change of those that are.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(1, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    for path in &given.operands {
        if let Err(error) = program.files.touch(path) {
            program.fail_at(path, &error);
        }
    }
    Ok(())
}
