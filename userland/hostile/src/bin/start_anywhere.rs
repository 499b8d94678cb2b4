//! Starts threads in the kernel, and with message pages where they must not be.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::Puppet;
use hostile::{Given, Verdict, cpu, refused};
use libipc::SysError;
use libipc::abi::{PAGE_SIZE, layout};
use libipc::sys::ThreadStart;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let puppet = Puppet::start(given)?;
    let places = puppet.child.places();
    let free = places.thread_area(4);
    let entry = works("its address", puppet.process().address_of(cpu::spin as *const () as u64))?;
    let good = ThreadStart { entry, stack: free, page: free, argument: 0, priority: 0 };
    let outside =
        [0, layout::USER_START - 1, layout::USER_END + 1, 0x0000_8000_0000_0000, 0xffff_8000_0000_0000, u64::MAX];
    let start = |start| puppet.process().start(start);
    for address in outside {
        refused("entry", SysError::BadAddress, start(ThreadStart { entry: address, ..good }))?;
        refused("stack", SysError::BadAddress, start(ThreadStart { stack: address, ..good }))?;
        refused("page", SysError::BadAddress, start(ThreadStart { page: address, ..good }))?;
    }
    for page in [free + 1, free + 8, free + 4095, layout::USER_END] {
        refused("page", SysError::BadAddress, start(ThreadStart { page, ..good }))?;
    }
    for page in [places.thread_area(0), entry & !4095, places.thread_area(1) - PAGE_SIZE] {
        refused("a page in use", SysError::AddressInUse, start(ThreadStart { page, ..good }))?;
    }
    for priority in [9, 31, 32, 255] {
        refused("priority", SysError::BadArgument, start(ThreadStart { priority, ..good }))?;
    }
    let _thread = works("a good one", start(good))?;
    refused("the same page again", SysError::AddressInUse, start(good))?;
    works("kill", puppet.child.kill())?;
    refused(
        "a thread for the dead",
        SysError::BadState,
        start(ThreadStart { page: free + layout::THREAD_AREA, ..good }),
    )
}
