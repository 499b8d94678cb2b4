//! Writes files, or standard input, to standard output.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    program.each_input(&given.operands, |program, _, input| {
        program.each_piece(input, |program, piece| program.write(piece)).map(drop)
    })
}
