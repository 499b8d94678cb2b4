//! Starts threads that spin, as many as can be paid for, and kills them all at once.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::{Given, Verdict, cpu, given, holds, refused};
use libipc::SysError;
use libipc::abi::{PAGE_SIZE, layout};
use libipc::sys::{self, ThreadStart};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let before = works("status", given.account.status())?;
    let account = works("an account", given.account.child(160))?;
    let process = works("a process", account.account().create_process(None, given::PRIORITY, "threads"))?;
    // The code that they run: this program's own.
    works(
        "load",
        process
            .process()
            .load(given.image.memory(), 0, given.image.length())
            .map_err(|error| alloc::format!("{error:?}")),
    )?;
    let entry = works("its address", process.process().address_of(cpu::spin as *const () as u64))?;
    // What they need to run at all is kept back until they are there.
    let reserve = works("a reserve", account.account().create_contiguous(8))?;
    let mut threads = 0;
    loop {
        let page = layout::THREAD_AREAS + threads * PAGE_SIZE;
        let start = ThreadStart { entry, stack: page + PAGE_SIZE, page, argument: 0, priority: given::PRIORITY };
        match process.process().start(start) {
            Ok(thread) => drop(thread),
            Err(error) => {
                refused("the last one", SysError::NoMemory, Err::<(), _>(error))?;
                break;
            }
        }
        threads += 1;
    }
    holds("many run", threads > 20)?;
    drop(reserve);
    sys::sleep_until(sys::clock() + 50_000_000);
    same("they run", works("status", process.process().status())?.threads, threads)?;
    works("kill", process.process().kill(3))?;
    same("they are gone", works("status", process.process().status())?.threads, 0)?;
    drop(process);
    works("destroy", account.account().destroy())?;
    drop(account);
    let after = works("status", given.account.status())?;
    same("what is paid", (after.used, after.lent), (before.used, before.lent))
}
