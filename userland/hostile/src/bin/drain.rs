//! Makes things of one kind until its account has run dry, and gives all of it back.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::vec::Vec;
use hostile::check::{same, works};
use hostile::{Given, Verdict, cpu, holds};
use libipc::abi::{PAGE_SIZE, layout};
use libipc::sys::ThreadStart;
use libipc::{Account, OwnedHandle, Process, Rights, SysError};

hostile::attack!(run);

/// Pages of the account that runs dry.
const QUOTA: u64 = 96;
/// Pages of the dearest thing: a queue with the longest ring.
const NEARLY: u64 = 36;
/// Where things are mapped.
const AT: u64 = layout::MAP_END - (1 << 40);

fn run(given: &Given) -> Verdict {
    let mut before = None;
    for round in 0..3 {
        let account = works("an account", given.account.child(QUOTA))?;
        let process = works("a process", account.account().create_process(None, 0, "drain"))?;
        let mut made = Made {
            account: account.account(),
            process: process.process(),
            things: Vec::with_capacity(16 << 10),
            count: 0,
        };
        let end = loop {
            if let Err(error) = made.make(given.argument(), &given.image) {
                break error;
            }
            made.count += 1;
            if made.count > 200_000 {
                return Err(alloc::format!("{} made and no end", made.count));
            }
        };
        holds(
            "it was refused for want of memory, or at a limit",
            matches!(end, SysError::NoMemory | SysError::LimitReached),
        )?;
        holds("something was made", made.count > 1)?;
        let dry = works("status", account.account().status())?;
        holds("the account paid no more than it has", dry.used <= dry.limit)?;
        if end == SysError::NoMemory {
            holds("it paid nearly all", dry.used + NEARLY >= dry.limit)?;
        }
        if round == 1 {
            // Given back one by one, rather than with the account.
            made.things.clear();
            drop(process);
        }
        works("destroy", account.account().destroy())?;
        drop(made);
        // What the first round has left is this program's own: its heap and its table have grown.
        let after = works("status", given.account.status())?;
        let after = (after.used, after.lent);
        same("what is paid", after, *before.get_or_insert(after))?;
    }
    Ok(())
}

struct Made {
    account: Account,
    process: Process,
    things: Vec<OwnedHandle>,
    count: u64,
}

impl Made {
    fn make(&mut self, kind: &str, image: &libipc::spawn::Image) -> Result<(), SysError> {
        let n = self.count;
        let (account, process) = (self.account, self.process);
        let thing = match kind {
            "accounts" => account.child(1)?,
            "depth" => {
                let at = self.things.last().map_or(account, |last| last.account());
                at.child(works_out(at)?)?
            }
            "processes" => account.create_process(None, 0, "drained")?,
            "threads" => process.start(thread(n))?,
            "memory" => account.create_memory(1 << 20)?,
            "contents" => {
                let memory = account.create_memory(8)?;
                for page in 0..8 {
                    memory.memory().physical(page)?;
                }
                memory
            }
            "contiguous" => account.create_contiguous(4)?,
            "queues" => account.create_queue(0)?,
            "rings" => account.create_queue(1024)?,
            "events" => account.create_event()?,
            "capabilities" => {
                process.give(account.handle(), Rights::INSPECT, 0)?;
                return Ok(());
            }
            "grants" => {
                process.give(image.memory().handle(), Rights::READ, 0)?;
                return Ok(());
            }
            "mappings" => return process.map(image.memory(), AT + n * 2 * PAGE_SIZE, 0, 1, Rights::READ),
            // Each page lies in a page table of its own.
            "page-tables" => {
                process.map(image.memory(), AT + n * (1 << 21), 0, 1, Rights::READ)?;
                return process.start(ThreadStart { page: AT + n * (1 << 21) + PAGE_SIZE, ..thread(n) }).map(drop);
            }
            _ => return Err(SysError::BadArgument),
        };
        self.things.push(thing);
        Ok(())
    }
}

/// What the next account below can have at most.
fn works_out(account: Account) -> Result<u64, SysError> {
    let status = account.status()?;
    status.limit.checked_sub(status.used + 1).filter(|left| *left > 0).ok_or(SysError::NoMemory)
}

/// A thread of the lowest priority that does nothing, with a message page of its own.
fn thread(n: u64) -> ThreadStart {
    let page = AT + (1 << 39) + n * PAGE_SIZE;
    ThreadStart { entry: cpu::spin as *const () as u64, stack: page, page, argument: 0, priority: 0 }
}
