//! Three processes call each other in a circle; the call that would close it is refused.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::puppet::{Order, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::abi::{CapDescriptor, Message, Sysno, Tag};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    // Of itself: it serves the queue that it calls.
    let own = works("a queue", given.account.create_queue(1))?;
    refused("nobody waits and nothing is there", SysError::TimedOut, sys::recv(own.handle(), Some(0)))?;
    let puppet = Puppet::start(given)?;
    let there = works("give", puppet.take(CapDescriptor::copy(own.handle(), Rights::SEND)))?;
    let tag = Tag::new(5, 6).raw();
    works("begin", puppet.begin(Order { rsi: tag, ..Order::new(Sysno::Call, there) }))?;
    let call = works("receive", sys::recv(own.handle(), None))?;
    refused("a call to who waits for us", SysError::Deadlock, puppet.order(Order::new(Sysno::Clock, there)))?;
    refused("a call to ourselves", SysError::Deadlock, sys::call(own.handle(), Message::default()))?;
    works("reply", sys::reply(call.id, Message::default()))?;
    same("it obeys again", works("order", puppet.order(Order::new(Sysno::Clock, there)))?.rax, 0)?;
    // Of three: us, the first and the second.
    let second = Puppet::start(given)?;
    let first_there = works("give", second.take(CapDescriptor::copy(own.handle(), Rights::SEND)))?;
    works("begin", second.begin(Order { rsi: tag, ..Order::new(Sysno::Call, first_there) }))?;
    let call = works("receive", sys::recv(own.handle(), None))?;
    refused("the third closes it", SysError::Deadlock, second.order(Order::new(Sysno::Clock, there)))?;
    works("reply", sys::reply(call.id, Message::default()))?;
    same("it obeys again", works("order", second.order(Order::new(Sysno::Clock, there)))?.rax, 0)
}
