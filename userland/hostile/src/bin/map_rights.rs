//! Maps with more protection than the capability has, and writable code.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, refused};
use libipc::abi::{PAGE_SIZE, layout};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

const FREE: u64 = layout::MAP_END - 64 * PAGE_SIZE;

fn run(given: &Given) -> Verdict {
    let memory = works("memory", given.account.create_memory(1))?;
    let own = given.process.handle();
    let (read, write, run) = (Rights::READ, Rights::READ | Rights::WRITE, Rights::READ | Rights::EXECUTE);
    for have in [read, write, run, write | run] {
        let weak = works("derive", memory.derive(have | Rights::MAP, 0))?;
        for want in [read, write, run] {
            let result = sys::memory_map(own, weak.handle(), FREE, 0, 1, want);
            match have.contains(want) {
                true => {
                    works("map", result)?;
                    works(
                        "unmap",
                        hostile::raw::request(libipc::abi::Sysno::MemoryUnmap, own, 0, [FREE, 1, 0, 0, 0, 0, 0, 0]),
                    )?;
                }
                false => refused("a right too many", SysError::MissingRights, result)?,
            }
        }
        for want in [write | run, Rights::WRITE, Rights::EXECUTE, Rights::empty(), read | Rights::SEND, Rights::all()] {
            refused("no protection", SysError::BadArgument, sys::memory_map(own, weak.handle(), FREE, 0, 1, want))?;
        }
        let unmappable = works("derive", weak.derive(Rights::all().difference(Rights::MAP), 0))?;
        refused("not to map", SysError::MissingRights, sys::memory_map(own, unmappable.handle(), FREE, 0, 1, read))?;
    }
    refused("physical address", SysError::MissingRights, {
        let blind = works("derive", memory.derive(Rights::all().difference(Rights::DMA), 0))?;
        sys::memory_address(blind.handle(), 0)
    })?;
    refused("a page beyond", SysError::BadArgument, sys::memory_address(memory.handle(), 1))
}
