//! Several processes call the victim without pause.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::vec::Vec;
use hostile::check::{same, works};
use hostile::victim::VictimClient;
use hostile::{Given, Verdict};

hostile::attack!(run, "caller" => call);

fn run(given: &Given) -> Verdict {
    let mut callers = Vec::new();
    for _ in 0..3 {
        let mut command = given.part("caller");
        command.memory(80).stack(4);
        callers.push(works("start", command.spawn(&given.image, given.account))?);
    }
    call(given)?;
    for caller in callers {
        same("a caller's end", works("wait", caller.wait())?.exit, 0)?;
    }
    Ok(())
}

fn call(given: &Given) -> Verdict {
    let client = VictimClient::new(given.victim);
    let data = [3; 200];
    for n in 0..1000 {
        same("a sum", works("add", client.add(n, n))?, 2 * n)?;
        same("a sum of bytes", works("sum", client.sum(&data))?, 600)?;
    }
    Ok(())
}
