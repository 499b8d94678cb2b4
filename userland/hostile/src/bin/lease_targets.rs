//! Has the kernel copy to and from addresses that are not the caller's.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::{ORDER, Order, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::SysError;
use libipc::abi::{LeaseDescriptor, PAGE_SIZE, Sysno, layout};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let puppet = Puppet::start(given)?;
    let memory = works("memory", given.account.create_memory(1))?;
    let mapping = works("map", memory.memory().map(true))?;
    let lease = LeaseDescriptor { start: mapping.address(), length: 4096, of: 0, access: 3, index: 0 };
    let order = |number: Sysno, address| Order {
        rax: number as u64,
        r15: ORDER,
        words: [0, address, 64, 0],
        ..Order::default()
    };
    // Of the puppet, which makes the call.
    let area = puppet.child.places().thread_area(0);
    let nowhere = [
        0,
        1,
        layout::USER_END,
        layout::USER_END - 32,
        0x0000_8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        u64::MAX - 63,
        u64::MAX,
        layout::MAP_END - PAGE_SIZE,
        area + PAGE_SIZE,
    ];
    // `u64::MAX` and the number before it are names of the puppet's own, so they are left out.
    for address in nowhere.into_iter().filter(|address| *address < u64::MAX - 1) {
        for number in [Sysno::LeaseRead, Sysno::LeaseWrite] {
            let result = works("order", puppet.order_with(lease, order(number, address)))?.result();
            refused(&alloc::format!("{} {address:#x}", number.name()), SysError::BadAddress, result)?;
        }
    }
    let text = run as *const () as u64;
    let into_text = works("order", puppet.order_with(lease, order(Sysno::LeaseRead, text)))?.result();
    refused("a copy into code", SysError::BadAddress, into_text)
}
