//! Computes SHA-256 sums.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop, digest::Sum};

userland::program!(Accepts::operands(0, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    program.each_input(&given.operands, |program, name, input| {
        let mut sum = Sum::default();
        let whole = program.each_piece(input, |_, piece| {
            sum.feed(piece);
            Ok(())
        })?;
        // The sum of a part would look like the sum of the whole.
        if whole { program.say(&format!("{}  {name}\n", sum.finish())) } else { Ok(()) }
    })
}
