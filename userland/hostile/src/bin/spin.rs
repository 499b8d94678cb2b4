//! Takes the processor and never gives it back.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::victim::VictimClient;
use hostile::{Given, Verdict, cpu};
use libipc::sys;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let client = VictimClient::new(given.victim);
    match given.argument() {
        "loop" => cpu::spin(),
        "calls" => loop {
            sys::clock();
        },
        "yield" => loop {
            sys::yield_now();
        },
        _ => loop {
            works("add", client.add(1, 1))?;
        },
    }
}
