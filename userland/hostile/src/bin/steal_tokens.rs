//! One process answers a call that another has received.
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
    let queue = works("a queue", given.account.create_queue(1))?;
    let (caller, thief) = (Puppet::start(given)?, Puppet::start(given)?);
    let there = works("give", caller.take(CapDescriptor::copy(queue.handle(), Rights::SEND)))?;
    let call = Order { rsi: Tag::new(5, 6).raw(), words: [1, 2, 3, 4], ..Order::new(Sysno::Call, there) };
    works("begin", caller.begin(call))?;
    let received = works("receive", sys::recv(queue.handle(), None))?;
    let token = received.id.raw();
    for number in [Sysno::Reply, Sysno::LeaseRead, Sysno::LeaseWrite, Sysno::LeaseCopy] {
        let order = Order { rax: number as u64, r15: token, words: [0, 0x40_0000, 8, token], ..Order::default() };
        refused(number.name(), SysError::BadToken, works("order", thief.order(order))?.result())?;
    }
    let own = works("give", thief.take(CapDescriptor::copy(queue.handle(), Rights::all())))?;
    let forward = Order { r15: token, ..Order::new(Sysno::Forward, own) };
    refused("forward", SysError::BadToken, works("order", thief.order(forward))?.result())?;
    let answer = Message { tag: Tag::new(5, 0), words: [9; 8] };
    works("the receiver's own reply", sys::reply(received.id, answer))?;
    same("the caller is alive", works("order", caller.order(Order::new(Sysno::Clock, there)))?.rax, 0)
}
