//! Signals an event by the hundred thousand.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::{Given, Verdict, refused};
use libipc::{SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let event = works("an event", given.account.create_event())?;
    let queue = works("a queue", given.account.create_queue(0))?;
    works("bind", event.event().bind(queue.queue(), 5))?;
    for n in 0..100_000u64 {
        works("signal", event.event().signal(1 << (n % 64)))?;
    }
    let received = works("receive", sys::recv(queue.handle(), Some(0)))?;
    same("all bits at once", (received.badge, received.message.words[0]), (5, u64::MAX))?;
    refused("and only once", SysError::TimedOut, sys::recv(queue.handle(), Some(0)))?;
    refused("no wait beside the binding", SysError::BadState, event.event().wait(1, Some(0)))?;
    refused("no bits", SysError::BadArgument, works("an event", given.account.create_event())?.event().wait(0, Some(0)))
}
