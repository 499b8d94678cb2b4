//! Forwards without the right to send, and looks at the badge that the forwarded call gets.
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
    let (queue, other) =
        (works("a queue", given.account.create_queue(1))?, works("a queue", given.account.create_queue(1))?);
    let caller = Puppet::start(given)?;
    let there = works("give", caller.take(CapDescriptor::mint(queue.handle(), Rights::SEND, 77)))?;
    works("begin", caller.begin(Order { rsi: Tag::new(5, 6).raw(), ..Order::new(Sysno::Call, there) }))?;
    let received = works("receive", sys::recv(queue.handle(), None))?;
    same("badge", received.badge, 77)?;
    let deaf = works("derive", sys::duplicate(other.handle(), Rights::RECEIVE | Rights::MINT, 0))?;
    refused("forward", SysError::MissingRights, sys::forward(received.id, deaf))?;
    let event = works("an event", given.account.create_event())?;
    refused("forward to an event", SysError::WrongKind, sys::forward(received.id, event.handle()))?;
    let minted = works("mint", sys::duplicate(other.handle(), Rights::SEND, 78))?;
    works("forward", sys::forward(received.id, minted))?;
    let again = works("receive", sys::recv(other.handle(), None))?;
    same("badge of the forwarded call", again.badge, 78)?;
    same("its id", again.id, received.id)?;
    works("reply", sys::reply(again.id, Message::default()))
}
