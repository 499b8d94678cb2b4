//! Revokes a capability that was derived, sent and granted to others.
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

/// Descendants of the big tree.
const MANY: usize = 2000;

fn run(given: &Given) -> Verdict {
    let root = works("an event", given.account.create_event())?;
    let (one, two) = (Puppet::start(given)?, Puppet::start(given)?);
    let top = works("derive", root.derive(Rights::all(), 0))?;
    let sent = works("send", one.take(CapDescriptor::copy(top.handle(), Rights::all())))?;
    let derived =
        works("derive there", one.request(Sysno::Duplicate, sent, 0, [u64::from(Rights::all().bits()), 0, 0, 0]))?;
    let derived = libipc::Handle::from_raw(derived.words[0]);
    let granted = works("grant", two.process().give(top.handle(), Rights::all(), 0))?;
    for (puppet, handle) in [(&one, sent), (&one, derived), (&two, granted)] {
        works("before", puppet.request(Sysno::EventSignal, handle, 0, [1, 0, 0, 0]))?;
    }
    works("revoke", top.revoke())?;
    for (puppet, handle) in [(&one, sent), (&one, derived), (&two, granted)] {
        refused("after", SysError::BadHandle, puppet.request(Sysno::EventSignal, handle, 0, [1, 0, 0, 0]))?;
    }
    works("the revoked one's parent is fine", top.event().signal(2))?;
    // A message whose capability is revoked before it is received brings nothing.
    let queue = works("a queue", given.account.create_queue(1))?;
    let send = works("give", one.take(CapDescriptor::copy(queue.handle(), Rights::SEND)))?;
    let lent = works("send", one.take(CapDescriptor::copy(top.handle(), Rights::all())))?;
    works(
        "begin",
        one.begin(Order { rsi: Tag::new(5, 6).raw(), words: [lent.raw(), 0, 0, 0], ..Order::new(Sysno::Call, send) }),
    )?;
    works("revoke", top.revoke())?;
    let call = works("receive", sys::recv(queue.handle(), None))?;
    works("reply", sys::reply(call.id, Message::default()))?;
    // Many, in bounded steps: a chain that hangs from itself and a crowd.
    let mut chain = works("derive", top.derive(Rights::all(), 0))?;
    let mut made = alloc::vec::Vec::new();
    for n in 0..MANY {
        let next = works("derive", chain.derive(Rights::all(), 0))?;
        made.push(next.handle());
        if n % 2 == 0 {
            core::mem::replace(&mut chain, next).leak();
        } else {
            next.leak();
        }
    }
    chain.leak();
    works("revoke", top.revoke())?;
    for handle in &made {
        refused("of the many", SysError::BadHandle, sys::inspect(*handle))?;
    }
    same("bits", works("wait", root.event().wait(u64::MAX, Some(0)))?, 3)
}
