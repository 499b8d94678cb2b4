//! Answers twice, forwards twice, answers what was forwarded.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::{Order, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::abi::{CapDescriptor, Message, Sysno, Tag};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let (queue, other) =
        (works("a queue", given.account.create_queue(1))?, works("a queue", given.account.create_queue(1))?);
    let caller = Puppet::start(given)?;
    let there = works("give", caller.take(CapDescriptor::copy(queue.handle(), Rights::SEND)))?;
    let call = Order { rsi: Tag::new(5, 6).raw(), ..Order::new(Sysno::Call, there) };
    for _ in 0..20 {
        works("begin", caller.begin(call))?;
        let id = works("receive", sys::recv(queue.handle(), None))?.id;
        works("reply", sys::reply(id, Message::default()))?;
        refused("a second reply", SysError::BadToken, sys::reply(id, Message::default()))?;
        refused("a late forward", SysError::BadToken, sys::forward(id, other.handle()))?;
        works("begin", caller.begin(call))?;
        let id = works("receive", sys::recv(queue.handle(), None))?.id;
        works("forward", sys::forward(id, other.handle()))?;
        refused("a reply after the forward", SysError::BadToken, sys::reply(id, Message::default()))?;
        refused("a second forward", SysError::BadToken, sys::forward(id, other.handle()))?;
        let again = works("receive", sys::recv(other.handle(), None))?.id;
        works("reply", sys::reply(again, Message::default()))?;
    }
    Ok(())
}
