//! Answers callers that have given up or are dead.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::{Order, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::abi::{CapDescriptor, Message, Sysno, Tag};
use libipc::{Rights, SysError, sys};

hostile::attack!(run, "impatient" => impatient);

fn run(given: &Given) -> Verdict {
    let queue = works("a queue", given.account.create_queue(1))?;
    let impatient = given.start("impatient", &[("queue", &queue, Rights::SEND)])?;
    let id = works("receive", sys::recv(queue.handle(), None))?.id;
    works("wait for its end", impatient.wait())?;
    refused("a reply to who has gone", SysError::BadToken, sys::reply(id, Message::default()))?;
    let caller = Puppet::start(given)?;
    let there = works("give", caller.take(CapDescriptor::copy(queue.handle(), Rights::SEND)))?;
    works("begin", caller.begin(Order { rsi: Tag::new(5, 6).raw(), ..Order::new(Sysno::Call, there) }))?;
    let id = works("receive", sys::recv(queue.handle(), None))?.id;
    works("kill", caller.child.kill())?;
    refused("a reply to a dead one", SysError::BadToken, sys::reply(id, Message::default()))?;
    drop(caller);
    refused("a forward of a dead one's call", SysError::BadToken, sys::forward(id, queue.handle()))
}

/// Calls, gives up after a moment, and has been told so.
fn impatient(given: &Given) -> Verdict {
    let queue = works("queue", given.startup.queue("queue"))?;
    let deadline = sys::clock() + 200_000_000;
    let request = Message { tag: Tag::new(5, 6), words: [0; 8] };
    refused("the call", SysError::OutcomeUnknown, sys::call_until(queue.handle(), request, Some(deadline)))?;
    Ok(())
}
