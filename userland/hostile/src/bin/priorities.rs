//! Asks for priorities above the ceiling.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::operations::Zoo;
use hostile::{Given, Verdict, given, refused};
use libipc::{Kind, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let above = given::PRIORITY + 1;
    for priority in [above, 16, 31, 32, 255] {
        refused("a process", SysError::BadArgument, given.account.create_process(None, priority, "above"))?;
    }
    let zoo = Zoo::new(given)?;
    let thread = works("a thread", zoo.get(Kind::Thread).ok_or("none"))?;
    for priority in [1, above, 31, 32, 255] {
        refused("a thread", SysError::BadArgument, sys::thread_priority(thread, priority))?;
    }
    works("the ceiling itself", sys::thread_priority(thread, 0))?;
    for priority in [u64::from(above), 256, 1 << 32, u64::MAX] {
        let words = [0, priority, 0x61, 0, 0, 0, 0, 0];
        let made = hostile::raw::request(libipc::abi::Sysno::ProcessCreate, given.account.handle(), 0, words);
        refused("a number that is none", SysError::BadArgument, made)?;
    }
    Ok(())
}
