//! Passes on leases that the caller does not hold, in circles, and beyond their bounds.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::puppet::{BUFFER, Order, PATTERN, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::abi::{CapDescriptor, LeaseDescriptor, Message, Sysno, Tag};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let queue = works("a queue", given.account.create_queue(1))?;
    let (lender, thief) = (Puppet::start(given)?, Puppet::start(given)?);
    let send = CapDescriptor::copy(queue.handle(), Rights::SEND);
    let (from_lender, from_thief) = (works("give", lender.take(send))?, works("give", thief.take(send))?);
    let tag = Tag::new(5, 6).with_leases(1).raw();
    let own = LeaseDescriptor { start: BUFFER, length: 64, of: 0, access: 1, index: 0 };
    works("lend", lender.lend(0, own))?;
    works("begin", lender.begin(Order { rsi: tag, ..Order::new(Sysno::Call, from_lender) }))?;
    let good = works("receive", sys::recv(queue.handle(), None))?;
    let mut bytes = [0; 64];
    works("the holder reads", sys::lease_read(good.id, 0, 0, &mut bytes))?;
    same("bytes", bytes, [PATTERN; 64])?;
    refused("the holder writes", SysError::BadLease, sys::lease_write(good.id, 0, 0, &bytes))?;
    // Whoever does not hold the call passes on nothing of it; nor does a call pass on itself.
    for of in [good.id.raw(), u64::MAX >> 1, 1 << 16] {
        works("lend", thief.lend(0, LeaseDescriptor { start: 0, length: 64, of, access: 3, index: 0 }))?;
        works("begin", thief.begin(Order { rsi: tag, ..Order::new(Sysno::Call, from_thief) }))?;
        let stolen = works("receive", sys::recv(queue.handle(), None))?;
        refused("read what was not lent", SysError::BadToken, sys::lease_read(stolen.id, 0, 0, &mut bytes))?;
        works("reply", sys::reply(stolen.id, Message::default()))?;
    }
    works("reply", sys::reply(good.id, Message::default()))?;
    refused("read after the reply", SysError::BadToken, sys::lease_read(good.id, 0, 0, &mut bytes))
}
