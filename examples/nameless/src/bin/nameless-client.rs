//! A client of `nameless`, for the shell. There is no code in it for the death of the server.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use nameless::NamelessClient;

use alloc::format;
use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, 100).about("[NUMBER]...", "add numbers to the sum, and show it"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let client = NamelessClient::new(program.service("nameless")?);
    for operand in &given.operands {
        let amount = operand.parse().map_err(|_| Stop::usage(format!("'{operand}' is no number")))?;
        client.add(amount).map_err(Stop::service)?;
    }
    let sum = client.sum().map_err(Stop::service)?;
    program.say(&format!("{sum}\n"))
}
