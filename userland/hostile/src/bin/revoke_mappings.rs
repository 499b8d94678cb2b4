//! Maps memory by a capability that is revoked then.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::{Given, Verdict, raw};
use libipc::abi::{FaultKind, PAGE_SIZE, ProcessState, layout};
use libipc::{Rights, sys};

hostile::attack!(run, "reader" => read);

const AT: u64 = layout::MAP_END - 64 * PAGE_SIZE;

fn run(given: &Given) -> Verdict {
    let memory = works("memory", given.account.create_memory(2))?;
    let ready = works("an event", given.account.create_event())?;
    let go = works("an event", given.account.create_event())?;
    let lent = works("derive", memory.derive(Rights::all(), 0))?;
    let mut mine = works("map", memory.memory().map(true))?;
    works("write", mine.write(0, &[0x42; 8192]))?;
    let grants = [("ready", &ready, Rights::SIGNAL), ("go", &go, Rights::WAIT), ("memory", &lent, Rights::all())];
    let child = given.start("reader", &grants)?;
    works("it has mapped and read", ready.event().wait(1, None))?;
    works("revoke", lent.revoke())?;
    works("go", go.event().signal(1))?;
    let status = works("wait", child.wait())?;
    same("it ended", ProcessState::from_raw(status.state), ProcessState::Faulted)?;
    same("by a page fault", FaultKind::from_raw(status.fault.kind), FaultKind::Page)?;
    same("where the memory was", status.fault.address, AT)?;
    let mut bytes = [0; 8];
    works("the owner's mapping stays", mine.read(0, &mut bytes))?;
    same("bytes", bytes, [0x42; 8])
}

/// Maps the memory, gives up its capability (a mapping outlives that), reads, and reads again after the revocation.
fn read(given: &Given) -> Verdict {
    let memory = works("memory", given.startup.memory("memory"))?;
    let derived = works("derive", memory.derive(Rights::all()))?;
    works("map", sys::memory_map(given.process.handle(), derived.handle(), AT, 0, 2, Rights::READ))?;
    drop(derived);
    same("the byte", raw::peek(AT), 0x42)?;
    works("ready", works("ready", given.startup.event("ready"))?.signal(1))?;
    works("go", works("go", given.startup.event("go"))?.wait(1, None))?;
    Err(alloc::format!("it still reads {:#x}", raw::peek(AT)))
}
