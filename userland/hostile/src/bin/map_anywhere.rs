//! Maps and unmaps where nothing may be.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, raw, refused};
use libipc::abi::{PAGE_SIZE, Sysno, layout};
use libipc::{Handle, Rights, SysError, sys};

hostile::attack!(run);

/// An address that the runtime gives to nobody.
const FREE: u64 = layout::MAP_END - 64 * PAGE_SIZE;

fn run(given: &Given) -> Verdict {
    let memory = works("memory", given.account.create_memory(4))?;
    let (own, memory) = (given.process.handle(), memory.handle());
    let map = |address, first, pages| sys::memory_map(own, memory, address, first, pages, Rights::READ);
    for (address, pages) in [
        (0, 1),
        (FREE + 1, 1),
        (FREE + 2048, 1),
        (FREE, 0),
        (layout::USER_END, 1),
        (layout::USER_END - PAGE_SIZE, 2),
        (0x0000_8000_0000_0000, 1),
        (0xffff_8000_0000_0000, 1),
        (u64::MAX - 4095, 1),
        (u64::MAX - 4095, 2),
        (FREE, u64::MAX),
        (FREE, 1 << 52),
        (FREE, u64::MAX / PAGE_SIZE + 2),
    ] {
        refused(&alloc::format!("map {address:#x} {pages}"), SysError::BadAddress, map(address, 0, pages))?;
        refused(&alloc::format!("unmap {address:#x} {pages}"), SysError::BadAddress, unmap(own, address, pages))?;
    }
    for (first, pages) in [(4, 1), (0, 5), (3, 2), (u64::MAX, 1), (u64::MAX, 2), (1 << 52, 1)] {
        refused("beyond the memory", SysError::BadArgument, map(FREE, first, pages))?;
    }
    // Over what is mapped already: code, stack, the message page, a page of another mapping.
    let stack = raw::page() as u64 + layout::THREAD_AREA - PAGE_SIZE;
    works("map", map(FREE + PAGE_SIZE, 0, 2))?;
    for address in [run as *const () as u64 & !4095, stack, raw::page() as u64, FREE + PAGE_SIZE, FREE + 2 * PAGE_SIZE]
    {
        refused(&alloc::format!("over {address:#x}"), SysError::AddressInUse, map(address, 0, 1))?;
    }
    refused("around it", SysError::AddressInUse, map(FREE, 0, 4))?;
    refused("unmap half", SysError::BadAddress, unmap(own, FREE + 2 * PAGE_SIZE, 1))?;
    refused("unmap the other half", SysError::BadAddress, unmap(own, FREE, 2))?;
    works("unmap", unmap(own, FREE, 8))?;
    works("unmap nothing", unmap(own, FREE, 8))
}

fn unmap(own: Handle, address: u64, pages: u64) -> Result<(), SysError> {
    raw::request(Sysno::MemoryUnmap, own, 0, [address, pages, 0, 0, 0, 0, 0, 0]).map(drop)
}
