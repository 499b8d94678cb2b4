//! Counts lines, words and bytes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use userland::counts::{Columns, Counts};
use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, usize::MAX).flags("lwc"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let all = !['l', 'w', 'c'].iter().any(|flag| given.has(*flag));
    let columns = Columns { lines: all || given.has('l'), words: all || given.has('w'), bytes: all || given.has('c') };
    let named = !given.operands.is_empty();
    let mut total = Counts::default();
    program.each_input(&given.operands, |program, name, input| {
        let mut counts = Counts::default();
        program.each_piece(input, |_, piece| {
            counts.feed(piece);
            Ok(())
        })?;
        total += counts;
        program.say(&counts.show(columns, if named { name } else { "" }))
    })?;
    if given.operands.len() > 1 { program.say(&total.show(columns, "total")) } else { Ok(()) }
}
