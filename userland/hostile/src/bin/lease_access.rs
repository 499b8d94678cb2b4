//! Uses leases in other ways than they were lent, out of their bounds, and after the reply.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::puppet::{BUFFER, ORDER, Order, PATTERN, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::SysError;
use libipc::abi::{LeaseDescriptor, Sysno};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let puppet = Puppet::start(given)?;
    let memory = works("memory", given.account.create_memory(1))?;
    let mut mapping = works("map", memory.memory().map(true))?;
    works("fill", mapping.write(0, &[0x11; 256]))?;
    let lend = |length, access| LeaseDescriptor { start: mapping.address() + 64, length, of: 0, access, index: 0 };
    let copy = |number: Sysno, index: u64, offset: u64, length: u64| Order {
        rax: number as u64,
        rsi: index,
        r15: ORDER,
        words: [offset, BUFFER, length, 0],
        ..Order::default()
    };
    let (read, write) = (Sysno::LeaseRead, Sysno::LeaseWrite);
    let bad = [
        (lend(64, 1), copy(write, 0, 0, 8)),
        (lend(64, 2), copy(read, 0, 0, 8)),
        (lend(64, 0), copy(read, 0, 0, 8)),
        (lend(64, 0), copy(write, 0, 0, 8)),
        (lend(64, 3), copy(read, 1, 0, 8)),
        (lend(64, 3), copy(read, 4, 0, 8)),
        (lend(64, 3), copy(read, u64::MAX, 0, 8)),
        (lend(64, 3), copy(write, 0, 57, 8)),
        (lend(64, 3), copy(write, 0, 64, 1)),
        (lend(64, 3), copy(read, 0, u64::MAX, 8)),
        (lend(64, 3), copy(write, 0, u64::MAX - 7, 8)),
        (lend(0, 3), copy(read, 0, 0, 1)),
    ];
    for (lease, order) in bad {
        refused("a copy", SysError::BadLease, works("order", puppet.order_with(lease, order))?.result())?;
    }
    let order = copy(read, 0, 0, 64 * 1024 + 1);
    let huge = works("order", puppet.order_with(lend(1 << 40, 3), order))?.result();
    refused("a copy of more than 64 KiB", SysError::BadArgument, huge)?;
    let done = works("order", puppet.order_with(lend(64, 3), copy(write, 0, 60, 4)))?;
    works("a good copy", done.result())?;
    let mut bytes = [0; 256];
    works("read", mapping.read(0, &mut bytes))?;
    let mut expected = [0x11; 256];
    expected[124..128].fill(PATTERN);
    same("memory", bytes, expected)?;
    // The token of an order that was answered is in `r15` of no later one: it is guessed here from the next.
    let late = works("order", puppet.order(copy(read, 0, 0, 8)))?;
    refused("a lease of an order without one", SysError::BadLease, late.result())?;
    let stale = Order { r15: late.r15, ..copy(read, 0, 0, 8) };
    let late = works("order", puppet.order_with(lend(64, 3), stale))?;
    refused("a lease after the reply", SysError::BadToken, late.result())
}
