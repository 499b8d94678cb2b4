//! Writes the beginning of files.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop, heads::Wanted, units};

userland::program!(Accepts::operands(0, usize::MAX).values("nc"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let count = |text: &str| units::parse_count(text).ok_or_else(|| Stop::usage(format!("'{text}' is not a number")));
    let wanted = match (given.value('n'), given.value('c')) {
        (Some(_), Some(_)) => return Err(Stop::usage("-n and -c exclude each other".into())),
        (_, Some(bytes)) => Wanted::Bytes(count(bytes)?),
        (lines, None) => Wanted::Lines(count(lines.unwrap_or("10"))?),
    };
    let several = given.operands.len() > 1;
    let mut first = true;
    program.each_input(&given.operands, |program, name, input| {
        if several {
            let gap = if core::mem::take(&mut first) { "" } else { "\n" };
            program.say(&format!("{gap}==> {name} <==\n"))?;
        }
        let mut wanted = wanted;
        while !wanted.is_done() {
            let Some(piece) = program.piece(input)? else { break };
            let taken = wanted.take(&piece);
            program.write(&piece[..taken])?;
            program.give_back(piece);
        }
        Ok(())
    })
}
