//! Kills itself by a capability that its parent gave it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, refused};
use libipc::{Rights, SysError, sys};

hostile::attack!(run, "inside" => inside);

fn run(given: &Given) -> Verdict {
    let event = works("an event", given.account.create_event())?;
    let child = given.start("inside", &[("go", &event, Rights::WAIT)])?;
    // Its first free slot: the child finds what it was given after its start by looking.
    works("give", child.process().give(child.process().handle(), Rights::all(), 0))?;
    works("go", event.event().signal(1))?;
    let status = works("wait", child.wait())?;
    sys::exit(status.exit as i32)
}

fn inside(given: &Given) -> Verdict {
    let go = works("go", given.startup.event("go"))?;
    works("wait", go.wait(1, None))?;
    let strong = (1..64).map(|index| libipc::Handle::new(index, 1)).find(|handle| {
        let found = sys::inspect(*handle);
        found.is_ok_and(|found| found.kind == libipc::Kind::Process && found.rights.contains(Rights::CONTROL))
    });
    let strong = works("its own process", strong.ok_or("not found"))?;
    refused("reset itself", SysError::BadState, sys::process_reset(strong))?;
    works("kill itself", sys::process_kill(strong, 42))
}
