//! Counts with the service `flaky`, which crashes on purpose, and holds no line of code for that.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use flaky::FlakyClient;
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(1, 1).about("TIMES", "add one so many times and show each value"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let counter = FlakyClient::new(program.service("flaky")?);
    let times = units::parse_count(given.operands[0]).ok_or_else(|| Stop::usage("TIMES is a number".into()))?;
    for _ in 0..times {
        let value = counter.add(1).map_err(Stop::service)?;
        program.say(&format!("{value}\n"))?;
    }
    Ok(())
}
