//! Shows bytes in hexadecimal and as text.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::string::String;
use userland::{Accepts, Given, Program, Stop, hexdump::Dump};

userland::program!(Accepts::operands(0, usize::MAX).flags("C"), run);

/// Several files are shown as one, as if they had been joined.
fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let mut dump = Dump::default();
    let mut rows = String::new();
    program.each_input(&given.operands, |program, _, input| {
        program.each_piece(input, |program, piece| {
            // In parts, as the text is five times as long.
            for part in piece.chunks(4096) {
                dump.feed(part, &mut rows);
                program.say(&rows)?;
                rows.clear();
            }
            Ok(())
        })?;
        Ok(())
    })?;
    dump.finish(&mut rows);
    program.say(&rows)
}
