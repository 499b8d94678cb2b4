//! Sleeps for moments, ever again, in several processes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::vec::Vec;
use hostile::check::{same, works};
use hostile::{Given, Verdict};
use libipc::sys;

hostile::attack!(run, "sleeper" => sleep);

fn run(given: &Given) -> Verdict {
    let mut sleepers = Vec::new();
    for _ in 0..3 {
        let mut command = given.part("sleeper");
        command.memory(80).stack(4);
        sleepers.push(works("start", command.spawn(&given.image, given.account))?);
    }
    sleep(given)?;
    for sleeper in sleepers {
        same("a sleeper's end", works("wait", sleeper.wait())?.exit, 0)?;
    }
    Ok(())
}

fn sleep(_: &Given) -> Verdict {
    let until = sys::clock() + 300_000_000;
    let mut moments = [0u64, 1, 999, 10_000, u64::MAX, 77_777].into_iter().cycle();
    while sys::clock() < until {
        match moments.next() {
            Some(u64::MAX) => sys::sleep_until(1),
            Some(moment) => sys::sleep_until(sys::clock() + moment),
            None => {}
        }
    }
    Ok(())
}
