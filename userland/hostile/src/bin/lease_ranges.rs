//! Leases that wrap, lie in the kernel, or are not mapped.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::{BUFFER, ORDER, Order, Puppet};
use hostile::{Given, Verdict, refused};
use libipc::SysError;
use libipc::abi::{LeaseDescriptor, PAGE_SIZE, Sysno, layout};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let puppet = Puppet::start(given)?;
    let text = run as *const () as u64;
    let area = libipc::memory::own_places().thread_area(0);
    let ranges = [
        (0, 8),
        (8, 8),
        (u64::MAX, 1),
        (u64::MAX - 3, 8),
        (u64::MAX - 7, u64::MAX),
        (layout::USER_END - 4, 8),
        (layout::USER_END, 8),
        (0x0000_8000_0000_0000, 8),
        (0xffff_8000_0000_0000, 8),
        (0xffff_ffff_8010_0000, 64),
        (layout::MAP_END - PAGE_SIZE, 8),
        (area + PAGE_SIZE, 8),
        (layout::USER_START, 8),
        (area + layout::THREAD_AREA - 4, 8),
    ];
    for (start, length) in ranges {
        let lease = LeaseDescriptor { start, length, of: 0, access: 3, index: 0 };
        for number in [Sysno::LeaseRead, Sysno::LeaseWrite] {
            let copy =
                Order { rax: number as u64, r15: ORDER, words: [0, BUFFER, length.min(8), 0], ..Order::default() };
            let result = works("order", puppet.order_with(lease, copy))?.result();
            refused(&alloc::format!("{} {start:#x}", number.name()), SysError::BadLease, result)?;
        }
    }
    // Code can be read and not written, whatever the lease says.
    let lease = LeaseDescriptor { start: text, length: 8, of: 0, access: 3, index: 0 };
    let copy = Order { rax: Sysno::LeaseRead as u64, r15: ORDER, words: [0, BUFFER, 8, 0], ..Order::default() };
    works("read code", works("order", puppet.order_with(lease, copy))?.result())?;
    let copy = Order { rax: Sysno::LeaseWrite as u64, ..copy };
    refused("write code", SysError::BadLease, works("order", puppet.order_with(lease, copy))?.result())
}
